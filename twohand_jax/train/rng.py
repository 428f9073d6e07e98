"""Random keys that are derived, never carried: seed → named stream → step."""

import zlib

import jax
from jaxtyping import Array, Int, Key


def stream(seed: int, name: str) -> Key[Array, ""]:
    """The key of a named stream ("init", "augment", …)."""
    return jax.random.fold_in(jax.random.key(seed), zlib.crc32(name.encode()))


def at_step(key: Key[Array, ""], step: Int[Array, ""] | int) -> Key[Array, ""]:
    """The stream's key for one step, so that a resumed run draws the same numbers."""
    return jax.random.fold_in(key, step)
