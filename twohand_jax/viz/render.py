"""Ray casting of hand meshes in NumPy: no display, no system library, no compiler.

A picture is made in four steps: cast one ray a pixel inside the meshes' bounding
rectangle, cast more where the outline or an inner edge passes, shade each hit with
interpolated normals, and average. Light: sky above, key from the upper left, a rim,
and ambient occlusion per vertex, all in linear colour.
"""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32, Int, UInt8

from twohand_jax.collision import vertex_normals
from twohand_jax.geometry import cameras
from twohand_jax.types import Camera
from twohand_jax.viz import rays
from twohand_jax.viz.rays import Hits

# Colours of the right and the left hand, sRGB in [0, 1].
HAND_COLORS = ((0.93, 0.56, 0.42), (0.36, 0.63, 0.86))
SUBPIXELS = ((0.125, 0.375), (-0.375, 0.125), (0.375, -0.125), (-0.125, -0.375))
EDGE_DEPTH = 0.004
UP = (0.0, -1.0, 0.0)
KEY_LIGHT = (-0.45, -0.75, -0.6)


class Mesh(NamedTuple):
    """A surface in the camera frame, metres, with one sRGB colour in [0, 1]."""

    vertices: Float[np.ndarray, "v 3"]
    faces: Int[np.ndarray, "f 3"]
    color: tuple[float, float, float]


class Render(NamedTuple):
    """A drawn picture with straight (not premultiplied) alpha.

    Attributes:
        rgba: sRGB and coverage.
        depth: z in metres of the surface at the pixel centre, infinite beside it.
    """

    rgba: UInt8[np.ndarray, "h w 4"]
    depth: Float32[np.ndarray, "h w"]


class RayScene:
    """Meshes prepared for rays: corners, normals and vertex occlusion."""

    def __init__(self, meshes: Sequence[Mesh], *, occlusion_rays: int = 64) -> None:
        """Join the meshes (at least one).

        Args:
            meshes: in the frame of the camera that will look at them.
            occlusion_rays: directions in which vertices look for what shades them; each
                looks in about a quarter of these.
        """
        sizes = np.cumsum([0, *(len(m.vertices) for m in meshes)])
        self.vertices = np.concatenate([m.vertices for m in meshes]).astype(np.float32)
        self.faces = np.concatenate(
            [m.faces + start for m, start in zip(meshes, sizes, strict=False)]
        ).astype(np.int32)
        self.owner = np.repeat(np.arange(len(meshes)), [len(m.faces) for m in meshes])
        self.colors = np.array([m.color for m in meshes], np.float32) ** 2.2
        self.normals = vertex_normals(self.vertices, self.faces)
        self.corners = self.vertices[self.faces.T]  # (3, f, 3)
        self.openness = self._vertex_openness(occlusion_rays)

    def first_hits(self, points: Float[np.ndarray, "n 2"]) -> Hits:
        """The nearest triangles on the rays through (x, y, 1) of each point."""
        return rays.first_hits(points, self.corners)

    def _vertex_openness(self, count: int) -> Float32[np.ndarray, "v"]:
        """Share of the space above each vertex that is free within 6 cm.

        Directions weigh the more the nearer they are to the normal, and nothing at 60
        degrees from it.
        """
        origins = self.vertices + 1e-3 * self.normals
        free, total = np.zeros((2, len(origins)), np.float32)
        for direction in sphere_points(count):
            weight = np.maximum(self.normals @ direction - 0.5, 0)
            looking = np.flatnonzero(weight)
            if len(looking):
                blocked = rays.are_blocked(
                    origins[looking], direction, self.corners, reach=0.06
                )
                free[looking] += weight[looking] * ~blocked
                total += weight
        return np.where(total > 0, free / np.maximum(total, 1e-6), 1.0)


def render(scene: RayScene, camera: Camera, *, height: int, width: int) -> Render:
    """Draw a scene as a pinhole camera at the origin sees it, on transparent ground."""
    rgba = np.zeros((height, width, 4), np.uint8)
    depth = np.full((height, width), np.inf, np.float32)
    x0, y0, x1, y1 = _visible_rectangle(scene.vertices, camera, height, width)
    if x1 <= x0 or y1 <= y0:
        return Render(rgba, depth)
    y, x = np.mgrid[y0:y1, x0:x1].astype(np.float32)
    color, z, owner = _cast(scene, camera, x.ravel(), y.ravel())
    color = color.reshape(*x.shape, 4)
    edge = _edges(owner.reshape(x.shape), z.reshape(x.shape))
    fine = [_cast(scene, camera, x[edge] + dx, y[edge] + dy)[0] for dx, dy in SUBPIXELS]
    color[edge] = np.mean(fine, axis=0)
    rgba[y0:y1, x0:x1] = _to_bytes(color)
    depth[y0:y1, x0:x1] = z.reshape(x.shape)
    return Render(rgba, depth)


def paste(
    rgba: UInt8[np.ndarray, "h w 4"], background: UInt8[np.ndarray, "h w 3"]
) -> UInt8[np.ndarray, "h w 3"]:
    """Lay a drawing over a picture of the same size."""
    drawn = rgba[..., 3] > 0  # few of a picture's pixels
    above, picture = rgba[drawn], background.copy()
    alpha = above[:, 3:].astype(np.float32) / 255
    mixed = above[:, :3] * alpha + picture[drawn] * (1 - alpha)
    picture[drawn] = np.rint(mixed).astype(np.uint8)
    return picture


