"""Joint tree, joint orders and fingertip sets of MANO and of the datasets around it.

The model's 16 joints: wrist, index 1-3, middle 1-3, pinky 1-3, ring 1-3, thumb 1-3.
The canonical 21 joints: wrist, thumb 1-4, index 1-4, middle 1-4, ring 1-4, pinky 1-4,
where 4 is the fingertip, a vertex of the mesh.
"""

from typing import NamedTuple

import numpy as np

from twohand_jax.errors import InputError


class FingerBases(NamedTuple):
    """Indices of the fingers' first joints in an order of joints."""

    THUMB_BASE: int
    INDEX_BASE: int
    MIDDLE_BASE: int
    RING_BASE: int
    PINKY_BASE: int


WRIST = 0  # in every order
CANONICAL = FingerBases(1, 5, 9, 13, 17)
PALM = (WRIST, *CANONICAL)  # they move together, whatever the fingers do
MANO16 = FingerBases(13, 1, 4, 10, 7)
TIPS = (4, 8, 12, 16, 20)  # of the canonical order, thumb to pinky
PARENTS = (-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 0, 10, 11, 0, 13, 14)

FINGERS = ("thumb", "index", "middle", "ring", "pinky")
JOINT_NAMES = ("wrist",) + tuple(f"{f}_{i}" for f in FINGERS for i in (1, 2, 3, 4))
MODEL_FINGERS = ("index", "middle", "pinky", "ring", "thumb")
MODEL_JOINT_NAMES = ("wrist",) + tuple(
    f"{f}_{i}" for f in MODEL_FINGERS for i in (1, 2, 3)
)

# Vertices of the fingertips, thumb to pinky; codebases disagree (METHOD §1).
FINGERTIPS = {
    "interwild": (745, 317, 445, 556, 673),
    "manopth_right": (745, 317, 444, 556, 673),
    "smplx": (744, 320, 443, 554, 671),
    "freihand": (744, 320, 443, 555, 672),
    "ho3d": (744, 333, 444, 555, 672),
}

# Position in [16 model joints, 5 fingertips] of each canonical joint.
CANONICAL_FROM_MODEL = np.array(
    [0, 13, 14, 15, 16, 1, 2, 3, 17, 4, 5, 6, 18, 10, 11, 12, 19, 7, 8, 9, 20],
    np.int32,
)

# InterHand2.6M stores each finger from tip to base and the wrist last.
CANONICAL_FROM_INTERHAND = np.array(
    [20, 3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12, 19, 18, 17, 16],
    np.int32,
)

# Bones of the canonical skeleton as (parent, child), by finger and all.
FINGER_BONES = tuple(
    ((WRIST, base), (base, base + 1), (base + 1, base + 2), (base + 2, base + 3))
    for base in CANONICAL
)
BONES = tuple(bone for finger in FINGER_BONES for bone in finger)


def fingertips(name: str) -> tuple[int, ...]:
    """Vertex indices of the five fingertips, thumb to pinky, by the name of the set."""
    if name not in FINGERTIPS:
        known = ", ".join(sorted(FINGERTIPS))
        raise InputError(f"Unknown fingertip set {name!r}; known sets: {known}.")
    return FINGERTIPS[name]
