"""Pairs of hands on a sheet, each from two sides, without a photograph."""

import numpy as np
from jaxtyping import Float, UInt8

from twohand_jax.types import Camera, ManoModel
from twohand_jax.viz import contact_sheet
from twohand_jax.viz.overlay import hand_meshes
from twohand_jax.viz.render import Mesh, Scene, paste, render

PAPER = (247, 246, 243)
TANGENT = 0.18  # of half the field of view: a long lens
MARGIN = 1.12
# Looking down on what the first camera sees: what is near comes to the lower edge.
FROM_ABOVE = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])


def sheet(
    model: ManoModel,
    vertices: Float[np.ndarray, "n 2 778 3"],
    *,
    columns: int = 4,
    height: int = 240,
) -> UInt8[np.ndarray, "h w 3"]:
    """All pairs row by row, each a tile of two views.

    Args:
        model: for the faces.
        vertices: both hands, metres; at least one pair.
        columns: tiles in a row.
        height: of a tile in pixels.
    """
    tiles = [tile(model, pair, height=height) for pair in np.asarray(vertices)]
    return contact_sheet.grid(tiles, columns=min(columns, len(tiles)))


def tile(
    model: ManoModel, vertices: Float[np.ndarray, "2 778 3"], *, height: int = 240
) -> UInt8[np.ndarray, "h w 3"]:
    """One pair from where it is widest, and turned a quarter about its longest axis.

    Args:
        model: for the faces.
        vertices: right and left hand, metres.
        height: in pixels; each view is a square.
    """
    meshes = hand_meshes(model, vertices, np.ones(2, bool))
    front = _viewpoint(np.concatenate(vertices))
    views = [_turned(meshes, R) for R in (front, FROM_ABOVE @ front)]
    extent = MARGIN * max(np.ptp(_points(view)[:, :2], axis=0).max() for view in views)
    return np.concatenate([_draw(view, extent, height) for view in views], axis=1)


def _viewpoint(points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "3 3"]:
    """Rotation into a camera that sees the widest side, x right along the longest."""
    _, _, axes = np.linalg.svd(points - points.mean(axis=0), full_matrices=False)
    largest = np.take_along_axis(axes, np.abs(axes).argmax(axis=1)[:, None], axis=1)
    axes = axes * np.sign(largest)  # the decomposition leaves the signs open
    axes[2] = np.cross(axes[0], axes[1])
    return axes


def _turned(meshes: list[Mesh], rotation: Float[np.ndarray, "3 3"]) -> list[Mesh]:
    return [mesh._replace(vertices=mesh.vertices @ rotation.T) for mesh in meshes]


def _points(meshes: list[Mesh]) -> Float[np.ndarray, "n 3"]:
    return np.concatenate([mesh.vertices for mesh in meshes])


def _draw(meshes: list[Mesh], extent: float, size: int) -> UInt8[np.ndarray, "s s 3"]:
    """The meshes centred, and so far away that ``extent`` metres fill the picture."""
    points = _points(meshes)
    low, high = points.min(axis=0), points.max(axis=0)
    distance = extent / (2 * TANGENT) + (high - low)[2] / 2
    shift = np.array([0.0, 0.0, distance]) - (low + high) / 2
    moved = [mesh._replace(vertices=mesh.vertices + shift) for mesh in meshes]
    camera = Camera(np.full(2, size / (2 * TANGENT)), np.full(2, (size - 1) / 2))
    drawn = render(Scene(moved), camera, height=size, width=size).rgba
    return paste(drawn, np.full((size, size, 3), PAPER, np.uint8))
