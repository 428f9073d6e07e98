"""Axis-aligned boxes ``(x0, y0, x1, y1)`` in pixels, of numpy or JAX arrays."""

import chex
from jaxtyping import Bool, Float

from twohand_jax.types import Array, array_module

HAND_BOX_SCALE = 1.2  # hand box over the tight box of the 2D joints (METHOD §2)


def from_points(
    points: Float[Array, "*b n 2"], valid: Bool[Array, "*b n"] | None = None
) -> Float[Array, "*b 4"]:
    """Tight box of the valid points; all zeros when there are none."""
    chex.assert_shape(points, (..., None, 2))
    xp = array_module(points, valid)
    if valid is None:
        valid = xp.ones(points.shape[:-1], bool)
    low = xp.min(xp.where(valid[..., None], points, xp.inf), axis=-2)
    high = xp.max(xp.where(valid[..., None], points, -xp.inf), axis=-2)
    box = xp.concatenate([low, high], axis=-1)
    return xp.where(xp.any(valid, axis=-1)[..., None], box, 0.0)


def around_joints(
    joints_px: Float[Array, "*b n 2"],
    valid: Bool[Array, "*b n"] | None = None,
    *,
    scale: float = HAND_BOX_SCALE,
    least: float = 0.0,
) -> Float[Array, "*b 4"]:
    """A hand's box: the tight one of its valid joints, grown about its centre.

    Args:
        joints_px: 2D joints, pixels.
        valid: joints that count; all by default. With none the box is all zeros.
        scale: side of the hand's box over that of the tight one.
        least: lower bound of the tight box's sides, pixels.
    """
    tight = from_points(joints_px, valid)
    xp = array_module(tight)
    box = from_center(center(tight), xp.maximum(size(tight), least) * scale)
    if valid is None:
        return box
    return xp.where(xp.any(valid, axis=-1)[..., None], box, 0.0)


def center(box: Float[Array, "*b 4"]) -> Float[Array, "*b 2"]:
    """Middle of the box."""
    chex.assert_shape(box, (..., 4))
    return (box[..., :2] + box[..., 2:]) / 2


def size(box: Float[Array, "*b 4"]) -> Float[Array, "*b 2"]:
    """Width and height, never negative."""
    chex.assert_shape(box, (..., 4))
    return array_module(box).maximum(box[..., 2:] - box[..., :2], 0.0)


def from_center(
    middle: Float[Array, "*b 2"], extent: Float[Array, "*b 2"]
) -> Float[Array, "*b 4"]:
    """Box of width and height ``extent`` about ``middle``."""
    chex.assert_shape([middle, extent], (..., 2))
    xp = array_module(middle, extent)
    return xp.concatenate([middle - extent / 2, middle + extent / 2], axis=-1)


def scale(box: Float[Array, "*b 4"], factor: float) -> Float[Array, "*b 4"]:
    """Box grown about its centre."""
    return from_center(center(box), size(box) * factor)


def square(box: Float[Array, "*b 4"]) -> Float[Array, "*b 4"]:
    """Smallest square about the same centre that holds the box."""
    xp = array_module(box)
    side = xp.max(size(box), axis=-1, keepdims=True)
    return from_center(center(box), xp.broadcast_to(side, (*side.shape[:-1], 2)))


def union(
    first: Float[Array, "*b 4"], second: Float[Array, "*b 4"]
) -> Float[Array, "*b 4"]:
    """Smallest box that holds both."""
    chex.assert_shape([first, second], (..., 4))
    xp = array_module(first, second)
    low = xp.minimum(first[..., :2], second[..., :2])
    high = xp.maximum(first[..., 2:], second[..., 2:])
    return xp.concatenate([low, high], axis=-1)


def area(box: Float[Array, "*b 4"]) -> Float[Array, "*b"]:
    """Area in square pixels."""
    return array_module(box).prod(size(box), axis=-1)


def iou(
    first: Float[Array, "*b 4"], second: Float[Array, "*b 4"]
) -> Float[Array, "*b"]:
    """Intersection over union; 0 for empty boxes."""
    chex.assert_shape([first, second], (..., 4))
    xp = array_module(first, second)
    low = xp.maximum(first[..., :2], second[..., :2])
    high = xp.minimum(first[..., 2:], second[..., 2:])
    shared = xp.prod(xp.maximum(high - low, 0.0), axis=-1)
    total = area(first) + area(second) - shared
    return xp.where(total > 0, shared / xp.where(total > 0, total, 1.0), 0.0)


def overlap(
    boxes: Float[Array, "*b 2 4"], present: Bool[Array, "*b 2"]
) -> Bool[Array, "*b"]:
    """Whether both hands are there and their unexpanded boxes intersect."""
    return (iou(boxes[..., 0, :], boxes[..., 1, :]) > 0) & present.all(axis=-1)
