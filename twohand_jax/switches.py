"""JAX's own defaults inside of this library, whatever a notebook has switched.

Shapes here rely on broadcasting between ranks, numbers on numpy's rules for mixed
types, and compiled programs on 32 bits. A user may have made the first two errors and
the third 64 bits for code of their own; these contexts, which are decorators as well,
undo that for the time of a call. For training, reconstruction and evaluation they undo
``jax_disable_jit``, too: their programs are compiled ahead. ``jax_debug_nans`` stays as
it is: whoever sets it wants it here too.
"""

import contextlib
import os
import sys
from collections.abc import Iterator

VARIABLES = (
    "JAX_DISABLE_JIT",
    "JAX_ENABLE_X64",
    "JAX_NUMPY_RANK_PROMOTION",
    "JAX_NUMPY_DTYPE_PROMOTION",
)


@contextlib.contextmanager
def promotions() -> Iterator[None]:
    """Ranks and types are promoted as by default; 64 bits stay 64 bits."""
    import jax

    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        yield


@contextlib.contextmanager
def defaults() -> Iterator[None]:
    """``promotions``, numbers have 32 bits, and functions are compiled."""
    import jax

    with promotions(), jax.enable_x64(False), jax.disable_jit(False):
        yield


@contextlib.contextmanager
def of_command() -> Iterator[None]:
    """``defaults`` for a command and the processes that it starts."""
    for name in VARIABLES:
        os.environ.pop(name, None)
    if "jax" not in sys.modules:  # it will be read from what is left of the environment
        yield
        return
    with defaults():
        yield
