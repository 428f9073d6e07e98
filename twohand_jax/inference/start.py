"""Where the keypoint fit starts: the network's hands laid onto the keypoints.

Within the picture's plane the best turn, size and place have a closed form (a 2D
similarity), so the fit does not depend on how well the network hit them.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from twohand_jax.geometry import cameras, rotations
from twohand_jax.inference import skeleton as skeletons
from twohand_jax.types import Camera

# Depth gives way only when the sizes in the picture differ by more than this factor:
# smaller differences may as well be the hand's shape.
SIZE_TOLERANCE = 1.3
# A whole hand, some 0.2 m long, then still lies in front of the camera.
MIN_DEPTH = 0.25
# Rounds of reweighting, and the error (in root mean square radii of the hand) at which
# a keypoint's weight has fallen to a quarter.
ROUNDS, REJECT = 3, 0.3
HIGHEST = jax.lax.Precision.HIGHEST


class Start(NamedTuple):
    """Place of both hands: orientation, wrist pixel, wrist depth in metres."""

    orient: Float[Array, "2 3 3"]
    wrist_px: Float[Array, "2 2"]
    depth: Float[Array, "2"]


def lay_on(
    keypoints: Float[Array, "2 21 3"],
    hand: skeletons.Skeleton,
    orient: Float[Array, "2 3 3"],
    pose: Float[Array, "2 15 3"],
    betas: Float[Array, "2 10"],
    wrist: Float[Array, "2 3"],
    camera: Camera,
) -> Start:
    """Turn, scale and shift each hand in the picture's plane onto its keypoints.

    Args:
        keypoints: x, y, score in pixels.
        hand: joints of the model.
        orient: the network's, in the picture's camera.
        pose: absolute axis-angles.
        betas: shape.
        wrist: in the picture's camera, metres.
        camera: the picture's.
    """
    matrices = rotations.axis_angle_to_matrix(pose)
    wrist = wrist.at[:, 2].max(MIN_DEPTH)
    joints = skeletons.joints(hand, orient, matrices, betas) + wrist[:, None]
    pixels = cameras.project(joints, camera)
    seen = _similarity(pixels, keypoints)
    is_off = jnp.abs(jnp.log(jnp.maximum(seen.scale, 1e-6))) > jnp.log(SIZE_TOLERANCE)
    scale = jnp.where(is_off, seen.scale, 1.0)
    R = rotations.rotation_z(seen.angle)
    offset = _turned(R, pixels[:, :1] - seen.middle[:, None])[:, 0]
    return Start(
        orient=jnp.matmul(R, orient, precision=HIGHEST),
        wrist_px=seen.target + offset * scale[:, None],
        depth=wrist[:, 2] / scale,
    )


class _Similarity(NamedTuple):
    """``target + scale R(angle) (pixel - middle)``."""

    angle: Float[Array, "2"]
    scale: Float[Array, "2"]
    middle: Float[Array, "2 2"]
    target: Float[Array, "2 2"]


def _similarity(
    pixels: Float[Array, "2 21 2"], keypoints: Float[Array, "2 21 3"]
) -> _Similarity:
    """Best similarity onto the keypoints, reweighted so that single ones can't pull."""
    score = jnp.clip(keypoints[..., 2:], 0.0, 1.0)
    weight = score
    for _ in range(ROUNDS):
        total = jnp.maximum(jnp.sum(weight, axis=1), 1e-6)
        middle = jnp.sum(pixels * weight, axis=1) / total
        target = jnp.sum(keypoints[..., :2] * weight, axis=1) / total
        source, goal = pixels - middle[:, None], keypoints[..., :2] - target[:, None]
        dot = jnp.sum(weight * source * goal, axis=(1, 2))
        cross = source[..., 0] * goal[..., 1] - source[..., 1] * goal[..., 0]
        angle = jnp.arctan2(jnp.sum(weight[..., 0] * cross, axis=1), dot)
        spread = jnp.sum(weight * jnp.stack([source**2, goal**2]), axis=(2, 3))
        spread = jnp.maximum(spread, 1e-6)
        scale = jnp.sqrt(spread[1] / spread[0])
        moved = _turned(rotations.rotation_z(angle), source) * scale[:, None, None]
        error = jnp.sum((moved - goal) ** 2, axis=-1, keepdims=True)
        width = REJECT**2 * (spread[1] / total[:, 0])[:, None, None]
        weight = score / (1.0 + error / width) ** 2
    return _Similarity(angle, scale, middle, target)


def _turned(
    R: Float[Array, "2 3 3"], points: Float[Array, "2 n 2"]
) -> Float[Array, "2 n 2"]:
    return jnp.einsum("hij,hnj->hni", R[:, :2, :2], points, precision=HIGHEST)
