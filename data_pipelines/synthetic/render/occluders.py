"""Simple solids held before, behind or in the hands."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from data_pipelines.synthetic.render.scene import OCCLUDERS

NUM_SIDES = 24


class Solid(NamedTuple):
    """A flat-shaded triangle soup of unit size; ``uv`` runs over its sides."""

    vertices: Float[np.ndarray, "n 3"]
    normals: Float[np.ndarray, "n 3"]
    uv: Float[np.ndarray, "n 2"]
    faces: Int[np.ndarray, "f 3"]


def _box() -> Solid:
    square = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]])
    vertices, normals = [], []
    faces: list[np.ndarray] = []
    for axis in range(3):
        for side in (-0.5, 0.5):
            vertices.append(np.insert(square, axis, side, axis=1))
            normals.append(np.tile(np.eye(3)[axis] * 2 * side, (4, 1)))
            faces.append(np.array([[0, 1, 2], [0, 2, 3]]) + 4 * len(faces))
    stacked = np.concatenate(vertices)
    uv = np.tile(square, (6, 1))
    return Solid(stacked, np.concatenate(normals), uv, np.concatenate(faces))


def _cylinder() -> Solid:
    angle = np.arange(NUM_SIDES + 1) / NUM_SIDES * 2 * np.pi
    circle = np.stack([np.cos(angle), np.sin(angle), np.zeros_like(angle)], axis=1)
    ends = [circle / 2 + [0, 0, z] for z in (-0.5, 0.5)]
    rows = len(circle)
    a = np.arange(NUM_SIDES)
    sides = np.concatenate(
        [
            np.stack([a, a + 1, a + rows], 1),
            np.stack([a + 1, a + rows + 1, a + rows], 1),
        ]
    )
    fan = np.stack([np.zeros(NUM_SIDES - 1, int), a[1:], a[1:] + 1], axis=1)
    faces = np.concatenate([sides, fan + 2 * rows, fan + 3 * rows])
    up = np.tile([0.0, 0, 1], (rows, 1))
    around = np.stack([angle / np.pi, np.zeros_like(angle)], axis=1)
    uv = np.concatenate([around, around + [0, 1], ends[0][:, :2], ends[1][:, :2]])
    normals = np.concatenate([circle, circle, -up, up])
    return Solid(np.concatenate([*ends, *ends]), normals, uv, faces)


def _outward(solid: Solid) -> Solid:
    """Turns triangles so that they wind counter-clockwise seen from outside."""
    corner = solid.vertices[solid.faces]
    cross = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    inward = (cross * solid.normals[solid.faces[:, 0]]).sum(axis=1) < 0
    return solid._replace(
        faces=np.where(inward[:, None], solid.faces[:, ::-1], solid.faces)
    )


SOLIDS = {
    "box": _outward(_box()),
    "cylinder": _outward(_cylinder()),
    "disc": _outward(_cylinder()),
}


def place_solid(
    kind: int,
    *,
    size: Float[np.ndarray, "3"],
    rotation: Float[np.ndarray, "3 3"],
    center: Float[np.ndarray, "3"],
) -> Solid:
    """A solid of ``size`` metres, turned and moved; ``uv`` in metres."""
    solid = SOLIDS[OCCLUDERS[kind]]
    scaled = solid.normals / size
    scaled = scaled / np.linalg.norm(scaled, axis=1, keepdims=True)
    return solid._replace(
        vertices=(solid.vertices * size) @ rotation.T + center,
        normals=scaled @ rotation.T,
        uv=solid.uv * np.array([size[:2].mean(), size.max()]),
    )
