"""Hands drawn on the frames of a video: quick, and less fine than ``viz.overlay``.

Triangles are filled from the farthest to the nearest, each in one shade: a few
milliseconds a frame, where a ray through each pixel takes hundreds.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, Int, UInt8

from twohand_jax.collision import vertex_normals
from twohand_jax.errors import InputError
from twohand_jax.geometry import cameras
from twohand_jax.types import Camera
from twohand_jax.viz.render import KEY_LIGHT, UP, Mesh

OPACITY = 0.9
FINE = 4  # bits of a pixel's fractions
NEAREST = 0.02  # metres; triangles that reach nearer are left out
CODEC = "mp4v"


def draw(
    image: UInt8[np.ndarray, "h w 3"], meshes: Sequence[Mesh], camera: Camera
) -> UInt8[np.ndarray, "h w 3"]:
    """The image with the hands on it.

    Args:
        image: RGB.
        meshes: in the camera frame.
        camera: of the image.
    """
    if not meshes:
        return image
    starts = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes)])
    vertices = np.concatenate([mesh.vertices for mesh in meshes]).astype(np.float64)
    pairs = zip(meshes, starts, strict=False)
    faces = np.concatenate([mesh.faces + start for mesh, start in pairs])
    owner = np.repeat(np.arange(len(meshes)), [len(mesh.faces) for mesh in meshes])
    shade = _shade(vertices, faces)
    colors = np.array([mesh.color for mesh in meshes])[owner] ** 2.2 * shade[:, None]
    colors = np.rint(255 * np.clip(colors, 0, 1) ** (1 / 2.2))
    corners = vertices[faces]
    facing = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    is_front = np.einsum("fk,fk->f", facing, corners.mean(axis=1)) < 0
    is_drawn = is_front & (corners[..., 2].min(axis=1) > NEAREST)
    pixels = cameras.project(vertices, Camera(*map(np.asarray, camera)))
    limit = 4 * max(image.shape)
    fixed = np.rint(np.clip(pixels, -limit, limit) * 2**FINE).astype(np.int32)
    order = np.argsort(-corners[..., 2].mean(axis=1))
    order = order[is_drawn[order]]
    drawn = image.copy()
    triangles, shades = fixed[faces[order]], colors[order].tolist()
    for triangle, color in zip(triangles, shades, strict=True):
        cv2.fillConvexPoly(drawn, triangle, color, cv2.LINE_8, FINE)
    return np.asarray(cv2.addWeighted(drawn, OPACITY, image, 1 - OPACITY, 0.0))


def _shade(
    vertices: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"]
) -> Float[np.ndarray, "f"]:
    """Light of each face, linear: sky from above and a lamp, as ``viz.render``'s."""
    normals = np.asarray(vertex_normals(vertices, faces))[faces].mean(axis=1)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    lamp = np.array(KEY_LIGHT) / np.linalg.norm(KEY_LIGHT)
    sky = 0.5 + 0.5 * normals @ np.array(UP)
    return 0.26 + 0.3 * sky + 0.62 * np.maximum(normals @ lamp, 0)


def write(
    path: Path, images: Iterable[UInt8[np.ndarray, "h w 3"]], rate: float
) -> None:
    """Write an MP4; a last odd row or column is left out.

    Args:
        path: of the file.
        images: RGB, of one size.
        rate: frames a second.

    Raises:
        InputError: this OpenCV writes no such videos.
    """
    video = None
    for image in images:
        height, width = (2 * (side // 2) for side in image.shape[:2])
        if video is None:
            code = cv2.VideoWriter.fourcc(*CODEC)
            video = cv2.VideoWriter(str(path), code, rate, (width, height))
            if not video.isOpened():
                raise InputError(
                    f"OpenCV cannot write {path}: this build has no MPEG-4 encoder, or "
                    f"takes no {width} x {height} pixels; install "
                    "opencv-python-headless from the package index."
                )
        video.write(cv2.cvtColor(image[:height, :width], cv2.COLOR_RGB2BGR))
    if video is not None:
        video.release()
