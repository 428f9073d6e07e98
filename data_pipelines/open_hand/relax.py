"""Evens out a decimated mesh: edge flips, tangential smoothing, re-projection."""

import numpy as np
from jaxtyping import Float, Int
from scipy import sparse
from scipy.spatial import cKDTree

from data_pipelines.open_hand.decimate import boundary_loop

_NEAREST = 40  # triangles examined per query point


def _barycentric_nearest(
    point: Float[np.ndarray, "n 3"], corners: Float[np.ndarray, "n k 3 3"]
) -> tuple[Float[np.ndarray, "n k 3"], Float[np.ndarray, "n k"]]:
    """Barycentric coordinates and distance of the nearest point of each triangle."""
    a, b, c = corners[..., 0, :], corners[..., 1, :], corners[..., 2, :]
    p = point[:, None]

    def on_segment(s: np.ndarray, e: np.ndarray) -> np.ndarray:
        along = np.sum((p - s) * (e - s), -1) / (np.sum((e - s) ** 2, -1) + 1e-30)
        return np.clip(along, 0, 1)

    zero = np.zeros(corners.shape[:2])
    ab, bc, ca = on_segment(a, b), on_segment(b, c), on_segment(c, a)
    u, v = b - a, c - a
    w = p - a
    uu, uv, vv = (np.sum(x * y, -1) for x, y in ((u, u), (u, v), (v, v)))
    wu, wv = np.sum(w * u, -1), np.sum(w * v, -1)
    det = uu * vv - uv**2 + 1e-30
    beta, gamma = (vv * wu - uv * wv) / det, (uu * wv - uv * wu) / det
    plane = np.stack([1 - beta - gamma, beta, gamma], -1)
    plane = np.where((plane >= 0).all(-1, keepdims=True), plane, np.nan)
    options = np.stack(
        [
            plane,
            np.stack([1 - ab, ab, zero], -1),
            np.stack([zero, 1 - bc, bc], -1),
            np.stack([ca, zero, 1 - ca], -1),
        ],
        axis=-2,
    )
    places = np.einsum("nkob,nkbc->nkoc", options, corners)
    distance = np.linalg.norm(places - p[..., None, :], axis=-1)
    distance = np.where(np.isnan(distance), np.inf, distance)
    best = np.argmin(distance, -1)[..., None]
    chosen = np.take_along_axis(options, best[..., None], -2)[..., 0, :]
    return chosen, np.take_along_axis(distance, best, -1)[..., 0]


def attach(
    points: Float[np.ndarray, "n 3"],
    vertices: Float[np.ndarray, "v 3"],
    triangles: Int[np.ndarray, "t 3"],
) -> sparse.csr_array:
    """Barycentric weights (n, v) of each point's nearest point on the surface."""
    corners = vertices[triangles]
    tree = cKDTree(corners.mean(1))
    _, near = tree.query(points, k=_NEAREST)
    weights, distance = _barycentric_nearest(points, corners[near])
    best = np.argmin(distance, -1)
    rows = np.arange(len(points))
    chosen = weights[rows, best]
    columns = triangles[near[rows, best]]
    return sparse.csr_array(
        (chosen.ravel(), (np.repeat(rows, 3), columns.ravel())),
        shape=(len(points), len(vertices)),
    )


def _minimum_angle(p: np.ndarray) -> float:
    sides = p[[1, 2, 0]] - p
    sides = sides / (np.linalg.norm(sides, axis=-1, keepdims=True) + 1e-30)
    return float(
        np.arccos(np.clip(-sides * sides[[2, 0, 1]], -3, 3).sum(-1).clip(-1, 1)).min()
    )


def flip_edges(
    vertices: Float[np.ndarray, "v 3"], triangles: Int[np.ndarray, "t 3"]
) -> Int[np.ndarray, "t 3"]:
    """One sweep of edge flips that raise the smallest angle of nearly flat pairs."""
    faces = triangles.copy()
    owner = {}
    for k, (a, b, c) in enumerate(faces.tolist()):
        owner.update({(a, b): (k, c), (b, c): (k, a), (c, a): (k, b)})
    edges = {tuple(sorted(edge)) for edge in owner}
    touched: set[int] = set()
    for i, j in sorted(owner):
        if i > j or (j, i) not in owner:
            continue
        (left, c), (right, d) = owner[i, j], owner[j, i]
        if left in touched or right in touched or tuple(sorted((c, d))) in edges:
            continue
        old = vertices[[[i, j, c], [j, i, d]]]
        new = vertices[[[i, d, c], [d, j, c]]]
        normals = np.cross(new[:, 1] - new[:, 0], new[:, 2] - new[:, 0])
        before = np.cross(old[:, 1] - old[:, 0], old[:, 2] - old[:, 0])
        unit = [
            n / (np.linalg.norm(n, axis=-1, keepdims=True) + 1e-30)
            for n in (normals, before)
        ]
        if unit[1][0] @ unit[1][1] < 0.8 or (unit[0] @ unit[1].T).min() < 0.8:
            continue
        if min(map(_minimum_angle, new)) > min(map(_minimum_angle, old)) + 0.03:
            faces[left], faces[right] = [i, d, c], [d, j, c]
            touched |= {left, right}
            edges |= {tuple(sorted((c, d)))}
    return faces


def _adjacency(triangles: Int[np.ndarray, "t 3"], count: int) -> sparse.csr_array:
    pairs = np.concatenate(
        [triangles[:, [a, b]] for a in range(3) for b in range(3) if a != b]
    )
    ones = np.ones(len(pairs))
    links = sparse.csr_array((ones, (pairs[:, 0], pairs[:, 1])), (count, count))
    links.data[:] = 1.0
    return links


def vertex_normals(
    vertices: Float[np.ndarray, "v 3"], triangles: Int[np.ndarray, "t 3"]
) -> Float[np.ndarray, "v 3"]:
    """Unit vertex normals, the triangles weighted by area."""
    corners = vertices[triangles]
    faces = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    total = np.zeros_like(vertices)
    for k in range(3):
        np.add.at(total, triangles[:, k], faces)
    return total / np.linalg.norm(total, axis=-1, keepdims=True)


def relax(
    vertices: Float[np.ndarray, "v 3"],
    triangles: Int[np.ndarray, "t 3"],
    reference: Float[np.ndarray, "w 3"],
    reference_triangles: Int[np.ndarray, "u 3"],
    *,
    pinned: Int[np.ndarray, " k"],
    sweeps: int = 8,
    step: float = 0.4,
) -> tuple[sparse.csr_array, Int[np.ndarray, "t 3"]]:
    """Even out the triangles on the reference surface; boundary and `pinned` stay.

    Returns:
        weights (v, w) that give the new vertices from the reference's, and faces.
    """
    fixed = np.union1d(boundary_loop(triangles), pinned)
    points = vertices.copy()
    for _ in range(sweeps):
        triangles = flip_edges(points, triangles)
        links = _adjacency(triangles, len(points))
        mean = (links @ points) / links.sum(1)[:, None]
        normals = vertex_normals(points, triangles)
        pull = mean - points
        pull -= np.sum(pull * normals, -1, keepdims=True) * normals
        moved = points + step * pull
        moved[fixed] = points[fixed]
        points = attach(moved, reference, reference_triangles) @ reference
        points[fixed] = vertices[fixed]
    return attach(points, reference, reference_triangles), triangles
