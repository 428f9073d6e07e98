"""Axis-aligned boxes ``(x0, y0, x1, y1)`` in pixels."""

import chex
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


def from_points(
    points: Float[Array, "*b n 2"], valid: Bool[Array, "*b n"] | None = None
) -> Float[Array, "*b 4"]:
    """Tight box of the valid points; all zeros when there are none."""
    chex.assert_shape(points, (..., None, 2))
    if valid is None:
        valid = jnp.ones(points.shape[:-1], bool)
    low = jnp.min(jnp.where(valid[..., None], points, jnp.inf), axis=-2)
    high = jnp.max(jnp.where(valid[..., None], points, -jnp.inf), axis=-2)
    box = jnp.concatenate([low, high], axis=-1)
    return jnp.where(jnp.any(valid, axis=-1)[..., None], box, 0.0)


def center(box: Float[Array, "*b 4"]) -> Float[Array, "*b 2"]:
    """Middle of the box."""
    chex.assert_shape(box, (..., 4))
    return (box[..., :2] + box[..., 2:]) / 2


def size(box: Float[Array, "*b 4"]) -> Float[Array, "*b 2"]:
    """Width and height, never negative."""
    chex.assert_shape(box, (..., 4))
    return jnp.maximum(box[..., 2:] - box[..., :2], 0.0)


def from_center(
    middle: Float[Array, "*b 2"], extent: Float[Array, "*b 2"]
) -> Float[Array, "*b 4"]:
    """Box of width and height ``extent`` about ``middle``."""
    chex.assert_shape([middle, extent], (..., 2))
    return jnp.concatenate([middle - extent / 2, middle + extent / 2], axis=-1)


def scale(box: Float[Array, "*b 4"], factor: float) -> Float[Array, "*b 4"]:
    """Box grown about its centre."""
    return from_center(center(box), size(box) * factor)


def square(box: Float[Array, "*b 4"]) -> Float[Array, "*b 4"]:
    """Smallest square about the same centre that holds the box."""
    side = jnp.max(size(box), axis=-1, keepdims=True)
    return from_center(center(box), jnp.broadcast_to(side, (*side.shape[:-1], 2)))


def union(
    first: Float[Array, "*b 4"], second: Float[Array, "*b 4"]
) -> Float[Array, "*b 4"]:
    """Smallest box that holds both."""
    chex.assert_shape([first, second], (..., 4))
    low = jnp.minimum(first[..., :2], second[..., :2])
    high = jnp.maximum(first[..., 2:], second[..., 2:])
    return jnp.concatenate([low, high], axis=-1)


def area(box: Float[Array, "*b 4"]) -> Float[Array, "*b"]:
    """Area in square pixels."""
    return jnp.prod(size(box), axis=-1)


def iou(
    first: Float[Array, "*b 4"], second: Float[Array, "*b 4"]
) -> Float[Array, "*b"]:
    """Intersection over union; 0 for empty boxes."""
    chex.assert_shape([first, second], (..., 4))
    low = jnp.maximum(first[..., :2], second[..., :2])
    high = jnp.minimum(first[..., 2:], second[..., 2:])
    shared = jnp.prod(jnp.maximum(high - low, 0.0), axis=-1)
    total = area(first) + area(second) - shared
    return jnp.where(total > 0, shared / jnp.where(total > 0, total, 1.0), 0.0)
