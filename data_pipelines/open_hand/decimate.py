"""Cuts the hand out of the body and decimates it to an exact number of vertices."""

import heapq
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy import sparse
from scipy.spatial import cKDTree

from twohand_jax.collision import vertex_normals

_MIN_NORMAL_COSINE = 0.3  # a collapse may not turn a triangle further than this
_MIN_QUALITY = 0.15  # 4√3·area / summed squared sides; 1 is equilateral


def boundary_loop(triangles: Int[np.ndarray, "t 3"]) -> Int[np.ndarray, " b"]:
    """The single boundary loop, in the direction of the triangles' winding."""
    half = np.concatenate(
        [triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]]
    )
    present = {(int(a), int(b)) for a, b in half}
    following = {a: b for a, b in present if (b, a) not in present}
    start = min(following)
    loop = [start]
    while following[loop[-1]] != start:
        loop.append(following[loop[-1]])
    if len(loop) != len(following):
        raise ValueError("The surface has more than one boundary loop; expected one.")
    return np.array(loop)


def triangle_quality(
    points: Float[np.ndarray, "t 3 3"],
) -> tuple[Float[np.ndarray, "t 3"], Float[np.ndarray, " t"]]:
    """Normals (not unit) and shape quality of triangles."""
    sides = points[:, [1, 2, 0]] - points
    normals = np.cross(sides[:, 0], -sides[:, 2])
    squared = np.sum(sides**2, axis=(-1, -2))
    return normals, 2 * np.sqrt(3) * np.linalg.norm(normals, axis=-1) / squared


class _Mesh:
    """The mesh under decimation: positions, quadrics, and live triangles."""

    def __init__(
        self,
        vertices: Float[np.ndarray, "v 3"],
        triangles: Int[np.ndarray, "t 3"],
        importance: Float[np.ndarray, " v"],
        length_weight: float,
    ) -> None:
        self.points = vertices.copy()
        self.triangles = {k: tuple(int(i) for i in t) for k, t in enumerate(triangles)}
        self.around: list[set[int]] = [set() for _ in vertices]
        for k, triangle in self.triangles.items():
            for i in triangle:
                self.around[i].add(k)
        self.boundary = set(boundary_loop(triangles).tolist())
        self.pinned: set[int] = set()
        self.importance = importance
        self.length_weight = length_weight
        self.quadrics = self._quadrics(triangles)

    def _quadrics(
        self, triangles: Int[np.ndarray, "t 3"]
    ) -> Float[np.ndarray, "v 4 4"]:
        corners = self.points[triangles]
        normals, _ = triangle_quality(corners)
        areas = np.linalg.norm(normals, axis=-1)
        unit = normals / areas[:, None]
        planes = np.concatenate([unit, -np.sum(unit * corners[:, 0], -1)[:, None]], -1)
        each = 0.5 * areas[:, None, None] * planes[:, :, None] * planes[:, None, :]
        total = np.zeros((len(self.points), 4, 4))
        for corner in range(3):
            np.add.at(total, triangles[:, corner], each)
        return total

    def neighbours(self, i: int) -> set[int]:
        return {j for k in self.around[i] for j in self.triangles[k]} - {i}

    def is_boundary_edge(self, i: int, j: int) -> bool:
        return len(self.around[i] & self.around[j]) == 1

    def candidate(self, i: int, j: int) -> tuple[float, Float[np.ndarray, "3"]]:
        """Cost and position of collapsing edge i–j."""
        a, b = self.points[i], self.points[j]
        quadric = self.quadrics[i] + self.quadrics[j]
        if (i in self.boundary) != (j in self.boundary):
            choices = [a if i in self.boundary else b]
        else:
            choices = [0.5 * (a + b)]
            if i not in self.boundary:
                choices += [a, b]
        homogeneous = np.array([[*p, 1.0] for p in choices])
        errors = np.einsum("ka,ab,kb->k", homogeneous, quadric, homogeneous)
        best = int(np.argmin(errors))
        scale = max(self.importance[i], self.importance[j])
        length = np.sum((a - b) ** 2)
        cost = scale * (max(errors[best], 0.0) + self.length_weight * length**2)
        return cost, choices[best]

    def allowed(self, i: int, j: int, position: Float[np.ndarray, "3"]) -> bool:
        """Whether the collapse keeps a manifold, unflipped, well-shaped mesh."""
        shared = self.around[i] & self.around[j]
        if not shared or len(self.neighbours(i) & self.neighbours(j)) != len(shared):
            return False
        if i in self.boundary and j in self.boundary and len(shared) != 1:
            return False
        rest = list((self.around[i] | self.around[j]) - shared)
        before = np.array([[self.points[c] for c in self.triangles[k]] for k in rest])
        moved = np.array([[c in (i, j) for c in self.triangles[k]] for k in rest])
        after = np.where(moved[..., None], position, before)
        old, old_quality = triangle_quality(before)
        new, new_quality = triangle_quality(after)
        cosine = np.sum(old * new, -1) / (
            np.linalg.norm(old, axis=-1) * np.linalg.norm(new, axis=-1) + 1e-30
        )
        shape_kept = new_quality > np.minimum(_MIN_QUALITY, old_quality)
        return bool(np.all(cosine > _MIN_NORMAL_COSINE) and np.all(shape_kept))

    def collapse(self, i: int, j: int, position: Float[np.ndarray, "3"]) -> None:
        """Merge vertex j into vertex i."""
        for k in self.around[i] & self.around[j]:
            for c in self.triangles.pop(k):
                self.around[c].discard(k)
        for k in self.around[j]:
            self.triangles[k] = tuple(i if c == j else c for c in self.triangles[k])
            self.around[i].add(k)
        self.around[j] = set()
        self.points[i] = position
        self.quadrics[i] = self.quadrics[i] + self.quadrics[j]
        self.importance[i] = max(self.importance[i], self.importance[j])
        if j in self.boundary:
            self.boundary.discard(j)
            self.boundary.add(i)


