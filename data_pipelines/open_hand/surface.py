"""Cuts the hand out of the body at a plane and describes it by sparse combinations."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy import sparse


class Surface(NamedTuple):
    """A triangle mesh whose vertices are combinations of base-mesh vertices."""

    triangles: Int[np.ndarray, "t 3"]
    combine: sparse.csr_array  # (v, base vertices)


def triangulate(
    quads: Int[np.ndarray, "q 4"], vertices: Float[np.ndarray, "v 3"]
) -> Int[np.ndarray, "t 3"]:
    """Split each quad along its shorter diagonal."""
    points = vertices[quads]
    first = np.linalg.norm(points[:, 0] - points[:, 2], axis=-1)
    second = np.linalg.norm(points[:, 1] - points[:, 3], axis=-1)
    along_first = quads[:, [[0, 1, 2], [0, 2, 3]]]
    along_second = quads[:, [[0, 1, 3], [1, 2, 3]]]
    return np.where(
        (first <= second)[:, None, None], along_first, along_second
    ).reshape(-1, 3)


def _clip(
    triangle: Int[np.ndarray, "3"],
    inside: np.ndarray,
    crossing: dict[tuple[int, int], int],
) -> list[list[int]]:
    """The part of one triangle inside the half space, as triangles."""
    polygon: list[int] = []
    for a, b in zip(triangle, np.roll(triangle, -1), strict=True):
        if inside[a]:
            polygon.append(int(a))
        if inside[a] != inside[b]:
            polygon.append(crossing[min(a, b), max(a, b)])
    return [[polygon[0], *polygon[k : k + 2]] for k in range(1, len(polygon) - 1)]


def cut(
    vertices: Float[np.ndarray, "v 3"],
    triangles: Int[np.ndarray, "t 3"],
    depth: Float[np.ndarray, " v"],
) -> Surface:
    """Keep the part of the mesh where `depth` is negative, cut cleanly at zero."""
    inside = depth < 0
    touched = triangles[inside[triangles].any(-1)]
    sides = np.concatenate([touched[:, [0, 1]], touched[:, [1, 2]], touched[:, [2, 0]]])
    edges = np.unique(np.sort(sides, axis=1), axis=0)
    edges = edges[inside[edges[:, 0]] != inside[edges[:, 1]]]
    count = len(vertices)
    crossing = {(int(a), int(b)): count + k for k, (a, b) in enumerate(edges)}
    pieces = np.array([p for tri in touched for p in _clip(tri, inside, crossing)])
    share = depth[edges[:, 0]] / (depth[edges[:, 0]] - depth[edges[:, 1]])
    rows = np.repeat(np.arange(len(edges)), 2)
    values = np.stack([1 - share, share], -1).ravel()
    added = sparse.csr_array((values, (rows, edges.ravel())), (len(edges), count))
    combine = sparse.vstack([sparse.eye_array(count), added]).tocsr()
    used, compact = np.unique(pieces, return_inverse=True)
    return Surface(compact.reshape(-1, 3), sparse.csr_array(combine[used]))
