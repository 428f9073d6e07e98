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
    angle: Float[Array, "*b"] | None = None,
) -> Float[Array, "*b 4"]:
    """Box of a hand: the tight box of its valid joints, grown about its centre.

    Args:
        joints_px: 2D joints, pixels.
        valid: joints that count, by default all; if none does, the box is all zeros.
        scale: ratio of the box's side to that of the tight box.
        least: lower bound of the tight box's sides, pixels.
        angle: angle of the tight box in radians, x towards y. The returned box has to
            be rotated by the same angle about its centre. None for an upright box.
    """
    if angle is not None:
        joints_px = rotate(joints_px, -angle)
    tight = from_points(joints_px, valid)
    xp = array_module(tight)
    middle, extent = center(tight), xp.maximum(size(tight), least) * scale
    if angle is not None:
        middle = rotate(middle[..., None, :], angle)[..., 0, :]
    box = from_center(middle, extent)
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
    """Box of width and height ``extent`` centred at ``middle``."""
    chex.assert_shape([middle, extent], (..., 2))
    xp = array_module(middle, extent)
    return xp.concatenate([middle - extent / 2, middle + extent / 2], axis=-1)


def scale(box: Float[Array, "*b 4"], factor: float) -> Float[Array, "*b 4"]:
    """Box grown about its centre."""
    return from_center(center(box), size(box) * factor)


def square(box: Float[Array, "*b 4"], *, aspect: float = 1.0) -> Float[Array, "*b 4"]:
    """Smallest square with the same centre whose seen part contains the box.

    Args:
        box: any box.
        aspect: width over height of the part of the square that is seen: its middle
            columns.
    """
    xp = array_module(box)
    needed = size(box) / xp.array([aspect, 1.0], box.dtype)
    side = xp.max(needed, axis=-1, keepdims=True)
    return from_center(center(box), xp.broadcast_to(side, (*side.shape[:-1], 2)))


def union(
    first: Float[Array, "*b 4"], second: Float[Array, "*b 4"]
) -> Float[Array, "*b 4"]:
    """Smallest box that contains both."""
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
    boxes: Float[Array, "*b 2 4"],
    present: Bool[Array, "*b 2"],
    *,
    angle: Float[Array, "*b 2"] | None = None,
) -> Bool[Array, "*b"]:
    """Whether both hands are present and their unexpanded boxes intersect.

    Args:
        boxes: boxes of both hands, pixels.
        present: which hands are present.
        angle: angle of each box about its centre, radians, x towards y.
    """
    first, second = boxes[..., 0, :], boxes[..., 1, :]
    if angle is None:
        meet = iou(first, second) > 0
    else:
        apart = angle[..., 1] - angle[..., 0]
        gap = (center(second) - center(first))[..., None, :]
        meet = _spans_meet(first, second, rotate(gap, -angle[..., 0]), apart)
        meet = meet & _spans_meet(second, first, rotate(gap, -angle[..., 1]), -apart)
        meet = meet & (area(first) > 0) & (area(second) > 0)
    return meet & present.all(axis=-1)


def rotate(
    points: Float[Array, "*b n 2"], angle: Float[Array, "*b"]
) -> Float[Array, "*b n 2"]:
    """Rotate points about the origin by an angle in radians, x towards y."""
    xp = array_module(points, angle)
    cosine, sine = xp.cos(angle)[..., None], xp.sin(angle)[..., None]
    x, y = points[..., 0], points[..., 1]
    return xp.stack([cosine * x - sine * y, sine * x + cosine * y], axis=-1)


def around_turned(
    box: Float[Array, "*b 4"], angle: Float[Array, "*b"]
) -> Float[Array, "*b 4"]:
    """Smallest upright box around a box that is rotated about its centre (radians)."""
    return from_center(center(box), _turned_size(box, angle))


def _turned_size(
    box: Float[Array, "*b 4"], angle: Float[Array, "*b"]
) -> Float[Array, "*b 2"]:
    """Width and height of the upright box about a turned one."""
    xp = array_module(box, angle)
    cosine, sine = abs(xp.cos(angle)), abs(xp.sin(angle))
    width, height = size(box)[..., 0], size(box)[..., 1]
    sides = [cosine * width + sine * height, sine * width + cosine * height]
    return xp.stack(sides, axis=-1)


def _spans_meet(
    first: Float[Array, "*b 4"],
    second: Float[Array, "*b 4"],
    gap: Float[Array, "*b 1 2"],
    apart: Float[Array, "*b"],
) -> Bool[Array, "*b"]:
    """Whether two boxes meet along both axes of the first (separating axes).

    Args:
        first: box whose axes count.
        second: the other box.
        gap: from centre to centre along these axes.
        apart: angle of the second box against the first.
    """
    reach = (size(first) + _turned_size(second, apart)) / 2
    return (abs(gap[..., 0, :]) < reach).all(axis=-1)
