"""Exact nearest neighbours between two small vertex sets, and vertex normals."""

from functools import partial
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from twohand_jax import switches
from twohand_jax.types import Array, array_module

PAIRS_AT_ONCE = 64  # away from the CPU, where memory rather than cache is the limit


@switches.promotions()
def nearest(
    first: Float[Array, "*b n 3"],
    second: Float[Array, "*b m 3"],
    *,
    barred: Bool[Array, "n m"] | None = None,
) -> tuple[Int[Array, "*b n"], Int[Array, "*b m"]]:
    """Find the nearest vertex of the other set, for every vertex of both sets.

    Ties go to the lowest index. Indices have no gradient: ``gather`` the vertices and
    differentiate their distances. No table of all distances is stored.

    Args:
        first: points in any unit.
        second: points in the same unit.
        barred: pairs that do not count as neighbours, in every mesh of the batch.

    Returns:
        For each vertex of ``first`` an index into ``second``, and the reverse.
    """
    chex.assert_shape([first, second], (..., None, 3))
    batch = jnp.broadcast_shapes(first.shape[:-2], second.shape[:-2])
    first = jnp.broadcast_to(first, batch + first.shape[-2:])
    second = jnp.broadcast_to(second, batch + second.shape[-2:])
    pairs = (
        jax.lax.stop_gradient(first).reshape(-1, *first.shape[-2:]),
        jax.lax.stop_gradient(second).reshape(-1, *second.shape[-2:]),
    )
    size = None if jax.default_backend() == "cpu" else PAIRS_AT_ONCE
    one = partial(_nearest_of_pair, barred)
    to_second, to_first = jax.lax.map(one, pairs, batch_size=size)
    return to_second.reshape(*batch, -1), to_first.reshape(*batch, -1)


@switches.promotions()
def gather(
    values: Float[Array, "*b m k"], index: Int[Array, "*b n"]
) -> Float[Array, "*b n k"]:
    """Rows of ``values`` at the positions ``index``."""
    return jnp.take_along_axis(values, index[..., None], axis=-2)


def _nearest_of_pair(
    barred: Bool[Array, "n m"] | None,
    pair: tuple[Float[Array, "n 3"], Float[Array, "m 3"]],
) -> tuple[Int[Array, "n"], Int[Array, "m"]]:
    first, second = pair
    squared = sum((first[:, None, k] - second[None, :, k]) ** 2 for k in range(3))
    if barred is not None:
        squared = jnp.where(barred, jnp.inf, squared)
    # The comparison below must see the very numbers the minimum was taken of.
    table = jax.lax.optimization_barrier(squared)
    return _lowest(table, axis=1), _lowest(table, axis=0)


def _lowest(table: Float[Array, "n m"], axis: int) -> Int[Array, "k"]:
    """First index of the minimum along an axis; in range even when all is NaN."""
    last = table.shape[axis] - 1
    number = jax.lax.broadcasted_iota(table.dtype, table.shape, axis)
    least = jnp.min(table, axis=axis, keepdims=True)
    return jnp.min(jnp.where(table == least, number, last), axis=axis).astype(jnp.int32)


@switches.promotions()
def vertex_normals(
    vertices: Float[Array, "*b v 3"], faces: Int[Array, "f 3"]
) -> Float[Array, "*b v 3"]:
    """Unit normals, each the area-weighted mean of the faces around its vertex.

    The result is a numpy array if the vertices are one. A vertex whose faces are all
    degenerate gets the zero vector, so that no direction passes a test against it.
    """
    chex.assert_shape([vertices, faces], [(..., None, 3), (None, 3)])
    corners = vertices[..., faces, :]
    edges = corners[..., 1:, :] - corners[..., :1, :]
    xp = array_module(vertices)
    areas = xp.cross(edges[..., 0, :], edges[..., 1, :])
    spread = xp.broadcast_to(areas[..., None, :], corners.shape)
    total: Any = xp.zeros_like(vertices)
    if xp is np:
        where: Any = (..., faces, slice(None))
        np.add.at(total, where, spread)
    else:
        total = total.at[..., faces, :].add(spread)
    squared = xp.sum(total**2, axis=-1, keepdims=True)
    safe = xp.where(squared > 1e-24, squared, 1.0)
    scale = 1.0 / np.sqrt(safe) if xp is np else jax.lax.rsqrt(safe)
    return xp.where(squared > 1e-24, total * scale, 0.0)
