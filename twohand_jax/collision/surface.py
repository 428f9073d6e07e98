"""Points against a closed triangle mesh: winding number and distance, exactly.

Every point is compared with every face in static shapes, one mesh at a time, and not
for gradients. This is for evaluation; the energy needs nearest vertices only.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int


def winding_number(
    points: Float[Array, "*b p 3"],
    vertices: Float[Array, "*b v 3"],
    faces: Int[Array, "f 3"],
) -> Float[Array, "*b p"]:
    """How often a closed mesh goes round each point: 0 outside, 1 inside.

    It sums the solid angles of the faces (van Oosterom and Strackee, 1983). The number
    is 2 where a posed hand penetrates itself.
    """

    def of_pair(pair: tuple[Array, Array]) -> Array:
        spots, corners = pair
        a, b, c = (_offsets(corners[:, k], spots) for k in range(3))
        la, lb, lc = (jnp.sqrt(_dot(x, x)) for x in (a, b, c))
        flat = la * lb * lc + _dot(a, b) * lc + _dot(b, c) * la + _dot(c, a) * lb
        half_angle = jnp.arctan2(_dot(a, _cross(b, c)), flat)
        return jnp.sum(half_angle, axis=-1) / (2 * jnp.pi)

    return _per_pair(of_pair, points, vertices, faces)


def surface_distance(
    points: Float[Array, "*b p 3"],
    vertices: Float[Array, "*b v 3"],
    faces: Int[Array, "f 3"],
) -> Float[Array, "*b p"]:
    """Distance of each point to the nearest point of the surface, metres."""

    def of_pair(pair: tuple[Array, Array]) -> Array:
        spots, corners = pair
        squared = _squared_to_triangles(spots, corners)
        return jnp.sqrt(jnp.min(squared, axis=-1))

    return _per_pair(of_pair, points, vertices, faces)


_Planes = tuple[Array, ...]


def _squared_to_triangles(
    points: Float[Array, "p 3"], corners: Float[Array, "f 3 3"]
) -> Float[Array, "p f"]:
    """The plane's distance where the foot lies inside, else the nearest edge's."""
    a, b, c = (tuple(corners[:, k].T) for k in range(3))
    normal = _cross(_minus(b, a), _minus(c, a))
    area = _dot(normal, normal)
    height = _dot(_offsets(corners[:, 0], points), normal)
    plane = height**2 / jnp.where(area > 0, area, 1.0)
    inside = jnp.broadcast_to(area > 0, plane.shape)
    nearest_edge = jnp.full(plane.shape, jnp.inf, plane.dtype)
    for start, end in ((0, 1), (1, 2), (2, 0)):
        edge = tuple((corners[:, end] - corners[:, start]).T)
        back = _offsets(corners[:, start], points)
        to_point = tuple(-x for x in back)
        inside &= _dot(to_point, _cross(normal, edge)) >= 0
        length = jnp.maximum(_dot(edge, edge), 1e-20)
        share = jnp.clip(_dot(to_point, edge) / length, 0.0, 1.0)
        rest = tuple(x - share * e for x, e in zip(to_point, edge, strict=True))
        nearest_edge = jnp.minimum(nearest_edge, _dot(rest, rest))
    return jnp.where(inside, plane, nearest_edge)


def _per_pair(of_pair, points: Array, vertices: Array, faces: Array) -> Array:
    batch = points.shape[:-2]
    corners = vertices[..., faces, :].reshape(-1, *faces.shape, 3)
    return jax.lax.map(
        of_pair, (points.reshape(-1, *points.shape[-2:]), corners)
    ).reshape(*batch, -1)


def _offsets(corner: Float[Array, "f 3"], points: Float[Array, "p 3"]) -> _Planes:
    """Corner minus point, one (p, f) table a coordinate."""
    return tuple(corner[None, :, k] - points[:, None, k] for k in range(3))


def _minus(a: _Planes, b: _Planes) -> _Planes:
    return tuple(x - y for x, y in zip(a, b, strict=True))


def _dot(a: _Planes, b: _Planes) -> Array:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def _cross(a: _Planes, b: _Planes) -> _Planes:
    return (
        a[1] * b[2] - a[2] * b[1],
        a[2] * b[0] - a[0] * b[2],
        a[0] * b[1] - a[1] * b[0],
    )
