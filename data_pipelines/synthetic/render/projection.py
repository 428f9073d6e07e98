"""How cameras and lamps project, as the shaders want it."""

import numpy as np
from jaxtyping import Float, Int

from twohand_jax.types import Camera

SHADOW_MARGIN = 0.02
SHADOW_DEPTHS = 3.0


def projection(camera: Camera, size: tuple[int, int]) -> Float[np.ndarray, "4"]:
    """Factors a, b, c, d of clip.x = a X + b Z and clip.y = c Y + d Z.

    Pixel (0, 0) is the centre of the first texel, and rows run downwards without a
    flip: the first image row is OpenGL's first row.

    Args:
        camera: focal length and principal point in pixels, each of shape (2,).
        size: height and width in pixels.
    """
    height, width = size
    (fx, fy), (cx, cy) = np.asarray(camera.focal), np.asarray(camera.center)
    a, b = 2 * fx / width, (2 * cx + 1) / width - 1
    c, d = 2 * fy / height, (2 * cy + 1) / height - 1
    return np.array([a, b, c, d])


def shadow_matrix(
    positions: Float[np.ndarray, "n 3"],
    triangles: Int[np.ndarray, "f 3"],
    direction: Float[np.ndarray, "3"],
) -> Float[np.ndarray, "4 4"]:
    """Parallel projection along a lamp that just holds some triangles.

    Args:
        positions: metres, camera frame.
        triangles: those to hold; the depth range is wider, so that things near them
            cast shadows too.
        direction: unit vector to the lamp, camera frame.
    """
    held = positions[triangles.ravel()] if len(triangles) else np.zeros((1, 3))
    low, high = held.min(axis=0), held.max(axis=0)
    center = (low + high) / 2
    radius = np.linalg.norm(high - low) / 2 + SHADOW_MARGIN
    right = np.cross(np.eye(3)[np.argmin(np.abs(direction))], direction)
    right /= np.linalg.norm(right)
    axes = np.stack([right, np.cross(direction, right), -direction / SHADOW_DEPTHS])
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = axes / radius, -axes @ center / radius
    return matrix
