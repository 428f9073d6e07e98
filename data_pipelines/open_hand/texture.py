"""The open hand's skin texture as an image."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import UInt8

from data_pipelines.open_hand import bake, skin
from data_pipelines.open_hand.relax import vertex_normals

_SIZE = 1024
_SEED = 1


def paint(arrays: Mapping[str, np.ndarray]) -> UInt8[np.ndarray, "s s 3"]:
    """The texture of the hand whose arrays are given; row 0 is v = 1."""
    vertices = arrays["v_template"].astype(float)
    normals = vertex_normals(vertices, arrays["f"])
    attributes = np.concatenate([vertices, normals, arrays["weights"]], axis=-1)
    texels = bake.bake(arrays["uv"], arrays["f_uv"], arrays["f"], attributes, _SIZE)
    position, normal, weights = np.split(texels.values, [3, 6], axis=-1)
    normal = normal / np.linalg.norm(normal, axis=-1, keepdims=True)
    joints = arrays["J_regressor"].astype(float) @ vertices
    colours = skin.colours(
        skin.Place(position, normal, weights), joints, np.random.default_rng(_SEED)
    )
    return np.round(255 * bake.spread(texels.covered, colours)).astype(np.uint8)
