"""The sixteen-joint rig: joints, rest pose, blend weights and shape space."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy import sparse
from scipy.optimize import nnls
from scipy.sparse.linalg import splu
from scipy.spatial.transform import Rotation

from twohand_jax.mano.joints import MANO16, MODEL_FINGERS, PARENTS, WRIST

# MANO's joint order. The thumb's metacarpal is a joint of its own, the other
# metacarpals move with the wrist.
# First joint of each finger, in the model's order.
FINGERS = {name: 1 + 3 * number for number, name in enumerate(MODEL_FINGERS)}
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
    wrist, index, middle, pinky = joints[
        [WRIST, MANO16.INDEX_BASE, MANO16.MIDDLE_BASE, MANO16.PINKY_BASE]
    ]
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


_WRIST_BONES = ("lowerarm01", "lowerarm02", "wrist") + tuple(
    f"metacarpal{i}" for i in range(1, 5)
)
# Smoothing lengths in metres: everywhere, and where thumb and palm share the skin (the
# web between thumb and index finger stretches over some centimetres).
_SMOOTHING = 0.0015
_WEB_SMOOTHING = 0.006
# MPFB2 leaves most of the ball of the thumb to the wrist; 1 keeps its weights.
_THUMB_FIRMNESS = 2.0


def merge_weights(
    bones: Mapping[str, Float[np.ndarray, " v"]],
) -> Float[np.ndarray, "v 16"]:
    """Blend weights on MANO's joints; forearm and metacarpals go to the wrist."""
    columns = [np.sum([bones[name] for name in _WRIST_BONES], axis=0)]
    for name in FINGERS:
        number = FINGER_NUMBERS[name]
        columns += [bones[f"finger{number}-{k}"] for k in (1, 2, 3)]
    weights = np.stack(columns, axis=-1)
    total = weights.sum(-1, keepdims=True)
    merged = np.divide(weights, total, out=np.zeros_like(weights), where=total > 0)
    return _firm_thumb(merged)


def _firm_thumb(weights: Float[np.ndarray, "v 16"]) -> Float[np.ndarray, "v 16"]:
    """Let the ball of the thumb follow the thumb's metacarpal more than the wrist."""
    base = FINGERS["thumb"]
    both = weights[:, 0] + weights[:, base]
    share = np.divide(weights[:, base], both, out=np.zeros(len(both)), where=both > 0)
    firmed = weights.copy()
    firmed[:, base] = both * (1 - (1 - share) ** _THUMB_FIRMNESS)
    firmed[:, 0] = both - firmed[:, base]
    return firmed


def _laplacian(
    vertices: Float[np.ndarray, "v 3"], triangles: Int[np.ndarray, "t 3"]
) -> tuple[sparse.csc_array, sparse.csc_array]:
    """Lumped mass and cotangent stiffness (negative cotangents clipped)."""
    count = len(vertices)
    corners = vertices[triangles]
    doubled = np.linalg.norm(
        np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=-1
    )
    mass = np.bincount(triangles.ravel(), np.repeat(doubled / 6, 3), count) + 1e-12
    links = sparse.csc_array((count, count))
    for k in range(3):
        i, j, o = triangles[:, k - 2], triangles[:, k - 1], corners[:, k]
        cosine = np.sum((vertices[i] - o) * (vertices[j] - o), -1)
        half_cotangent = np.clip(0.5 * cosine / doubled, 0.0, None)
        links = links + sparse.csc_array((half_cotangent, (i, j)), (count, count))
    links = links + links.T
    degree = sparse.diags_array(np.asarray(links.sum(1)).ravel())
    return sparse.csc_array(sparse.diags_array(mass)), sparse.csc_array(degree - links)


def smooth_weights(
    weights: Float[np.ndarray, "v 16"],
    vertices: Float[np.ndarray, "v 3"],
    triangles: Int[np.ndarray, "t 3"],
) -> Float[np.ndarray, "v 16"]:
    """Diffuse the weights over the skin, further about the web of the thumb."""
    mass, stiffness = _laplacian(vertices, triangles)

    def diffuse(length: float) -> Float[np.ndarray, "v 16"]:
        return splu(mass + 0.5 * length**2 * stiffness).solve(mass @ weights)

    little, much = diffuse(_SMOOTHING), diffuse(_WEB_SMOOTHING)
    thumb = much[:, FINGERS["thumb"] :].sum(-1, keepdims=True)
    web = np.clip(4 * thumb * (1 - thumb), 0.0, 1.0)
    return web * much + (1 - web) * little


