"""The fisheye lens of the egocentric cameras, and the pinhole view of its pictures.

With theta the angle between a ray and the optical axis, the lens draws the ray at the
distance ``theta (1 + k1 theta^2 + k2 theta^4 + k3 theta^6 + k4 theta^8)`` focal lengths
from the principal point (Kannala and Brandt, 2006; OpenCV's ``fisheye`` model). The
dataset's reader projects with the same polynomial (facebookresearch/InterWild,
``distort_projection_fisheye``).
"""

import functools
import math

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from twohand_jax.types import Camera

NEWTON_STEPS = 12
SMALLEST = 1e-9


def distort(
    plane: Float[np.ndarray, "*b 2"], distortion: Float[np.ndarray, "4"]
) -> Float[np.ndarray, "*b 2"]:
    """Where the lens draws rays ``(x / z, y / z)``, in focal lengths."""
    radius = np.linalg.norm(plane, axis=-1, keepdims=True)
    drawn = _drawn_radius(np.arctan(radius), distortion)
    return plane * np.where(radius > SMALLEST, drawn / np.maximum(radius, SMALLEST), 1)


def undistort(
    drawn: Float[np.ndarray, "*b 2"], distortion: Float[np.ndarray, "4"]
) -> Float[np.ndarray, "*b 2"]:
    """Rays ``(x / z, y / z)`` of points drawn by the lens: the inverse of ``distort``.

    Newton's method; exact for lenses whose polynomial grows up to a right angle.
    """
    radius = np.linalg.norm(drawn, axis=-1, keepdims=True)
    ray = np.tan(_angle(radius, distortion))
    return drawn * np.where(radius > SMALLEST, ray / np.maximum(radius, SMALLEST), 1)


def pinhole(
    camera: Camera,
    distortion: Float[np.ndarray, "4"],
    size: tuple[int, int],
    *,
    max_angle: float,
) -> Camera:
    """The camera without distortion whose picture of the same size shows as much.

    Its principal point and pixel shape are the lens' own. Its focal length is the
    largest that keeps the middle of each edge in the picture, but no ray is kept for
    being further than ``max_angle`` from the axis: the tangent would shrink the rest.

    Args:
        camera: of the lens.
        distortion: of the lens.
        size: width and height, pixels.
        max_angle: radians.
    """
    focal, center = np.asarray(camera.focal), np.asarray(camera.center)
    edges = np.maximum(np.stack([center, np.asarray(size) - 1 - center]), 1.0) / focal
    angles = np.minimum(_angle(edges, distortion), max_angle)
    scale = np.min(edges / np.tan(angles))
    return Camera(focal=focal * scale, center=center)


def straighten(
    image: UInt8[np.ndarray, "h w 3"],
    camera: Camera,
    distortion: Float[np.ndarray, "4"],
    view: Camera,
) -> UInt8[np.ndarray, "h w 3"]:
    """The picture as the pinhole camera ``view`` sees it; black outside of the lens."""
    height, width = image.shape[:2]
    key = tuple(float(x) for part in (*camera, distortion, *view) for x in part)
    x, y = _maps(key, (width, height))
    return cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)


@functools.lru_cache(maxsize=4)
def _maps(
    key: tuple[float, ...], size: tuple[int, int]
) -> tuple[Float[np.ndarray, "h w"], Float[np.ndarray, "h w"]]:
    """For each pixel of the view, the lens' pixel; one lens serves a whole capture."""
    values = np.asarray(key)
    focal, center, distortion = values[:2], values[2:4], values[4:8]
    view_focal, view_center = values[8:10], values[10:]
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in size)), axis=-1)
    drawn = distort((grid - view_center) / view_focal, distortion)
    pixels = (drawn * focal + center).astype(np.float32)
    return np.ascontiguousarray(pixels[..., 0]), np.ascontiguousarray(pixels[..., 1])


def _drawn_radius(
    theta: Float[np.ndarray, "..."], distortion: Float[np.ndarray, "4"]
) -> Float[np.ndarray, "..."]:
    square = theta**2
    k1, k2, k3, k4 = distortion
    return theta * (1 + square * (k1 + square * (k2 + square * (k3 + square * k4))))


def _angle(
    radius: Float[np.ndarray, "..."], distortion: Float[np.ndarray, "4"]
) -> Float[np.ndarray, "..."]:
    """The angle from the axis whose ray is drawn at this radius."""
    k1, k2, k3, k4 = distortion
    theta = np.minimum(radius, math.pi / 2)
    for _ in range(NEWTON_STEPS):
        square = theta**2
        slope = 1 + square * (
            3 * k1 + square * (5 * k2 + square * (7 * k3 + square * 9 * k4))
        )
        step = (_drawn_radius(theta, distortion) - radius) / np.maximum(slope, 0.1)
        theta = np.clip(theta - step, 0.0, math.pi / 2 - 1e-6)
    return theta
