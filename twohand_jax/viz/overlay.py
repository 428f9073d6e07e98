"""The picture a person looks at: meshes on the photo, and the hands from the side."""

from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32, UInt8

from twohand_jax.geometry import cameras
from twohand_jax.mano import topology
from twohand_jax.types import Camera, ManoModel
from twohand_jax.viz import rays
from twohand_jax.viz.render import (
    HAND_COLORS,
    UP,
    Mesh,
    RayScene,
    paste,
    render,
    sphere_points,
)

MAX_SIDE = 1080
MIN_SIDE = 320
PAPER = (247, 246, 243)
OPACITY = 0.93
SHADOW = 0.38
SHADOW_RAYS = 48
SIDE_YAW, SIDE_PITCH = np.radians(78.0), np.radians(14.0)


class _View(NamedTuple):
    """The side panel's scene in its own camera frame."""

    meshes: list[Mesh]
    camera: Camera
    up: Float[np.ndarray, "3"]
    ground: float


def hand_meshes(
    model: ManoModel,
    vertices: Float[np.ndarray, "2 778 3"],
    present: Bool[np.ndarray, "2"],
) -> list[Mesh]:
    """Make closed, coloured surfaces of the hands that are present, right before left.

    The cap at the wrist has separate vertices, so that its edge is sharp.
    """
    meshes = []
    for side in np.flatnonzero(present):
        faces = np.asarray(model.faces[side])
        closed = topology.close_wrist(faces)
        cap = closed[len(faces) :]
        rim, local = np.unique(cap, return_inverse=True)
        surface = np.asarray(vertices[side])
        points = np.concatenate([surface, surface[rim]])
        triangles = np.concatenate([faces, local.reshape(-1, 3) + len(surface)])
        meshes.append(Mesh(points, triangles, HAND_COLORS[side]))
    return meshes


def overlay(
    image: UInt8[np.ndarray, "h w 3"], meshes: list[Mesh], camera: Camera
) -> UInt8[np.ndarray, "H W 3"]:
    """The photo with the meshes on it and, beside it, the hands from their side.

    Args:
        image: the photo; it is drawn with its longer side between 320 and 1080 pixels.
        meshes: hands in the camera frame; none gives the photo and an empty panel.
        camera: the photo's camera.
    """
    image, camera = _resized(image, camera)
    height, width = image.shape[:2]
    panel_width = int(np.clip(0.75 * height, 0.4 * width, width))
    gap = max(6, round(0.012 * max(height, width)))
    front = _with_margin(_draw_front(image, meshes, camera), gap)
    side = _with_margin(_draw_side(meshes, height, panel_width), gap)
    return np.concatenate([front, side[:, gap:]], axis=1)


def _resized(
    image: UInt8[np.ndarray, "h w 3"], camera: Camera
) -> tuple[UInt8[np.ndarray, "H W 3"], Camera]:
    height, width = image.shape[:2]
    longer = max(height, width)
    factor = np.clip(longer, MIN_SIDE, MAX_SIDE) / longer
    size = max(1, round(width * factor)), max(1, round(height * factor))
    way = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    scale = np.array(size) / (width, height)
    center = (np.asarray(camera.center) + 0.5) * scale - 0.5
    resized = image if factor == 1 else cv2.resize(image, size, interpolation=way)
    return resized, Camera(np.asarray(camera.focal) * scale, center)


def _draw_front(
    image: UInt8[np.ndarray, "h w 3"], meshes: list[Mesh], camera: Camera
) -> UInt8[np.ndarray, "h w 3"]:
    if not meshes:
        return image
    height, width = image.shape[:2]
    rgba = render(RayScene(meshes), camera, height=height, width=width).rgba
    rgba[..., 3] = np.rint(rgba[..., 3] * OPACITY)
    return paste(rgba, image)


def _draw_side(
    meshes: list[Mesh], height: int, width: int
) -> UInt8[np.ndarray, "h w 3"]:
    ground = np.full((height, width, 3), PAPER, np.uint8)
    if not meshes:
        return ground
    view = _from_the_side(meshes, height, width)
    scene = RayScene(view.meshes)
    shade = _ground_shadow(scene, view, height, width)[..., None]
    ground = np.rint(ground * (1 - SHADOW * shade)).astype(np.uint8)
    return paste(render(scene, view.camera, height=height, width=width).rgba, ground)


def _from_the_side(meshes: list[Mesh], height: int, width: int) -> _View:
    """Turn the hands about their middle and step back until they fill the panel."""
    yaw, pitch = SIDE_YAW, SIDE_PITCH
    cy, sy, cp, sp = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch)
    turn = np.array([[cy, 0, -sy], [0, 1, 0], [sy, 0, cy]])
    tilt = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    points = np.concatenate([m.vertices for m in meshes])
    lowest = points[:, 1].max() + 0.015
    middle = (points.min(axis=0) + points.max(axis=0)) / 2
    turned = [
        m._replace(vertices=(m.vertices - middle) @ (tilt @ turn).T) for m in meshes
    ]
    points = np.concatenate([m.vertices for m in turned])
    low, high = points.min(axis=0), points.max(axis=0)
    focal = 2.2 * max(height, width)
    extent = np.maximum((high - low)[:2] * [1.2, 1.3] / [width, height], 1e-4).max()
    shift = np.array([*-(low + high)[:2] / 2, focal * extent - low[2]])
    up = tilt @ np.array(UP)
    floor = np.array([0.0, lowest - middle[1], 0.0]) @ tilt.T + shift
    moved = [m._replace(vertices=m.vertices + shift) for m in turned]
    center = np.array([(width - 1) / 2, (height - 1) / 2 - 0.03 * height])
    camera = Camera(np.full(2, focal), center)
    return _View(moved, camera, up, float(up @ floor))


def _ground_shadow(
    scene: RayScene, view: _View, height: int, width: int, *, step: int = 4
) -> Float32[np.ndarray, "h w"]:
    """Share of a wide light above that the hands hide from the ground, 0 to 1."""
    y, x = np.mgrid[0:height:step, 0:width:step].astype(np.float32)
    pixels = np.stack([x, y], axis=-1).reshape(-1, 2)
    points = cameras.backproject(pixels, np.ones(len(pixels)), view.camera)
    seen = np.flatnonzero(points @ view.up < -1e-3)
    shade = np.zeros(len(points), np.float32)
    if len(seen):
        sites = rays.Sites(points[seen, :2])
        lamps = sphere_points(SHADOW_RAYS) * 0.55 + view.up
        above = scene.corners @ view.up - view.ground
        for lamp in lamps:
            fallen = scene.corners - (above / (lamp @ view.up))[..., None] * lamp
            shade[seen] += rays.are_hit(sites, fallen)
    smooth = cv2.GaussianBlur(shade.reshape(x.shape) / SHADOW_RAYS, (0, 0), 1.5)
    return cv2.resize(smooth, (width, height), interpolation=cv2.INTER_LINEAR)


def _with_margin(
    picture: UInt8[np.ndarray, "h w 3"], margin: int
) -> UInt8[np.ndarray, "H W 3"]:
    return cv2.copyMakeBorder(
        picture, margin, margin, margin, margin, cv2.BORDER_CONSTANT, value=(255.0,) * 3
    )
