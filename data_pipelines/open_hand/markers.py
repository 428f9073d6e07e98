"""Joint centres: MPFB2's joint markers, corrected and tied to the skin.

MPFB2 marks joints by small cubes that its targets move on their own, so that from body
to body they drift by some millimetres inside the skin. Here every joint becomes a fixed
combination of skin vertices that follows its marker over many sampled adults.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy import sparse
from scipy.optimize import nnls

from data_pipelines.open_hand.rig import FINGER_NUMBERS, FINGERS

# MPFB2's wrist marker lies behind the wrist crease, and its thumb starts within the
# metacarpal; moved towards the fingers and towards the wrist, in palm lengths.
_WRIST_SHIFT = 0.071
_THUMB_SHIFT = 0.064
_REACH = 60  # nearest skin vertices a joint may be tied to
_SUM_WEIGHT = 1.0  # how firmly the combination is held to sum 1, metres


class Markers(NamedTuple):
    """Base-mesh vertices whose mean marks each joint and each fingertip."""

    joints: list[Int[np.ndarray, " k"]]  # 16, MANO's order
    tips: list[Int[np.ndarray, " k"]]  # 5, in the order of FINGERS


def find(groups: Mapping[str, Int[np.ndarray, " k"]]) -> Markers:
    """The joint cubes of MPFB2's default rig, in MANO's joint order."""
    joints = [groups["joint-r-hand"]]
    tips = []
    for name in FINGERS:
        number = FINGER_NUMBERS[name]
        joints += [groups[f"joint-r-finger-{number}-{k}"] for k in (1, 2, 3)]
        tips.append(groups[f"joint-r-finger-{number}-4"])
    return Markers(joints, tips)


def locate(
    markers: Markers, vertices: Float[np.ndarray, "v 3"]
) -> Float[np.ndarray, "21 3"]:
    """Joints, then fingertips, of one body, with wrist and thumb base corrected."""
    joints = np.stack([vertices[rows].mean(0) for rows in markers.joints])
    tips = np.stack([vertices[rows].mean(0) for rows in markers.tips])
    forward = joints[FINGERS["middle"]] - joints[0]
    joints[0] += _WRIST_SHIFT * forward
    base = FINGERS["thumb"]
    metacarpal = joints[base + 1] - joints[base]
    length = _THUMB_SHIFT * np.linalg.norm(forward)
    joints[base] -= length * metacarpal / np.linalg.norm(metacarpal)
    return np.concatenate([joints, tips])


def tie_to_skin(
    located: Float[np.ndarray, "n 21 3"],
    bodies: Float[np.ndarray, "n v 3"],
    skin: Int[np.ndarray, " s"],
) -> sparse.csr_array:
    """Non-negative combinations (21, v) of skin vertices that follow the markers.

    Args:
        located: joints and tips of sampled bodies.
        bodies: their vertices.
        skin: rows of the vertices that are skin.
    """
    mean = bodies[:, skin].mean(0)
    tied = np.zeros((located.shape[1], bodies.shape[1]))
    for j in range(located.shape[1]):
        apart = np.linalg.norm(mean - located[:, j].mean(0), axis=-1)
        near = skin[np.argsort(apart, kind="stable")[:_REACH]]
        offsets = bodies[:, near] - located[:, j, None]
        system = offsets.transpose(0, 2, 1).reshape(-1, len(near)) / np.sqrt(
            len(bodies)
        )
        system = np.concatenate([system, np.full((1, len(near)), _SUM_WEIGHT)])
        wanted = np.zeros(len(system))
        wanted[-1] = _SUM_WEIGHT
        solution, _ = nnls(system, wanted)
        tied[j, near] = solution / solution.sum()
    return sparse.csr_array(tied)
