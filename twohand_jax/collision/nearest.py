"""Exact nearest neighbours between two small vertex sets, in static shapes.

On CPU ``jnp.argmin`` costs several times the distances themselves. A minimum followed
by the smallest index that attains it (a second minimum over ``where(iota)``) is exact,
and running one pair of meshes at a time keeps the 778 x 778 table in cache.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

PAIRS_AT_ONCE = 64  # away from the CPU, where memory rather than cache is the limit


def nearest(
    first: Float[Array, "*b n 3"],
    second: Float[Array, "*b m 3"],
    *,
    barred: Bool[Array, "n m"] | None = None,
) -> tuple[Int[Array, "*b n"], Int[Array, "*b m"]]:
    """Nearest vertex of the other set for every vertex of both sets.

    Ties go to the lowest index. The indices carry no gradient: gather with them and
    differentiate the distances of what was gathered. No table of distances is kept.

    Args:
        first: any unit.
        second: the same unit.
        barred: pairs that do not count as neighbours, for every mesh of the batch.

    Returns:
        For each vertex of ``first`` an index into ``second``, and the reverse.
    """
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


def gather(
    values: Float[Array, "*b m k"], index: Int[Array, "*b n"]
) -> Float[Array, "*b n k"]:
    """The rows of ``values`` named by ``index``."""
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
