"""Normal equations whose unknowns come in rows of blocks that meet their neighbours."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


class Normal(NamedTuple):
    """Blocks of the diagonal, those on their right, and the right side."""

    diagonal: Float[Array, "k n n"]
    beside: Float[Array, "k n n"]
    right: Float[Array, "k n"]


def joined(a: Array, b: Array, c: Array, d: Array) -> Float[Array, "k n n"]:
    """Matrices of four quarters: ``a`` and ``b`` above ``c`` and ``d``."""
    top = jnp.concatenate([a, b], axis=-1)
    return jnp.concatenate([top, jnp.concatenate([c, d], axis=-1)], axis=-2)


def solve_blocks(normal: Normal, damping: Float[Array, ""]) -> Float[Array, "k n"]:
    """Block Cholesky forwards, substitution backwards.

    Args:
        normal: symmetric, positive; of ``beside`` the last block counts for nothing.
        damping: share of the diagonal that is added to it.
    """
    solve_with = jax.scipy.linalg.cho_solve
    size = normal.right.shape[1]

    def forward(carry: Any, block: Normal) -> Any:
        below, y = carry
        diagonal = block.diagonal + jnp.diag(
            damping * jnp.diagonal(block.diagonal) + 1e-6
        )
        factor = jnp.linalg.cholesky(diagonal - below)
        right = block.right - y
        both = jnp.concatenate([block.beside, right[:, None]], axis=1)
        found = solve_with((factor, True), both)
        carry = block.beside.T @ found[:, :size], block.beside.T @ found[:, size]
        return carry, (found[:, :size], found[:, size])

    zero = jnp.zeros((size, size)), jnp.zeros(size)
    _, (beside, right) = jax.lax.scan(forward, zero, normal)

    def backward(later: Array, block: tuple[Array, Array]) -> tuple[Array, Array]:
        x = block[1] - block[0] @ later
        return x, x

    _, x = jax.lax.scan(backward, jnp.zeros(size), (beside, right), reverse=True)
    return x