def keep_largest_weights(
    weights: Float[np.ndarray, "v 16"], count: int
) -> Float[np.ndarray, "v 16"]:
    """Keep the largest `count` weights of each vertex, summing to 1."""
    floor = np.sort(weights, axis=-1)[:, [-count]]
    kept = np.where(weights >= np.maximum(floor, 1e-3), weights, 0.0)
    return kept / kept.sum(-1, keepdims=True)


# MPFB2's wrist marker lies behind the wrist crease, and its thumb starts within the
# metacarpal; moved towards the fingers and towards the wrist, in palm lengths.
_WRIST_SHIFT = 0.071
_THUMB_SHIFT = 0.064
_REACH = 60  # nearest skin vertices a joint may be tied to
_MARKER_SUM_WEIGHT = 1.0  # how firmly the combination is held to sum 1, metres


class Markers(NamedTuple):
    """Base-mesh vertices whose mean marks each joint and each fingertip."""

    joints: list[Int[np.ndarray, " k"]]  # 16, MANO's order
    tips: list[Int[np.ndarray, " k"]]  # 5, in the order of FINGERS


def find_markers(groups: Mapping[str, Int[np.ndarray, " k"]]) -> Markers:
    """The joint cubes of MPFB2's default rig, in MANO's joint order."""
    joints = [groups["joint-r-hand"]]
    tips = []
    for name in FINGERS:
        number = FINGER_NUMBERS[name]
        joints += [groups[f"joint-r-finger-{number}-{k}"] for k in (1, 2, 3)]
        tips.append(groups[f"joint-r-finger-{number}-4"])
    return Markers(joints, tips)


def locate_joints(
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
        system = np.concatenate([system, np.full((1, len(near)), _MARKER_SUM_WEIGHT)])
        wanted = np.zeros(len(system))
        wanted[-1] = _MARKER_SUM_WEIGHT
        solution, _ = nnls(system, wanted)
        tied[j, near] = solution / solution.sum()
    return sparse.csr_array(tied)


_REGRESSOR_REACH = 200  # nearest template vertices a joint may depend on
_SUM_WEIGHT = 10.0  # how firmly a regressor row is held to sum 1, metres


class ShapeSpace(NamedTuple):
    """Mean hand and components; multiply components by N(0, 1) coefficients."""

    vertices: Float[np.ndarray, "v 3"]
    vertex_components: Float[np.ndarray, "v 3 k"]
    joints: Float[np.ndarray, "16 3"]
    joint_components: Float[np.ndarray, "16 3 k"]


def principal_shapes(
    vertices: Float[np.ndarray, "n v 3"],
    joints: Float[np.ndarray, "n 16 3"],
    num_components: int,
) -> ShapeSpace:
    """PCA of sampled hands, each component scaled by its standard deviation.

    The first component's sign is chosen so that positive means larger.
    """
    count = len(vertices)
    mean, joint_mean = vertices.mean(0), joints.mean(0)
    centred = (vertices - mean).reshape(count, -1) / np.sqrt(count - 1)
    left, singular, right = np.linalg.svd(centred, full_matrices=False)
    left, right = left[:, :num_components], right[:num_components]
    length = np.ptp(vertices[..., 0], axis=-1)
    reference = left.T @ (length - length.mean())
    sign = np.where(reference < 0, -1.0, 1.0)
    components = (singular[:num_components] * sign)[:, None] * right
    betas = left * sign * np.sqrt(count - 1)
    joint_components = np.einsum("njc,nk->jck", joints - joint_mean, betas) / (
        count - 1
    )
    return ShapeSpace(
        mean, components.T.reshape(*mean.shape, -1), joint_mean, joint_components
    )


def fit_regressor(space: ShapeSpace) -> Float[np.ndarray, "16 v"]:
    """Sparse non-negative rows that give the joints from the vertices."""
    count = len(space.vertices)
    regressor = np.zeros((len(space.joints), count))
    for j, joint in enumerate(space.joints):
        distance = np.linalg.norm(space.vertices - joint, axis=-1)
        near = np.argsort(distance, kind="stable")[:_REGRESSOR_REACH]
        shapes = space.vertex_components[near].reshape(len(near), -1).T
        rows = [space.vertices[near].T - joint[:, None], shapes]
        system = np.concatenate([*rows, np.full((1, len(near)), _SUM_WEIGHT)])
        wanted = np.concatenate(
            [np.zeros(3), space.joint_components[j].ravel(), [_SUM_WEIGHT]]
        )
        solution, _ = nnls(system, wanted)
        regressor[j, near] = solution / solution.sum()
    return regressor
