"""Ray casting of hand meshes with embree: no display, no system library.

A picture is made in four steps: cast one ray a pixel inside the meshes' bounding
rectangle, cast more where the outline or an inner edge passes, shade each hit with
interpolated normals, and average. Light: sky above, key from the upper left, a rim,
and ambient occlusion per vertex, all in linear colour.
"""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene
from jaxtyping import Bool, Float, Float32, Int, UInt8

from twohand_jax.collision import vertex_normals
from twohand_jax.geometry import cameras
from twohand_jax.types import Camera

# Colours of the right and the left hand, sRGB in [0, 1].
HAND_COLORS = ((0.93, 0.56, 0.42), (0.36, 0.63, 0.86))
SUBPIXELS = ((0.125, 0.375), (-0.375, 0.125), (0.375, -0.125), (-0.125, -0.375))
EDGE_DEPTH = 0.004
UP = (0.0, -1.0, 0.0)
KEY_LIGHT = (-0.45, -0.75, -0.6)
MISS_DEPTH = np.inf


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
    """Meshes prepared for rays: the search tree, normals and vertex occlusion."""

    def __init__(self, meshes: Sequence[Mesh], *, occlusion_rays: int = 48) -> None:
        """Build the tree over all meshes (at least one)."""
        sizes = np.cumsum([0, *(len(m.vertices) for m in meshes)])
        self.vertices = np.concatenate([m.vertices for m in meshes]).astype(np.float32)
        self.faces = np.concatenate(
            [m.faces + start for m, start in zip(meshes, sizes, strict=False)]
        ).astype(np.int32)
        self.owner = np.repeat(np.arange(len(meshes)), [len(m.faces) for m in meshes])
        self.colors = np.array([m.color for m in meshes], np.float32) ** 2.2
        self.normals = vertex_normals(self.vertices, self.faces)
        self._tree = EmbreeScene()
        TriangleMesh(self._tree, self.vertices, self.faces)
        self.openness = self._vertex_openness(occlusion_rays)

    def first_hit(
        self,
        origins: Float32[np.ndarray, "n 3"],
        directions: Float32[np.ndarray, "n 3"],
    ) -> dict[str, np.ndarray]:
        """Nearest triangle (``primID``, -1 for none), ``u``, ``v`` and ``tfar``."""
        return self._tree.run(origins, directions, query="INTERSECT", output=True)

    def is_blocked(
        self,
        origins: Float32[np.ndarray, "n 3"],
        directions: Float32[np.ndarray, "n 3"],
        *,
        reach: float = 10.0,
    ) -> Bool[np.ndarray, "n"]:
        """Whether anything lies on each ray within ``reach`` lengths of it."""
        distance = np.full(len(origins), reach, np.float32)
        return self._tree.run(origins, directions, distance, query="OCCLUDED") >= 0

    def _vertex_openness(self, rays: int) -> Float32[np.ndarray, "v"]:
        """Share of the hemisphere above each vertex that is free within 6 cm."""
        directions = sphere_points(rays)
        flipped = np.sign(self.normals @ directions.T)[..., None]
        # Halfway between the normal and a direction of the hemisphere: cosine-like.
        towards = directions * np.where(flipped == 0, 1, flipped)
        towards = towards + self.normals[:, None]
        towards /= np.linalg.norm(towards, axis=-1, keepdims=True) + 1e-6
        origins = self.vertices[:, None] + 1e-3 * self.normals[:, None]
        blocked = self.is_blocked(
            np.broadcast_to(origins, towards.shape).reshape(-1, 3).astype(np.float32),
            towards.reshape(-1, 3).astype(np.float32),
            reach=0.06,
        )
        return 1.0 - blocked.reshape(-1, rays).mean(axis=1).astype(np.float32)


def render(scene: RayScene, camera: Camera, *, height: int, width: int) -> Render:
    """Draw a scene as a pinhole camera at the origin sees it, on transparent ground."""
    rgba = np.zeros((height, width, 4), np.uint8)
    depth = np.full((height, width), MISS_DEPTH, np.float32)
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
    directions = np.stack(
        [(x - center[0]) / focal[0], (y - center[1]) / focal[1], np.ones_like(x)],
        axis=-1,
    ).astype(np.float32)
    hits = scene.first_hit(np.zeros_like(directions), directions)
    found = hits["primID"] >= 0
    color = np.zeros((len(x), 4), np.float32)
    depth = np.where(found, hits["tfar"], MISS_DEPTH).astype(np.float32)
    owner = np.where(found, scene.owner[hits["primID"]], -1)
    hits = {key: value[found] for key, value in hits.items()}
    color[found, :3] = _shade(scene, directions[found], hits)
    color[found, 3] = 1.0
    return color, depth, owner


def _shade(
    scene: RayScene, directions: Float32[np.ndarray, "n 3"], hits: dict[str, np.ndarray]
) -> Float32[np.ndarray, "n 3"]:
    """Linear colour of hits seen along ``directions``."""
    corners = scene.faces[hits["primID"]]
    u, v = hits["u"][:, None], hits["v"][:, None]
    share = np.concatenate([1 - u - v, u, v], axis=-1)
    normal = np.einsum("nk,nkc->nc", share, scene.normals[corners])
    openness = np.einsum("nk,nk->n", share, scene.openness[corners])
    view = -directions / np.linalg.norm(directions, axis=-1, keepdims=True)
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
    color = scene.colors[scene.owner[hits["primID"]]]
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
