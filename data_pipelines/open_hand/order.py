"""Vertex order: the customary MANO fingertip indices are fingertips here as well."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, Int

# Vertex indices that code bases use as fingertips. The first is put on the tip
# itself, the others on vertices next to it.
TIP_INDICES: Mapping[str, tuple[int, ...]] = {
    "thumb": (745, 744, 728),
    "index": (317, 320, 333),
    "middle": (445, 444, 443),
    "ring": (556, 555, 554),
    "pinky": (673, 672, 671),
}


def outermost(
    vertices: Float[np.ndarray, "v 3"],
    weights: Float[np.ndarray, "v 16"],
    directions: Mapping[str, Float[np.ndarray, "3"]],
    first_joints: Mapping[str, int],
) -> Int[np.ndarray, "5"]:
    """The extremal vertex of each finger along its direction."""
    owner = np.argmax(weights, axis=-1)
    tips = []
    for name, first in first_joints.items():
        own = np.flatnonzero(owner == first + 2)
        tips.append(own[np.argmax(vertices[own] @ directions[name])])
    return np.array(tips)


def permutation(
    vertices: Float[np.ndarray, "v 3"],
    weights: Float[np.ndarray, "v 16"],
    directions: Mapping[str, Float[np.ndarray, "3"]],
    first_joints: Mapping[str, int],
) -> Int[np.ndarray, " v"]:
    """Old index of every new vertex: joint by joint, with the tips in their places."""
    owner = np.argmax(weights, axis=-1)
    tips = outermost(vertices, weights, directions, first_joints)
    placed: dict[int, int] = {}
    for name, tip in zip(first_joints, tips, strict=True):
        distance = np.linalg.norm(vertices - vertices[tip], axis=-1)
        near = np.argsort(distance, kind="stable")
        placed.update(zip(TIP_INDICES[name], near.tolist(), strict=False))
    taken = set(placed.values())
    by_joint = np.lexsort((vertices[:, 0], owner))
    rest = iter(int(i) for i in by_joint if int(i) not in taken)
    return np.array(
        [placed[k] if k in placed else next(rest) for k in range(len(vertices))]
    )
