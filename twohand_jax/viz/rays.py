"""What rays hit, in NumPy: rays from one point, and parallel rays.

Rays of either kind meet a plane in points, their *sites*, and a triangle covers some of
that plane. The sites are sorted into cells once; each triangle then looks only at the
sites in the cells it may cover, all triangles at once.

Being inside of a triangle is said by three functions that are linear in a site's x and
y, one for each corner. For rays from the origin through (x, y, 1) and corners p0, p1,
p2 they are e0 = (p1 x p2) . (x, y, 1) / det(p0, p1, p2) and so on: a ray hits where all
are positive, at z = 1 / (e0 + e1 + e2), with barycentric coordinates e z. That holds
for corners behind the origin as well (Olano and Greer, "Triangle Scan Conversion using
2D Homogeneous Coordinates", 1997).
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, Int

SLACK = 1e-6  # of barycentric coordinates, so that no ray slips between two triangles
MIN_DEPTH = 1e-6
AT_ONCE = 1 << 20  # pairs of a site and a triangle, for the memory


class Hits(NamedTuple):
    """The nearest triangle on each ray.

    Attributes:
        triangle: its index, -1 where nothing is hit.
        share: barycentric coordinates of the hit in the triangle's corners.
        depth: z of the hit, infinite where there is none.
    """

    triangle: Int[np.ndarray, "n"]
    share: Float32[np.ndarray, "n 3"]
    depth: Float32[np.ndarray, "n"]


class _Pairs(NamedTuple):
    """Sites and triangles that cover them; ``inside`` has the three functions."""

    site: Int[np.ndarray, "m"]
    triangle: Int[np.ndarray, "m"]
    inside: Float32[np.ndarray, "3 m"]


class _Outlines(NamedTuple):
    """Triangles in the plane of the sites.

    Attributes:
        inside: of each corner the factors of x, y and 1.
        low: smallest x and y of each triangle.
        high: largest x and y.
    """

    inside: Float64[np.ndarray, "3 3 f"]
    low: Float64[np.ndarray, "f 2"]
    high: Float64[np.ndarray, "f 2"]


class Sites:
    """Points of a plane, sorted into square cells with about one point each."""

    def __init__(self, points: Float[np.ndarray, "n 2"]) -> None:
        """Sort the points (at least one)."""
        self.low = points.min(axis=0)
        extent = points.max(axis=0) - self.low
        self.cell = max(
            float(np.sqrt(extent.prod() / len(points))),
            float(extent.max()) / len(points),
            1e-12,
        )
        self.shape = (extent / self.cell).astype(np.int64) + 1
        column, row = ((points - self.low) / self.cell).astype(np.int64).T
        cell = row * self.shape[0] + column
        self.order = np.argsort(cell, kind="stable")
        self.points = points[self.order].astype(np.float32)
        count = np.bincount(cell, minlength=int(self.shape.prod()))
        self.start = np.concatenate([[0], np.cumsum(count)])

    def covered(self, outlines: _Outlines) -> Iterator[_Pairs]:
        """Every pair of a site and a triangle that covers it, in several parts."""
        inside, low, high = outlines
        first = np.floor((low - self.low) / self.cell - 1e-3).clip(0, self.shape)
        last = np.floor((high - self.low) / self.cell + 1e-3).clip(-1, self.shape - 1)
        first, rows = first.astype(np.int64), (last - first).astype(np.int64) + 1
        seen = np.flatnonzero((rows[:, 0] > 0) & (rows[:, 1] > 0))
        span = _ranges(first[seen, 1], rows[seen, 1])
        triangle = seen[span.owner]
        left = span.value * self.shape[0] + first[triangle, 0]
        begin = self.start[left]
        count = self.start[left + rows[triangle, 0]] - begin
        ends = np.cumsum(count)
        parts = int(ends[-1] // AT_ONCE) + 1 if len(ends) else 0
        cuts = np.searchsorted(ends, np.arange(1, parts) * AT_ONCE)
        for part in np.split(np.arange(len(count)), cuts):
            sites = _ranges(begin[part], count[part])
            yield self._inside(inside, sites.value, triangle[part][sites.owner])

    def _inside(
        self,
        inside: Float64[np.ndarray, "3 3 f"],
        place: Int[np.ndarray, "m"],
        triangle: Int[np.ndarray, "m"],
    ) -> _Pairs:
        factors = inside.astype(np.float32)
        x, y = self.points[place].T
        parts = [a[triangle] * x + b[triangle] * y + c[triangle] for a, b, c in factors]
        total = parts[0] + parts[1] + parts[2]
        least = np.minimum(np.minimum(parts[0], parts[1]), parts[2])
        kept = np.flatnonzero((total > 0) & (least >= -SLACK * total))
        values = np.stack([part[kept] for part in parts])
        return _Pairs(self.order[place[kept]], triangle[kept], values)


class _Ranges(NamedTuple):
    value: Int[np.ndarray, "m"]
    owner: Int[np.ndarray, "m"]


def _ranges(start: Int[np.ndarray, "k"], count: Int[np.ndarray, "k"]) -> _Ranges:
    """The numbers of many ranges one after another, and which range each is of."""
    owner = np.repeat(np.arange(len(count)), count)
    shift = start - (np.cumsum(count) - count)
    return _Ranges(np.arange(len(owner)) + shift[owner], owner)


def first_hits(
    points: Float[np.ndarray, "n 2"], corners: Float[np.ndarray, "3 f 3"]
) -> Hits:
    """What rays from the origin through (x, y, 1) of each point hit first.

    Args:
        points: of the rays.
        corners: the three of each triangle; both its sides are seen.
    """
    depth = np.full(len(points), np.inf, np.float32)
    triangle = np.full(len(points), -1)
    share = np.zeros((len(points), 3), np.float32)
    outlines = _perspective(corners)
    near = _between(points, outlines.low.min(axis=0), outlines.high.max(axis=0))
    for pairs in Sites(points[near]).covered(outlines) if len(near) else ():
        z = 1 / pairs.inside.sum(axis=0)
        point = near[pairs.site]
        np.minimum.at(depth, point, z)
        nearest = z == depth[point]
        triangle[point[nearest]] = pairs.triangle[nearest]
        share[point[nearest]] = (pairs.inside[:, nearest] * z[nearest]).T
    return Hits(triangle, share, depth)


def _between(
    points: Float[np.ndarray, "n 2"],
    low: Float[np.ndarray, "2"],
    high: Float[np.ndarray, "2"],
) -> Int[np.ndarray, "m"]:
    """Which points are in a box, or so near that rounding may decide."""
    (x, y), margin = points.T, 1e-6
    inside = (x >= low[0] - margin) & (x <= high[0] + margin)
    inside &= (y >= low[1] - margin) & (y <= high[1] + margin)
    return np.flatnonzero(inside)


def are_hit(sites: Sites, corners: Float[np.ndarray, "3 f 3"]) -> Bool[np.ndarray, "n"]:
    """Whether rays from the origin through (x, y, 1) of each site hit anything."""
    hit = np.zeros(len(sites.points), bool)
    for pairs in sites.covered(_perspective(corners)):
        hit[pairs.site] = True
    return hit


def are_blocked(
    origins: Float[np.ndarray, "n 3"],
    direction: Float[np.ndarray, "3"],
    corners: Float[np.ndarray, "3 f 3"],
    *,
    reach: float,
) -> Bool[np.ndarray, "n"]:
    """Whether anything lies on parallel rays.

    Args:
        origins: a ray starts at each.
        direction: of all, of length 1.
        corners: the three of each triangle.
        reach: length of the rays.
    """
    blocked = np.zeros(len(origins), bool)
    frame = _frame(np.asarray(direction, float))
    starts = origins @ frame.T
    turned = corners @ frame.T
    depth = starts[:, 2].astype(np.float32)
    corner_depth = turned[..., 2].astype(np.float32)
    for pairs in Sites(starts[:, :2]).covered(_parallel(turned)):
        ahead = -depth[pairs.site]
        for share, z in zip(pairs.inside, corner_depth, strict=True):
            ahead += share * z[pairs.triangle]
        blocked[pairs.site[(ahead > 0) & (ahead < reach)]] = True
    return blocked


def _perspective(corners: Float[np.ndarray, "3 f 3"]) -> _Outlines:
    """The three functions of each triangle for rays from the origin, and its box."""
    corners = np.asarray(corners, np.float64)
    normals = np.stack([np.cross(corners[k - 2], corners[k - 1]) for k in range(3)])
    volume = np.einsum("fc,fc->f", corners[0], normals[0])
    z = corners[..., 2]
    unseen = (np.abs(volume) < 1e-30) | (z.max(axis=0) <= MIN_DEPTH)
    inside = normals / np.where(unseen, np.inf, volume)[:, None]
    flat = corners[..., :2] / np.maximum(z, MIN_DEPTH)[..., None]
    low, high = flat.min(axis=0), flat.max(axis=0)
    behind = z.min(axis=0) <= MIN_DEPTH  # they reach anywhere
    low[behind], high[behind] = -np.inf, np.inf
    low[unseen], high[unseen] = np.inf, -np.inf
    return _Outlines(inside.transpose(0, 2, 1), low, high)


def _parallel(corners: Float[np.ndarray, "3 f 3"]) -> _Outlines:
    """The three functions of each triangle for rays along z, and its box."""
    flat = np.asarray(corners, np.float64)[..., :2]
    x, y = flat[..., 0], flat[..., 1]
    x1, y1, x2, y2 = x[[1, 2, 0]], y[[1, 2, 0]], x[[2, 0, 1]], y[[2, 0, 1]]
    inside = np.stack([y1 - y2, x2 - x1, x1 * y2 - x2 * y1], axis=1)
    area = inside[:, 2].sum(axis=0)
    inside /= np.where(np.abs(area) < 1e-30, np.inf, area)
    return _Outlines(inside, flat.min(axis=0), flat.max(axis=0))


def _frame(z: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3 3"]:
    """A rotation whose third row is a unit vector."""
    x = np.cross(z, np.eye(3)[np.argmin(np.abs(z))])
    x /= np.linalg.norm(x)
    return np.stack([x, np.cross(z, x), z])
