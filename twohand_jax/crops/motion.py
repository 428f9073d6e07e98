"""A picture mirrored and turned: the random motion that training gives it.

A ``Motion`` takes the picture to a new picture: mirrored about a vertical line, then
turned about a point of it.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from twohand_jax.geometry import rotations

HIGHEST = jax.lax.Precision.HIGHEST


class Motion(NamedTuple):
    """A picture mirrored about x (where the flag is set), then turned by ``angle``.

    Angles are in radians and turn x towards y. ``T_moved_image`` is the map of pixels.
    """

    mirror: Bool[Array, "*b"]
    angle: Float[Array, "*b"]
    T_moved_image: Float[Array, "*b 2 3"]


def motion(
    mirror: Bool[Array, "*b"],
    angle: Float[Array, "*b"],
    pivot: Float[Array, "*b 2"],
) -> Motion:
    """The motion that keeps ``pivot`` (pixels) in its place."""
    R = rotations.rotation_z(angle)[..., :2, :2]
    sign = jnp.where(mirror, -1.0, 1.0)
    flip = jnp.stack([sign, jnp.ones_like(sign)], axis=-1)
    linear = R * flip[..., None, :]
    moved = jnp.einsum("...ij,...j->...i", linear, pivot, precision=HIGHEST)
    T = jnp.concatenate([linear, (pivot - moved)[..., None]], axis=-1)
    return Motion(mirror=mirror, angle=angle, T_moved_image=T)


def swap(array: Array, where: Bool[Array, "*b"], *, axis: int) -> Array:
    """The array with its hand axis (counted from the right) reversed where asked."""
    where = where.reshape(*where.shape, *(1,) * (-axis))
    return jnp.where(where, jnp.flip(array, axis), array)
