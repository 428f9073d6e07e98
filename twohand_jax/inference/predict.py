"""From pictures and their hands to predictions: the one path through the network."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, UInt8

from twohand_jax import assets
from twohand_jax.crops.inputs import CropConfig, make_inputs
from twohand_jax.crops.predictions import decode
from twohand_jax.diffusion.refine import Refined
from twohand_jax.errors import InputError
from twohand_jax.inference import programs
from twohand_jax.models import apply
from twohand_jax.models.apply import Variables
from twohand_jax.types import (
    Array,
    Camera,
    Cues,
    HandGeometry,
    ManoModel,
    ManoParams,
    Prediction,
)
from twohand_jax.weights import native


class Trained(NamedTuple):
    """A trained network.

    Attributes:
        variables: its weights.
        crop: how it wants hands cut out.
        make_apply: gives its function ``(variables, inputs, train=...)``.
        key: text that changes with the function.
    """

    variables: apply.Variables
    crop: CropConfig
    make_apply: Callable[[], Callable[..., Any]]
    key: str


def load_network(directory: str | Path | None, *, cache: Path | None = None) -> Trained:
    """The network of a model directory, its weights, and how it wants its crops.

    Args:
        directory: written by ``weights.native.save``; None for the shipped model.
        cache: folder that remembers the shapes of networks; None for none.

    Raises:
        InputError: there is no such model, or its files do not fit together.
    """
    from twohand_jax import experiments
    from twohand_jax.experiments.regressor import RegressorExperiment

    if directory is None and not assets.REGRESSOR.is_dir():
        raise InputError(
            "This installation ships no trained model; give a model directory "
            "(--checkpoint DIR)."
        )
    source = assets.REGRESSOR if directory is None else Path(directory)
    experiment = experiments.parse_as(RegressorExperiment, native.load_config(source))
    network = experiments.network(experiment)
    key = repr(experiment.model)
    variables = native.load(source, _shapes(network, key, cache))
    return Trained(variables, experiment.crop, lambda: network.apply, key)


def _shapes(network: apply.Network, key: str, cache: Path | None) -> apply.Variables:
    """The network's shapes; building a network only to ask takes a second."""
    path = cache and cache / f"shapes-{programs.fingerprint(key)}.json"
    content = programs.kept(path) if path else None
    if content is None:
        shapes = apply.shapes(network)
        if path:
            lists = jax.tree.map(lambda leaf: list(leaf.shape), shapes._asdict())
            programs.keep(path, json.dumps(lists).encode())
        return shapes

    def struct(shape: list[int]) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(tuple(shape), jnp.float32)

    known = json.loads(content)
    groups = jax.tree.map(struct, known, is_leaf=lambda node: isinstance(node, list))
    return apply.Variables(**groups)


class CanvasMaps(NamedTuple):
    """Segmentation and depth on the canvas (``types.Cues``), and whether they count."""

    segmentation: UInt8[Array, "s s"]
    depth: Float[Array, "s s"]
    has_segmentation: Bool[Array, ""]
    has_depth: Bool[Array, ""]


def predict(
    variables: Variables,
    model: ManoModel,
    canvas: UInt8[Array, "s s 3"],
    T_canvas_image: Float[Array, "2 3"],
    boxes: Float[Array, "2 4"],
    keypoints: Float[Array, "2 21 3"],
    score: Float[Array, "2"],
    camera: Camera,
    maps: CanvasMaps | None = None,
    *,
    apply: Callable[..., Any],
    crop: CropConfig,
) -> Prediction:
    """Crops, drawn cues, network and decoding as one program.

    Args:
        variables: the network's weights.
        model: hand model.
        canvas: part of the picture that holds both crops.
        T_canvas_image: picture pixels to canvas pixels.
        boxes: hand boxes in picture pixels.
        keypoints: x, y, score in picture pixels; all scores 0 without this cue.
        score: of each hand, 0 for one that is not there.
        camera: the picture's.
        maps: the other two cues; None without them.
        apply: the network's function.
        crop: how the network wants its crops.
    """
    if maps is None:
        blank, no = jnp.zeros(canvas.shape[:2]), jnp.array(False)
        maps = CanvasMaps(blank.astype(jnp.uint8), blank, no, no)
    has_keypoints = jnp.any(keypoints[..., 2] > 0)
    cues = Cues(keypoints=keypoints, has_keypoints=has_keypoints, **maps._asdict())
    inputs = make_inputs(canvas, T_canvas_image, cues, boxes, score > 0, crop=crop)
    batched = jax.tree.map(lambda x: x[None], inputs)
    output, _ = apply(variables, batched, train=False)
    output = jax.tree.map(lambda x: x[0], output)
    prediction = decode(output, model, inputs, camera, crop=crop)
    return prediction._replace(score=score)


# One hand pair's prediction in its shapes, all zeros.
EMPTY = Prediction(
    mano=ManoParams(
        global_orient=np.zeros((2, 3), np.float32),
        hand_pose=np.zeros((2, 15, 3), np.float32),
        betas=np.zeros((2, 10), np.float32),
        transl=np.zeros((2, 3), np.float32),
    ),
    geometry=HandGeometry(
        vertices=np.zeros((2, 778, 3), np.float32),
        joints=np.zeros((2, 21, 3), np.float32),
    ),
    rel_trans=np.zeros(3, np.float32),
    camera=Camera(focal=np.zeros(2, np.float32), center=np.zeros(2, np.float32)),
    box=np.zeros((2, 4), np.float32),
    score=np.zeros(2, np.float32),
)
# What the prior returns for it, in its shapes.
NOT_REFINED = Refined(
    prediction=EMPTY,
    status=np.zeros((), np.int32),
    reference=np.zeros((), np.int32),
    depth_before=np.zeros((), np.float32),
    depth_after=np.zeros((), np.float32),
)
