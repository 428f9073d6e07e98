"""Affine maps of the image plane as ``(2, 3)`` matrices, and crops made with them.

A map named ``T_a_b`` takes pixels of frame b to pixels of frame a.
"""

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from twohand_jax.geometry import boxes

HIGHEST = jax.lax.Precision.HIGHEST


def crop(
    box: Float[Array, "*b 4"],
    *,
    size: int,
    angle: Float[Array, "*b"] | float = 0.0,
    mirror: Bool[Array, "*b"] | bool = False,
    center: float | None = None,
) -> Float[Array, "*b 2 3"]:
    """Affine map from image pixels to pixels of the crop that shows a square box.

    Args:
        box: square box, pixels; its centre maps to ``center``.
        size: side of the crop in pixels.
        angle: angle by which the content is rotated, radians, x towards y.
        mirror: whether the crop is then mirrored, x to ``size - 1 - x``.
        center: x and y of the crop's pixel, before it is mirrored; None for the crop's
            own centre, ``(size - 1) / 2``.
    """
    chex.assert_shape(box, (..., 4))
    side = jnp.maximum(boxes.size(box)[..., 0], 1e-6)
    angle = jnp.broadcast_to(jnp.asarray(angle, box.dtype), side.shape)
    sign = jnp.where(jnp.broadcast_to(jnp.asarray(mirror), side.shape), -1.0, 1.0)
    factor = size / side
    cosine, sine = factor * jnp.cos(angle), factor * jnp.sin(angle)
    linear = jnp.stack(
        [
            jnp.stack([sign * cosine, -sign * sine], axis=-1),
            jnp.stack([sine, cosine], axis=-1),
        ],
        axis=-2,
    )
    moved = jnp.einsum("...ij,...j->...i", linear, boxes.center(box), precision=HIGHEST)
    middle = (size - 1) / 2 if center is None else center
    x = jnp.where(sign < 0, size - 1 - middle, middle)
    offset = jnp.stack([x, jnp.full_like(x, middle)], axis=-1) - moved
    return jnp.concatenate([linear, offset[..., None]], axis=-1)


def apply(
    T: Float[Array, "*b 2 3"], points: Float[Array, "*b n 2"]
) -> Float[Array, "*b n 2"]:
    """Apply a map to points, pixels."""
    chex.assert_shape([T, points], [(..., 2, 3), (..., None, 2)])
    linear, offset = T[..., :2], T[..., 2]
    moved = jnp.einsum("...ij,...nj->...ni", linear, points, precision=HIGHEST)
    return moved + offset[..., None, :]


def invert(T: Float[Array, "*b 2 3"]) -> Float[Array, "*b 2 3"]:
    """The inverse of a map."""
    chex.assert_shape(T, (..., 2, 3))
    a, b, c, d = T[..., 0, 0], T[..., 0, 1], T[..., 1, 0], T[..., 1, 1]
    adjugate = jnp.stack([jnp.stack([d, -b], -1), jnp.stack([-c, a], -1)], -2)
    linear = adjugate / (a * d - b * c)[..., None, None]
    offset = -jnp.einsum("...ij,...j->...i", linear, T[..., 2], precision=HIGHEST)
    return jnp.concatenate([linear, offset[..., None]], axis=-1)


def compose(
    first: Float[Array, "*b 2 3"], second: Float[Array, "*b 2 3"]
) -> Float[Array, "*b 2 3"]:
    """The map that applies ``second``, then ``first``."""
    chex.assert_shape([first, second], (..., 2, 3))
    linear = jnp.einsum(
        "...ij,...jk->...ik", first[..., :2], second[..., :2], precision=HIGHEST
    )
    offset = apply(first, second[..., None, :, 2])[..., 0, :]
    return jnp.concatenate([linear, offset[..., None]], axis=-1)


def warp(
    image: Float[Array, "*b h w c"],
    T_image_crop: Float[Array, "*b 2 3"],
    *,
    size: int,
    nearest: bool = False,
) -> Float[Array, "*b s s c"]:
    """Resample an image on the grid of a crop; zero outside, bilinear by default."""
    chex.assert_shape([image, T_image_crop], [(..., None, None, None), (..., 2, 3)])
    batch = image.shape[:-3]
    flat = image.reshape(-1, *image.shape[-3:])
    maps = jnp.broadcast_to(T_image_crop, (*batch, 2, 3)).reshape(-1, 2, 3)
    sample = _sample_nearest if nearest else _sample_bilinear
    out = jax.vmap(lambda i, t: sample(i, _grid(t, size)))(flat, maps)
    return out.reshape(*batch, size, size, image.shape[-1])


def _grid(T: Float[Array, "2 3"], size: int) -> Float[Array, "n 2"]:
    axis = jnp.arange(size, dtype=T.dtype)
    y, x = jnp.meshgrid(axis, axis, indexing="ij")
    return apply(T, jnp.stack([x.ravel(), y.ravel()], axis=-1))


def _pick(
    image: Float[Array, "h w c"], x: Float[Array, "n"], y: Float[Array, "n"]
) -> Float[Array, "n c"]:
    height, width, channels = image.shape
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    column = jnp.clip(x, 0, width - 1).astype(jnp.int32)
    row = jnp.clip(y, 0, height - 1).astype(jnp.int32)
    flat = image.reshape(height * width, channels)
    values = flat.at[row * width + column].get(mode="promise_in_bounds")
    return jnp.where(inside[:, None], values, 0)


def _sample_nearest(
    image: Float[Array, "h w c"], points: Float[Array, "n 2"]
) -> Float[Array, "n c"]:
    nearest = jnp.floor(points + 0.5)
    return _pick(image, nearest[:, 0], nearest[:, 1])


def _sample_bilinear(
    image: Float[Array, "h w c"], points: Float[Array, "n 2"]
) -> Float[Array, "n c"]:
    low = jnp.floor(points)
    fx, fy = jnp.split(points - low, 2, axis=-1)
    x, y = low[:, 0], low[:, 1]
    top = _pick(image, x, y) * (1 - fx) + _pick(image, x + 1, y) * fx
    bottom = _pick(image, x, y + 1) * (1 - fx) + _pick(image, x + 1, y + 1) * fx
    return top * (1 - fy) + bottom * fy