def _shorten_boundary(mesh: _Mesh, target: int) -> None:
    """Collapse the shortest boundary edges until `target` vertices remain."""
    while len(mesh.boundary) > target:
        edges = [
            (float(np.linalg.norm(mesh.points[i] - mesh.points[j])), i, j)
            for i in mesh.boundary
            for j in mesh.neighbours(i) & mesh.boundary
            if i < j and mesh.is_boundary_edge(i, j)
        ]
        for _, i, j in sorted(edges):
            position = 0.5 * (mesh.points[i] + mesh.points[j])
            if mesh.allowed(i, j, position):
                mesh.collapse(i, j, position)
                break
        else:
            raise ValueError(f"The boundary cannot be shortened to {target} vertices.")


def _collapse_interior(mesh: _Mesh, target: int) -> None:
    """Collapse the cheapest edges until `target` vertices remain."""
    heap: list[tuple[float, int, int, int, int]] = []
    version = np.zeros(len(mesh.points), int)

    def push(i: int, j: int) -> None:
        if not {i, j} & mesh.pinned and not {i, j} <= mesh.boundary:
            cost, _ = mesh.candidate(i, j)
            heapq.heappush(heap, (cost, i, j, int(version[i]), int(version[j])))

    for i in range(len(mesh.points)):
        for j in mesh.neighbours(i):
            if i < j:
                push(i, j)
    count = sum(bool(ring) for ring in mesh.around)
    while count > target:
        _, i, j, seen_i, seen_j = heapq.heappop(heap)
        if version[i] != seen_i or version[j] != seen_j or not mesh.around[j]:
            continue
        _, position = mesh.candidate(i, j)
        if not mesh.allowed(i, j, position):
            continue
        mesh.collapse(i, j, position)
        count -= 1
        version[i] += 1
        version[j] += 1
        for k in mesh.neighbours(i):
            push(i, k)


def decimate(
    vertices: Float[np.ndarray, "v 3"],
    triangles: Int[np.ndarray, "t 3"],
    *,
    num_vertices: int,
    num_boundary: int,
    importance: Float[np.ndarray, " v"],
    pinned: Int[np.ndarray, " k"],
    length_weight: float = 0.02,
) -> tuple[Float[np.ndarray, "w 3"], Int[np.ndarray, "u 3"], Int[np.ndarray, " k"]]:
    """Reduce a disc to `num_vertices` with `num_boundary` on its boundary loop.

    Args:
        vertices: positions, any unit.
        triangles: consistently wound faces of one disc.
        num_vertices: vertices to keep.
        num_boundary: vertices to keep on the boundary.
        importance: factor on a vertex's collapse cost; higher keeps more detail.
        pinned: interior vertices to keep in place.
        length_weight: weight of edge length to the fourth power beside the quadric
            error; higher gives more even triangles.

    Returns:
        vertices, faces and the rows of the pinned vertices.
    """
    mesh = _Mesh(vertices, triangles, importance.copy(), length_weight)
    mesh.pinned = set(pinned.tolist())
    _shorten_boundary(mesh, num_boundary)
    _collapse_interior(mesh, num_vertices)
    faces = np.array(list(mesh.triangles.values()))
    used, compact = np.unique(faces, return_inverse=True)
    return mesh.points[used], compact.reshape(-1, 3), np.searchsorted(used, pinned)


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


class CombinedMesh(NamedTuple):
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


def cut_surface(
    vertices: Float[np.ndarray, "v 3"],
    triangles: Int[np.ndarray, "t 3"],
    depth: Float[np.ndarray, " v"],
) -> CombinedMesh:
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
    return CombinedMesh(compact.reshape(-1, 3), sparse.csr_array(combine[used]))
