"""Vertex normals of a triangle mesh."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int


def vertex_normals(
    vertices: Float[Array, "*b v 3"], faces: Int[Array, "f 3"]
) -> Float[Array, "*b v 3"]:
    """Unit normals, each the area-weighted mean of the faces around its vertex.

    A vertex whose faces are all degenerate gets the zero vector, so that every test of
    a direction against it fails.
    """
    corners = vertices[..., faces, :]
    edges = corners[..., 1:, :] - corners[..., :1, :]
    areas = jnp.cross(edges[..., 0, :], edges[..., 1, :])
    spread = jnp.broadcast_to(areas[..., None, :], corners.shape)
    total = jnp.zeros_like(vertices).at[..., faces, :].add(spread)
    squared = jnp.sum(total**2, axis=-1, keepdims=True)
    safe = jnp.where(squared > 1e-24, squared, 1.0)
    return jnp.where(squared > 1e-24, total * jax.lax.rsqrt(safe), 0.0)