def sphere_points(count: int) -> Float32[np.ndarray, "n 3"]:
    """Evenly spread unit vectors (Fibonacci lattice)."""
    index = np.arange(count) + 0.5
    z, turn = 1 - 2 * index / count, index * np.pi * (1 + 5**0.5)
    radius = np.sqrt(1 - z**2)
    points = np.stack([radius * np.cos(turn), radius * np.sin(turn), z], axis=-1)
    return points.astype(np.float32)


def _visible_rectangle(
    vertices: Float[np.ndarray, "v 3"], camera: Camera, height: int, width: int
) -> tuple[int, int, int, int]:
    """Pixels x0, y0, x1, y1 (ends excluded) outside which nothing is drawn."""
    if (vertices[:, 2] <= 1e-3).any():
        return 0, 0, width, height
    pixels = cameras.project(vertices, Camera(*map(np.asarray, camera)))
    limit = np.array([width, height])
    low = np.clip(np.floor(pixels.min(axis=0)) - 1, 0, limit).astype(int)
    high = np.clip(np.ceil(pixels.max(axis=0)) + 2, 0, limit).astype(int)
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])


def _cast(
    scene: RayScene,
    camera: Camera,
    x: Float32[np.ndarray, "n"],
    y: Float32[np.ndarray, "n"],
) -> tuple[Float32[np.ndarray, "n 4"], Float32[np.ndarray, "n"], Int[np.ndarray, "n"]]:
    """Premultiplied linear colour, depth and mesh number (-1) at pixel positions."""
    focal, center = np.asarray(camera.focal), np.asarray(camera.center)
    points = (np.stack([x, y], axis=-1) - center) / focal
    hits = scene.first_hits(points)
    found = hits.triangle >= 0
    color = np.zeros((len(x), 4), np.float32)
    owner = np.where(found, scene.owner[hits.triangle], -1)
    color[found, :3] = _shade(scene, points[found], Hits(*(a[found] for a in hits)))
    color[found, 3] = 1.0
    return color, hits.depth, owner


def _shade(
    scene: RayScene, points: Float[np.ndarray, "n 2"], hits: Hits
) -> Float32[np.ndarray, "n 3"]:
    """Linear colour of hits on the rays through (x, y, 1) of each point."""
    corners = scene.faces[hits.triangle]
    normal = np.einsum("nk,nkc->nc", hits.share, scene.normals[corners])
    openness = np.einsum("nk,nk->n", hits.share, scene.openness[corners])
    view = -np.pad(points, ((0, 0), (0, 1)), constant_values=1).astype(np.float32)
    view /= np.linalg.norm(view, axis=-1, keepdims=True)
    facing = np.sum(normal * view, axis=-1, keepdims=True)
    normal = np.where(facing < 0, -normal, normal)
    normal /= np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-6)
    light = _unit(KEY_LIGHT)
    sky = 0.5 + 0.5 * normal @ _unit(UP)
    ambient = (0.30 + 0.34 * sky) * (0.25 + 0.75 * openness)
    key = 0.62 * np.maximum(normal @ light, 0) * (0.5 + 0.5 * openness)
    half = light + view
    half /= np.linalg.norm(half, axis=-1, keepdims=True)
    gloss = 0.07 * np.maximum(np.sum(normal * half, axis=-1), 0) ** 24
    rim = 0.10 * (1 - np.clip(np.abs(facing[:, 0]), 0, 1)) ** 3 * openness
    color = scene.colors[scene.owner[hits.triangle]]
    return color * (ambient + key)[:, None] + (gloss + rim)[:, None]


def _unit(vector: Sequence[float]) -> Float32[np.ndarray, "3"]:
    array = np.asarray(vector, np.float32)
    return array / np.linalg.norm(array)


def _edges(
    owner: Int[np.ndarray, "h w"], depth: Float32[np.ndarray, "h w"]
) -> Bool[np.ndarray, "h w"]:
    """Pixels next to another mesh, to nothing, or to a step in depth."""
    kernel = np.ones((3, 3), np.uint8)
    filled = np.where(owner >= 0, depth, 0).astype(np.float32)
    steps = [
        cv2.dilate(layer, kernel) - cv2.erode(layer, kernel)
        for layer in (owner.astype(np.float32), filled)
    ]
    return (steps[0] > 0) | (steps[1] > EDGE_DEPTH)


def _to_bytes(
    premultiplied: Float32[np.ndarray, "h w 4"],
) -> UInt8[np.ndarray, "h w 4"]:
    result = np.zeros(premultiplied.shape, np.uint8)
    drawn = premultiplied[..., 3] > 0
    values = premultiplied[drawn]
    values[:, :3] /= np.maximum(values[:, 3:], 1e-6)
    values[:, :3] = np.clip(values[:, :3], 0, 1) ** (1 / 2.2)
    result[drawn] = np.rint(values * 255).astype(np.uint8)
    return result
