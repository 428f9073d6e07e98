"""Edge-collapse decimation of a disc to exact vertex and boundary counts.

Quadric error metric (Garland and Heckbert, 1997) with a small length term, so that
flat regions keep even triangles; the boundary loop is shortened first.
"""

import heapq

import numpy as np
from jaxtyping import Float, Int

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
