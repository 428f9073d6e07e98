"""The keypoint cue: 21 joints of each hand, drawn as skeletons (METHOD §3).

Lines are drawn by distance, in JAX, so training on a device and inference see the
very same pixels. Coordinates are crop pixels, centres at integers.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from twohand_jax.crops.cue_kinds import CueKind, PointStorage, Sheet
from twohand_jax.crops.motion import Motion, swap
from twohand_jax.geometry import affine
from twohand_jax.types import NUM_JOINTS

# Thumb, index, middle, ring, pinky: hues far apart, each channel used.
FINGER_COLORS = np.array(
    [[1.0, 0.2, 0.2], [1.0, 0.8, 0.0], [0.2, 0.9, 0.3], [0.1, 0.6, 1.0], [0.9, 0.3, 1]],
    np.float32,
)
OWN_WRIST_COLOR = np.array([1.0, 1.0, 1.0], np.float32)
OTHER_WRIST_COLOR = np.array([0.2, 0.4, 1.0], np.float32)
# Parent and child of the bones of each finger, canonical joint order.
FINGER_BONES = tuple(
    tuple((0 if k == 0 else 4 * f + k, 4 * f + k + 1) for k in range(4))
    for f in range(5)
)
FAR = 1e12


def skeleton(
    keypoints: Float[Array, "*b 21 3"],
    *,
    size: int,
    thickness: float = 4.0,
    min_score: float = 0.0,
) -> Float[Array, "*b size size 3"]:
    """Bones as anti-aliased lines, one colour a finger, on black; values in [0, 1].

    A bone is drawn when its far joint is visible; if its near joint is not, a dot at
    the far one remains. Where lines cross, the brighter channel wins.

    Args:
        keypoints: x, y in crop pixels and score.
        size: side of the picture in pixels.
        thickness: width of the lines in pixels.
        min_score: joints with a score at or below it are invisible.
    """
    visible = keypoints[..., 2] > min_score
    points = jnp.where(visible[..., None], keypoints[..., :2], 0.0)
    image = jnp.zeros((*keypoints.shape[:-2], size, size, 3), jnp.float32)
    for bones, color in zip(FINGER_BONES, FINGER_COLORS, strict=True):
        nearest = jnp.full(image.shape[:-1], FAR, jnp.float32)
        for parent, child in bones:
            squared = _squared_distance(points, visible, parent, child, size)
            nearest = jnp.minimum(nearest, squared)
        coverage = _coverage(nearest, thickness / 2)
        image = jnp.maximum(image, coverage[..., None] * color)
    return image


def wrists(
    own: Float[Array, "*b 3"],
    other: Float[Array, "*b 3"],
    *,
    size: int,
    thickness: float = 16.0,
    min_score: float = 0.0,
) -> Float[Array, "*b size size 3"]:
    """Both wrists as dots: white for the crop's own hand, blue for the other.

    Args:
        own: x, y in crop pixels and score of the wrist of the crop's hand.
        other: the same of the other hand, in the same crop's pixels.
        thickness: diameter of the dots in pixels.
    """
    image = jnp.zeros((*own.shape[:-1], size, size, 3), jnp.float32)
    for wrist, color in ((other, OTHER_WRIST_COLOR), (own, OWN_WRIST_COLOR)):
        visible = wrist[..., None, 2] > min_score
        points = jnp.where(visible[..., None], wrist[..., None, :2], 0.0)
        squared = _squared_distance(points, visible, 0, 0, size)
        coverage = _coverage(squared, thickness / 2)
        image = jnp.maximum(image, coverage[..., None] * color)
    return image


def keypoint_image(
    own: Float[Array, "*b 21 3"],
    other: Float[Array, "*b 21 3"],
    overlap: Bool[Array, "*b"],
    *,
    size: int,
    min_score: float = 0.0,
) -> Float[Array, "*b size size 3"]:
    """The keypoint cue of a crop: own skeleton, or two wrists where hands overlap.

    Args:
        own: keypoints of the crop's hand, crop pixels and score.
        other: keypoints of the other hand, in the same crop's pixels.
        overlap: whether the two hands' boxes intersect (``boxes.overlap``).
    """
    alone = skeleton(own, size=size, min_score=min_score)
    both = wrists(own[..., 0, :], other[..., 0, :], size=size, min_score=min_score)
    return jnp.where(overlap[..., None, None, None], both, alone)


def _squared_distance(
    points: Float[Array, "*b n 2"],
    visible: Bool[Array, "*b n"],
    parent: int,
    child: int,
    size: int,
) -> Float[Array, "*b size size"]:
    """Squared distance of every pixel to one bone; FAR when it is invisible."""
    end = points[..., child, :]
    start = jnp.where(visible[..., parent, None], points[..., parent, :], end)
    along = end - start
    length = jnp.sum(along**2, axis=-1)
    axis = jnp.arange(size, dtype=points.dtype)
    dx = axis - start[..., :1]
    dy = axis - start[..., 1:]
    along = along / jnp.maximum(length, 1e-6)[..., None]
    share = (dx * along[..., :1])[..., None, :] + (dy * along[..., 1:])[..., :, None]
    share = jnp.clip(share, 0.0, 1.0)
    bone = (end - start)[..., None, None]
    x = dx[..., None, :] - share * bone[..., 0, :, :]
    y = dy[..., :, None] - share * bone[..., 1, :, :]
    return jnp.where(visible[..., child, None, None], x**2 + y**2, FAR)


def _coverage(
    squared: Float[Array, "*b size size"], radius: float
) -> Float[Array, "*b size size"]:
    """How much of a pixel a line of this half-width covers, from its distance²."""
    distance = jnp.sqrt(jnp.maximum(squared, 1e-12))
    return jnp.clip(radius + 0.5 - distance, 0.0, 1.0)


def _move(keypoints: Array, move: Motion) -> Array:
    keypoints = swap(keypoints, move.mirror, axis=-3)
    xy = affine.apply(move.T_moved_image[..., None, :, :], keypoints[..., :2])
    return jnp.concatenate([xy, keypoints[..., 2:]], axis=-1)


def _draw(sheet: Sheet) -> Float[Array, "*b 2 s s 3"]:
    points = sheet.cues.values["keypoints"]
    known = sheet.cues.has("keypoints")
    score = points[..., 2:] * known[..., None, None, None]

    def in_crop(points: Float[Array, "*b 2 21 3"]) -> Float[Array, "*b 2 21 2"]:
        return affine.apply(sheet.T_crop_image, points[..., :2])

    own = jnp.concatenate([in_crop(points), score], axis=-1)
    other = jnp.concatenate(
        [in_crop(jnp.flip(points, -3)), jnp.flip(score, -3)], axis=-1
    )
    gated = sheet.overlap[..., None] & ("keypoints" in sheet.gated)
    gated = jnp.broadcast_to(gated, own.shape[:-2])
    return keypoint_image(own, other, gated, size=sheet.size)


KEYPOINTS = CueKind(
    name="keypoints",
    doc="x, y in pixels of the picture, and score",
    storage=PointStorage(shape=(2, NUM_JOINTS, 3)),
    move=_move,
    draw=_draw,
    gate=True,
)
