"""Cues as pictures, the form in which the network takes them (METHOD §3)."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Integer

from twohand_jax.geometry import boxes as box_ops

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
        overlap: whether the two hands' boxes intersect (``overlaps``).
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


OTHER_HAND = 0.5


def overlaps(
    boxes: Float[Array, "*b 2 4"], present: Bool[Array, "*b 2"]
) -> Bool[Array, "*b"]:
    """Whether both hands are there and their unexpanded boxes intersect."""
    iou = box_ops.iou(boxes[..., 0, :], boxes[..., 1, :])
    return (iou > 0) & jnp.all(present, axis=-1)


def segmentation_image(
    labels: Integer[Array, "*b h w"] | Float[Array, "*b h w"],
    hand: Integer[Array, "*b"] | int,
    overlap: Bool[Array, "*b"],
) -> Float[Array, "*b h w 3"]:
    """Label map as the picture of one hand's crop, three equal channels.

    Args:
        labels: 0 background, 1 right, 2 left.
        hand: the crop's hand, 0 right or 1 left. It is drawn as 1, the other as 0.5.
        overlap: whether the hands' boxes intersect; then both are drawn as 1.
    """
    own_label = jnp.asarray(hand)[..., None, None] + 1
    other = jnp.where(overlap, 1.0, OTHER_HAND)[..., None, None]
    value = jnp.where(labels == own_label, 1.0, jnp.where(labels > 0, other, 0.0))
    return jnp.repeat(value[..., None], 3, axis=-1)


def depth_image(
    depth: Float[Array, "*b h w"],
    labels: Integer[Array, "*b h w"] | Float[Array, "*b h w"],
) -> Float[Array, "*b h w 3"]:
    """Relative depth of the hands in a crop, three equal channels.

    Nearest 1, farthest 0.1, background 0: a far hand still differs from no hand.
    A crop in which the hands have one depth only gives 1 there.

    Args:
        depth: any affine measure of depth, smaller is nearer.
        labels: 0 background, 1 right, 2 left, or any mask of the hands.
    """
    mask = labels > 0
    near = jnp.min(jnp.where(mask, depth, jnp.inf), axis=(-2, -1), keepdims=True)
    far = jnp.max(jnp.where(mask, depth, -jnp.inf), axis=(-2, -1), keepdims=True)
    span = jnp.where(far > near, far - near, 1.0)
    share = (jnp.where(mask, depth, 0.0) - jnp.where(mask, near, 0.0)) / span
    value = jnp.where(mask, 1.0 - 0.9 * share, 0.0)
    return jnp.repeat(value[..., None], 3, axis=-1)
