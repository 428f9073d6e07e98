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

PAIRS_AT_ONCE = 64  # what a table of all distances takes memory for
TARGETS_AT_ONCE = 16  # of the CPU's loop; the fastest of 8, 16 and 32


@switches.promotions()
def nearest(
    first: Float[Array, "*b n 3"],
    second: Float[Array, "*b m 3"],
    *,
    barred: Bool[Array, "n m"] | None = None,
) -> tuple[Int[Array, "*b n"], Int[Array, "*b m"]]:
    """Find the nearest vertex of the other set, for every vertex of both sets.

    Ties go to the lowest index. Indices have no gradient: ``gather`` the vertices and
    differentiate their distances. A CPU goes through the targets, sixteen at a time,
    and keeps the best so far of every vertex: no table of distances is written.
    Elsewhere the tables of 64 pairs are made at once.

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
    cpu = jax.default_backend() == "cpu"
    one = partial(_by_loop if cpu else _by_table, barred)
    to_second, to_first = jax.lax.map(one, pairs, batch_size=PAIRS_AT_ONCE)
    return to_second.reshape(*batch, -1), to_first.reshape(*batch, -1)


@switches.promotions()
def squared_distances(
    first: Float[Array, "*b n 3"], second: Float[Array, "*b m 3"]
) -> tuple[Float[Array, "*b n"], Float[Array, "*b m"]]:
    """Squared distance of every vertex to the nearest vertex of the other set.

    Goes through the targets of both directions, sixteen at a time, and writes no table.
    Differences are squared as they are: a product of matrices would cancel digits, and
    would be no faster. A vertex that is not a number is infinitely far from all others.

    Args:
        first: points in any unit.
        second: points in the same unit, of the same batch.

    Returns:
        For each vertex of ``first`` the least squared distance to ``second``, and the
        reverse; infinite where the other set is empty.
    """
    batch = first.shape[:-2]
    chex.assert_shape([first, second], (*batch, None, 3))
    largest = max(first.shape[-2], second.shape[-2])
    size = -(-largest // TARGETS_AT_ONCE) * TARGETS_AT_ONCE

    def filled(points: Float[Array, "*b p 3"], value: float) -> Array:
        widths = [(0, 0)] * points.ndim
        widths[-1] = (0, size - points.shape[-2])
        planes = jnp.swapaxes(points, -1, -2)
        return jnp.pad(planes, widths, constant_values=value)

    queries = jnp.stack([filled(first, 0.0), filled(second, 0.0)], axis=-3)
    targets = jnp.stack([filled(second, jnp.inf), filled(first, jnp.inf)], axis=-3)

    def step(number: Int[Array, ""], least: Float[Array, "*b 2 k"]) -> Array:
        start = number * TARGETS_AT_ONCE
        part = jax.lax.dynamic_slice_in_dim(targets, start, TARGETS_AT_ONCE, axis=-1)
        for target in range(TARGETS_AT_ONCE):
            gap = queries - part[..., target, None]
            squared = sum(gap[..., axis, :] ** 2 for axis in range(3))
            # Not jnp.minimum: what it does with NaN takes a CPU several instructions.
            least = jnp.where(squared < least, squared, least)
        return least

    least = jnp.full((*batch, 2, size), jnp.inf, first.dtype)
    least = jax.lax.fori_loop(0, size // TARGETS_AT_ONCE, step, least)
    return least[..., 0, : first.shape[-2]], least[..., 1, : second.shape[-2]]


@switches.promotions()
def gather(
    values: Float[Array, "*b m k"], index: Int[Array, "*b n"]
) -> Float[Array, "*b n k"]:
    """Rows of ``values`` at the positions ``index``."""
    return jnp.take_along_axis(values, index[..., None], axis=-2)


def _by_loop(
    barred: Bool[Array, "n m"] | None,
    pair: tuple[Float[Array, "n 3"], Float[Array, "m 3"]],
) -> tuple[Int[Array, "n"], Int[Array, "m"]]:
    """Both directions side by side, filled up to the same number of points."""
    sizes = [len(points) for points in pair]
    size = -(-max(sizes) // TARGETS_AT_ONCE) * TARGETS_AT_ONCE

    def filled(points: Array, value: float) -> Array:
        missing = ((0, size - len(points)), (0, 0))
        return jnp.pad(points, missing, constant_values=value)

    queries = jnp.stack([filled(points, 0.0) for points in pair])
    targets = jnp.stack([filled(points, jnp.inf) for points in pair[::-1]])
    chunks = jnp.moveaxis(targets.reshape(2, -1, TARGETS_AT_ONCE, 3), 0, 2)
    bars = None if barred is None else _bars(barred, size)

    def look(best: tuple[Array, ...], chunk: tuple[Array, Array | None]) -> Any:
        least, index, number = best
        for k, target in enumerate(chunk[0]):
            squared = sum((queries[..., i] - target[:, None, i]) ** 2 for i in range(3))
            if chunk[1] is not None:
                squared = jnp.where(chunk[1][k], jnp.inf, squared)
            closer = squared < least
            least = jnp.where(closer, squared, least)
            index = jnp.where(closer, number + k, index)
        return (least, index, number + TARGETS_AT_ONCE), None

    least = jnp.full((2, size), jnp.inf, queries.dtype)
    start = (least, jnp.zeros((2, size), jnp.int32), jnp.int32(0))
    found = jax.lax.scan(look, start, (chunks, bars))[0][1]
    return found[0, : sizes[0]], found[1, : sizes[1]]


def _bars(barred: Bool[Array, "n m"], size: int) -> Bool[Array, "c t 2 size"]:
    """Which queries (last axis) of both directions a target is barred for."""
    both = [jnp.asarray(barred).T, jnp.asarray(barred)]
    full = [jnp.pad(b, [(0, size - n) for n in b.shape]) for b in both]
    return jnp.stack(full, axis=1).reshape(-1, TARGETS_AT_ONCE, 2, size)


def _by_table(
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
