"""The sixteen-joint rig: joint tree, hand frame, flat rest pose, flexion axes."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

# MANO's joint order. The thumb's metacarpal is a joint of its own, the other
# metacarpals move with the wrist.
PARENTS = (-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 0, 10, 11, 0, 13, 14)
FINGERS = {"index": 1, "middle": 4, "pinky": 7, "ring": 10, "thumb": 13}
FINGER_NUMBERS = {"thumb": 1, "index": 2, "middle": 3, "ring": 4, "pinky": 5}
# Where the wrist joint lies in the model's frame, metres.
WRIST_POSITION = np.array([0.090, 0.0, 0.0])
# Direction of each straight finger in the flat rest pose: degrees of spread in the
# palm plane (positive towards the thumb) and of drop towards the palm.
_REST_DIRECTIONS_DEG = {
    "index": (7.0, 0.0),
    "middle": (0.0, 0.0),
    "ring": (-7.0, 0.0),
    "pinky": (-15.0, 0.0),
}


# The straight thumb's direction in the flat rest pose, and how far it is turned about
# its own axis (degrees, nail towards the back of the hand) to face as a flat hand's.
_THUMB_REST = np.array([-0.66, -0.30, 0.69])
_THUMB_TWIST_DEG = 20.0
# Normal of the thumb's nail, measured on the straightened thumb before that turn.
_THUMB_NAIL = np.array([0.385, 0.432, 0.816])
_THUMB_AXIS = np.array([-0.565, -0.588, 0.578])
# Flexion of a relaxed hand: base, middle and end joint of each finger, degrees.
_RELAXED_DEG = {
    "index": (12.0, 22.0, 10.0),
    "middle": (16.0, 26.0, 12.0),
    "pinky": (20.0, 28.0, 12.0),
    "ring": (18.0, 28.0, 12.0),
    "thumb": (0.0, 8.0, 12.0),
}
# MPFB2's finger markers lie close under the back of the hand; millimetres towards the
# pad that bring base, middle and end joint to the depth of the bones in a hand whose
# palm measures _PALM_MM from wrist to middle base, and in proportion in others.
_PALM_MM = 93.9
_DEPTH_MM = {
    "index": (6.0, 3.5, 2.5),
    "middle": (6.0, 3.5, 2.5),
    "pinky": (5.5, 2.2, 1.8),
    "ring": (6.0, 3.5, 2.5),
    "thumb": (2.0, 4.0, 3.0),
}


def hand_frame(joints: Float[np.ndarray, "16 3"]) -> Float[np.ndarray, "3 3"]:
    """Rows: the model's x, y, z axes, from the wrist and the finger bases.

    x points from the middle finger's base to the wrist, y out of the back of the
    hand, z towards the thumb.
    """
    wrist, index, middle, pinky = joints[[0, 1, 4, 7]]
    x = wrist - middle
    x = x / np.linalg.norm(x)
    y = np.cross(pinky - wrist, index - wrist)
    y = y - (y @ x) * x
    y = y / np.linalg.norm(y)
    return np.stack([x, y, np.cross(x, y)])


def _between(
    start: Float[np.ndarray, "3"], end: Float[np.ndarray, "3"]
) -> Float[np.ndarray, "3 3"]:
    """The smallest rotation that turns direction `start` to `end`."""
    start, end = start / np.linalg.norm(start), end / np.linalg.norm(end)
    axis = np.cross(start, end)
    sine = np.linalg.norm(axis)
    if sine < 1e-12:
        return np.eye(3)
    angle = np.arctan2(sine, start @ end)
    return Rotation.from_rotvec(axis / sine * angle).as_matrix()


def rest_directions() -> dict[str, Float[np.ndarray, "3"]]:
    """Unit directions of the straight fingers in the flat rest pose."""
    directions = {}
    for name, (spread, drop) in _REST_DIRECTIONS_DEG.items():
        a, b = np.radians([spread, drop])
        directions[name] = np.array(
            [-np.cos(a) * np.cos(b), -np.sin(b), np.sin(a) * np.cos(b)]
        )
    directions["thumb"] = _THUMB_REST / np.linalg.norm(_THUMB_REST)
    return directions


def _thumb_twist() -> Float[np.ndarray, "3 3"]:
    axis = _THUMB_REST / np.linalg.norm(_THUMB_REST)
    return Rotation.from_rotvec(np.radians(_THUMB_TWIST_DEG) * axis).as_matrix()


def _pad_normals() -> dict[str, Float[np.ndarray, "3"]]:
    """Direction each straight finger's pad faces in the flat rest pose."""
    pads = {name: np.array([0.0, -1.0, 0.0]) for name in _REST_DIRECTIONS_DEG}
    turn = _thumb_twist() @ _between(_THUMB_AXIS, _THUMB_REST)
    pad = -(turn @ _THUMB_NAIL)
    return {**pads, "thumb": pad / np.linalg.norm(pad)}


