"""Perspective cameras, and how a crop's virtual camera relates to the picture's.

``project`` and ``backproject`` return numpy arrays if they are given numpy arrays.
"""

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Float

from twohand_jax.types import Array, Camera, array_module

NEAREST_M = 1e-3  # a nearer point is projected as if it were there
HIGHEST = jax.lax.Precision.HIGHEST


def project(points: Float[Array, "*b n 3"], camera: Camera) -> Float[Array, "*b n 2"]:
    """Project points in the camera frame (metres) to pixels; depth is at least 1 mm."""
    chex.assert_shape([points, *camera], [(..., None, 3), (..., 2), (..., 2)])
    depth = array_module(points).maximum(points[..., 2:], NEAREST_M)
    focal, center = camera.focal[..., None, :], camera.center[..., None, :]
    return points[..., :2] / depth * focal + center


def backproject(
    pixels: Float[Array, "*b n 2"], depth: Float[Array, "*b n"], camera: Camera
) -> Float[Array, "*b n 3"]:
    """Points in the camera frame that project to ``pixels`` at ``depth`` metres."""
    chex.assert_shape([pixels, *camera], [(..., None, 2), (..., 2), (..., 2)])
    focal, center = camera.focal[..., None, :], camera.center[..., None, :]
    plane = (pixels - center) / focal * depth[..., None]
    xp = array_module(plane, depth)
    return xp.concatenate([plane, depth[..., None]], axis=-1)


def virtual(size: int, *, focal: float) -> Camera:
    """The virtual camera of a crop: focal 5000, centre (128, 128) at 256 pixels.

    Args:
        size: side of the crop in pixels.
        focal: focal length in pixels for a 256-pixel crop; scaled with the size.
    """
    focal_px = focal * size / 256
    return Camera(focal=jnp.full((2,), focal_px), center=jnp.full((2,), size / 2))


def default(height: int, width: int) -> Camera:
    """A camera for a picture without known intrinsics.

    Focal length = the picture's diagonal (a field of view of 53 degrees over the
    diagonal, near a phone's or a 43 mm lens); principal point in the middle.
    """
    diagonal = float(height**2 + width**2) ** 0.5
    return Camera(
        focal=jnp.full((2,), diagonal),
        center=jnp.array([(width - 1) / 2, (height - 1) / 2]),
    )


def place(
    points: Float[Array, "*b n 3"],
    pixels: Float[Array, "*b n 2"],
    camera: Camera,
    *,
    nearest: float = 0.05,
) -> Float[Array, "*b 3"]:
    """Translation (metres) of an object whose shape and rotation are known.

    With rays ``a = (pixel - center) / focal`` each point gives the equations
    ``t_xy - a t_z = a p_z - p_xy``, which are solved by least squares in closed form.

    Args:
        points: points of the object about any origin, in the camera's axes, metres.
        pixels: their places in the picture.
        camera: the picture's camera.
        nearest: smallest distance of the origin from the camera, metres.
    """
    chex.assert_shape([points, pixels], [(..., None, 3), (..., None, 2)])
    rays = (pixels - camera.center[..., None, :]) / camera.focal[..., None, :]
    offset = rays * points[..., 2:] - points[..., :2]
    ray, middle = (jnp.mean(x, axis=-2, keepdims=True) for x in (rays, offset))
    spread = jnp.sum((rays - ray) ** 2, axis=(-2, -1))
    shared = jnp.sum((rays - ray) * (offset - middle), axis=(-2, -1))
    depth = jnp.maximum(-shared / jnp.maximum(spread, 1e-9), nearest)
    planar = (middle + ray * depth[..., None, None])[..., 0, :]
    return jnp.concatenate([planar, depth[..., None]], axis=-1)


def crop_to_image(
    point: Float[Array, "*b 3"],
    T_crop_image: Float[Array, "*b 2 3"],
    crop_camera: Camera,
    image_camera: Camera,
) -> Float[Array, "*b 3"]:
    """Move a point from a crop's virtual camera to the picture's camera.

    The pixel is kept exactly, and the depth is such that an object around the point
    keeps its size in pixels: ``Z = z · f_image · s / f_crop`` with s crop pixels to an
    image pixel. The point is in the crop's frame (mirrored crops give mirrored points).
    """
    chex.assert_shape([point, T_crop_image], [(..., 3), (..., 2, 3)])
    linear = T_crop_image[..., :2]
    scale = jnp.sqrt(jnp.abs(jnp.linalg.det(linear)))
    ratio = image_camera.focal[..., 0] / crop_camera.focal[..., 0]
    depth = point[..., 2] * ratio * scale
    pixel = project(point[..., None, :], crop_camera) - T_crop_image[..., None, :, 2]
    pixel = jnp.linalg.solve(linear, pixel[..., 0, :, None])[..., 0]
    return backproject(pixel[..., None, :], depth[..., None], image_camera)[..., 0, :]


def transform(
    points: Float[Array, "*b n 3"],
    R: Float[Array, "*b 3 3"],
    t: Float[Array, "*b 3"],
) -> Float[Array, "*b n 3"]:
    """Rigid motion ``R p + t``, for instance world to camera."""
    chex.assert_shape([points, R, t], [(..., None, 3), (..., 3, 3), (..., 3)])
    return (
        jnp.einsum("...ij,...nj->...ni", R, points, precision=HIGHEST)
        + (t[..., None, :])
    )
