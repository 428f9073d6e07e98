"""The viewing direction of a crop, in the frame of the picture's camera.

A crop away from the picture's middle shows a hand from the side, so the same pixels
mean another orientation in the camera's frame. Rotating a hand about its wrist by the
inverse of ``rotation`` expresses it as the crop sees it.
"""

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from twohand_jax.geometry import affine, cameras, rotations
from twohand_jax.types import Camera

HIGHEST = jax.lax.Precision.HIGHEST


def rotation(
    T_crop_image: Float[Array, "*b 2 3"], camera: Camera, *, size: int
) -> Float[Array, "*b 3 3"]:
    """Smallest rotation from the optical axis to the ray of the crop's middle.

    Args:
        T_crop_image: map of pixels from the camera's picture to the crop.
        camera: the picture's camera.
        size: side of the crop in pixels.
    """
    chex.assert_shape(T_crop_image, (..., 2, 3))
    batch = T_crop_image.shape[:-2]
    middle = jnp.full((*batch, 1, 2), (size - 1) / 2, T_crop_image.dtype)
    pixel = affine.apply(affine.invert(T_crop_image), middle)
    ray = cameras.backproject(pixel, jnp.ones((*batch, 1)), camera)[..., 0, :]
    return toward(ray)


def toward(ray: Float[Array, "*b 3"]) -> Float[Array, "*b 3 3"]:
    """Smallest rotation from the optical axis to a ray in front of the camera."""
    chex.assert_shape(ray, (..., 3))
    x, y, z = jnp.moveaxis(ray / jnp.linalg.norm(ray, axis=-1, keepdims=True), -1, 0)
    share = 1.0 / (1.0 + z)
    rows = [
        [1.0 - share * x * x, -share * x * y, x],
        [-share * x * y, 1.0 - share * y * y, y],
        [-x, -y, z],
    ]
    return jnp.stack([jnp.stack(row, axis=-1) for row in rows], axis=-2)


def roll(T_crop_image: Float[Array, "*b 2 3"]) -> Float[Array, "*b"]:
    """Angle by which a crop is rotated against its picture, radians, x towards y.

    A crop is rotated before it is mirrored.
    """
    chex.assert_shape(T_crop_image, (..., 2, 3))
    return jnp.arctan2(-T_crop_image[..., 1, 0], T_crop_image[..., 1, 1])


def roll_rotation(T_crop_image: Float[Array, "*b 2 3"]) -> Float[Array, "*b 3 3"]:
    """``roll`` as a rotation about the optical axis, from the crop to the picture."""
    return rotations.rotation_z(roll(T_crop_image))


def turn(
    R: Float[Array, "*b 3 3"], points: Float[Array, "*b n 3"]
) -> Float[Array, "*b n 3"]:
    """Rotate points about the first of them."""
    chex.assert_shape([R, points], [(..., 3, 3), (..., None, 3)])
    pivot = points[..., :1, :]
    moved = jnp.einsum("...ij,...nj->...ni", R, points - pivot, precision=HIGHEST)
    return moved + pivot