def straighten(
    vertices: Float[np.ndarray, "v 3"],
    joints: Float[np.ndarray, "16 3"],
    tips: Float[np.ndarray, "5 3"],
    weights: Float[np.ndarray, "v 16"],
    directions: Mapping[str, Float[np.ndarray, "3"]],
) -> tuple[
    Float[np.ndarray, "v 3"], Float[np.ndarray, "16 3"], Float[np.ndarray, "5 3"]
]:
    """Pose the hand flat: every bone of a finger along that finger's direction.

    Returns:
        vertices, joints and tips of the flat hand; a tip is the point of the finger's
        axis level with its outermost vertex.
    """
    turns = np.tile(np.eye(3), (16, 1, 1))
    for number, (name, first) in enumerate(FINGERS.items()):
        ends = [joints[first + 1], joints[first + 2], tips[number]]
        for k in range(3):
            bone = ends[k] - joints[first + k]
            turns[first + k] = _between(bone, directions[name])
            if name == "thumb":
                turns[first + k] = _thumb_twist() @ turns[first + k]
    flat = joints.copy()
    for j in range(1, 16):
        flat[j] = flat[PARENTS[j]] + turns[PARENTS[j]] @ (
            joints[j] - joints[PARENTS[j]]
        )
    moved = np.einsum("jab,vjb->vja", turns, vertices[:, None] - joints) + flat
    skin = np.einsum("vj,vja->va", weights, moved)
    flat_tips = np.zeros_like(tips)
    for number, (name, first) in enumerate(FINGERS.items()):
        own = skin[weights[:, first + 2] > 0.5]
        reach = np.max((own - flat[first + 2]) @ directions[name])
        flat_tips[number] = flat[first + 2] + reach * directions[name]
    return skin, flat, flat_tips


def deepen(joints: Float[np.ndarray, "16 3"]) -> Float[np.ndarray, "16 3"]:
    """Move the finger joints of a flat hand from under the skin to the bones."""
    pads, moved = _pad_normals(), joints.copy()
    palm = np.linalg.norm(joints[FINGERS["middle"]] - joints[0])
    for name, first in FINGERS.items():
        depth = palm / _PALM_MM * np.array(_DEPTH_MM[name])
        moved[first : first + 3] += depth[:, None] * pads[name]
    return moved


def flexion_axes() -> Float[np.ndarray, "15 3"]:
    """Unit axis of positive flexion of each finger joint in the flat rest pose."""
    directions, pads = rest_directions(), _pad_normals()
    axes = np.zeros((15, 3))
    for name, first in FINGERS.items():
        axis = np.cross(directions[name], pads[name])
        axes[first - 1 : first + 2] = axis / np.linalg.norm(axis)
    return axes


def relaxed_pose() -> Float[np.ndarray, "45"]:
    """Axis-angles of a gently curled hand, the pose mean."""
    degrees = np.concatenate([_RELAXED_DEG[name] for name in FINGERS])
    return (np.radians(degrees)[:, None] * flexion_axes()).ravel()
