"""Gives the average hand the phalanx lengths that radiographs of adults show.

MPFB2's fingers have too short proximal and too long distal phalanges. In the flat
pose each finger is stretched along its own axis, joint to joint, so that mesh, joints
and all later shapes move together.
"""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from data_pipelines.open_hand.rig import FINGERS

# Mean lengths in mm, first to second joint, second to third joint, third joint to
# fingertip (bone and the soft tissue before it): Buryanov and Kotiuk, "Proportions of
# hand segments", Int. J. Morphol. 28(3), 2010. The thumb starts at its metacarpal.
PHALANGES_MM: Mapping[str, tuple[float, float, float]] = {
    "index": (39.8, 22.4, 19.7),
    "middle": (44.6, 26.3, 21.4),
    "ring": (41.4, 25.7, 21.3),
    "pinky": (32.7, 18.1, 19.7),
    "thumb": (46.2, 31.6, 27.3),
}


def phalanx_lengths(
    joints: Float[np.ndarray, "16 3"], tips: Float[np.ndarray, "5 3"]
) -> Float[np.ndarray, "5 3"]:
    """Lengths of the segments of each finger, in the order of FINGERS, metres."""
    lengths = []
    for number, first in enumerate(FINGERS.values()):
        chain = np.stack([*joints[first : first + 3], tips[number]])
        lengths.append(np.linalg.norm(np.diff(chain, axis=0), axis=-1))
    return np.array(lengths)


def stretch_factors(lengths: Float[np.ndarray, "5 3"]) -> Float[np.ndarray, "5 3"]:
    """Factors that bring the average hand's segments to the published lengths."""
    wanted = np.array([PHALANGES_MM[name] for name in FINGERS]) / 1000
    return wanted / lengths


def _warp(
    along: Float[np.ndarray, " v"],
    lengths: Float[np.ndarray, "3"],
    factors: Float[np.ndarray, "3"],
) -> Float[np.ndarray, " v"]:
    """Monotone map of the coordinate along a finger; identity before its base."""
    knots = np.concatenate([[-1.0, 0.0], np.cumsum(lengths), [1.0]])
    ends = np.cumsum(lengths * factors)
    beyond = ends[-1] + (1.0 - knots[-2]) * factors[-1]
    return np.interp(along, knots, np.concatenate([[-1.0, 0.0], ends, [beyond]]))


def stretch(
    vertices: Float[np.ndarray, "v 3"],
    joints: Float[np.ndarray, "16 3"],
    tips: Float[np.ndarray, "5 3"],
    weights: Float[np.ndarray, "v 16"],
    directions: Mapping[str, Float[np.ndarray, "3"]],
    factors: Float[np.ndarray, "5 3"],
) -> tuple[Float[np.ndarray, "v 3"], Float[np.ndarray, "16 3"]]:
    """Scale each finger's segments of a flat hand by `factors`, along the finger."""
    lengths = phalanx_lengths(joints, tips)
    moved, moved_joints = vertices.copy(), joints.copy()
    for number, (name, first) in enumerate(FINGERS.items()):
        direction = directions[name]
        share = weights[:, first : first + 3].sum(-1)
        along = (vertices - joints[first]) @ direction
        shift = _warp(along, lengths[number], factors[number]) - along
        moved += (share * shift)[:, None] * direction
        reach = np.cumsum(lengths[number] * factors[number])[:2]
        moved_joints[first + 1 : first + 3] = joints[first] + reach[:, None] * direction
    return moved, moved_joints
