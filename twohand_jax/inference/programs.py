"""Compiled programs, prepared in the background and kept between runs.

Tracing and compiling take far longer than running. With a cache folder a program's
traced form (StableHLO, by ``jax.export``) is kept there under a key of everything it
depends on, so that a later run neither traces it nor builds the network; XLA's own
persistent cache then supplies the machine code.
"""

import concurrent.futures
import contextlib
import functools
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax import export
from jaxtyping import PyTree

from twohand_jax import files
from twohand_jax.errors import FailedError, InputError

# Compiling matters as much as running here. On CPUs LLVM's first level and the older
# fusion code take a third of the time of the usual ones, and what they make is as fast;
# without any level it would take half as long to compile and twice as long to run.
QUICK: dict[str, str | bool] = {
    "xla_backend_optimization_level": "1",
    "xla_cpu_use_fusion_emitters": False,
}
PACKAGE = Path(__file__).parent.parent
Function = Callable[..., Any]


class Programs:
    """Functions compiled by name in background threads.

    Attributes:
        folder: where traced programs are kept; None keeps nothing.
    """

    def __init__(self, folder: Path | None = None) -> None:
        """Start with no programs."""
        self.folder = folder
        self._threads = concurrent.futures.ThreadPoolExecutor(max_workers=2)
        self._futures: dict[str, concurrent.futures.Future[Function]] = {}

    def prepare(
        self, name: str, make: Callable[[], Function], *shapes: PyTree, key: str = ""
    ) -> None:
        """Begin to compile a function of arguments of these shapes.

        Args:
            name: under which ``get`` finds it.
            make: gives the function; only called when the cache does not have it.
            shapes: the arguments, or their ``jax.ShapeDtypeStruct``.
            key: everything else that the function depends on.
        """
        work = functools.partial(self._compiled, name, make, shapes, key)
        self._futures[name] = self._threads.submit(work)

    def has(self, name: str) -> bool:
        """Whether the program was prepared."""
        return name in self._futures

    def get(self, name: str) -> Function:
        """The compiled program; waits until it is ready."""
        return self._futures[name].result()

    def _compiled(
        self, name: str, make: Callable[[], Function], shapes: PyTree, key: str
    ) -> Function:
        leaves, structure = jax.tree.flatten(shapes)
        text = f"{name} {structure} {[(x.shape, str(x.dtype)) for x in leaves]} {key}"
        path = self.folder and self.folder / f"{name}-{fingerprint(text)}.stablehlo"
        content = kept(path) if path else None
        program = export.deserialize(bytearray(content)) if content else None
        if program is None:
            program = export.export(jax.jit(_on_leaves(make(), structure)))(*leaves)
            if path:
                keep(path, bytes(program.serialize()))
        compiled = _compile(jax.jit(program.call).lower(*leaves))
        return lambda *arguments: compiled(*jax.tree.leaves(arguments))


def fingerprint(text: str) -> str:
    """A key that changes with the text, this package's code, JAX and the backend."""
    parts = f"{jax.__version__} {jax.default_backend()} {_sources()} {text}"
    return hashlib.sha256(parts.encode()).hexdigest()[:32]


def keep(path: Path, content: bytes) -> None:
    """Write a cache entry, complete or not at all; failing to is not an error."""
    with contextlib.suppress(InputError, FailedError):
        files.write_bytes(path, hashlib.sha256(content).digest() + content)


def kept(path: Path) -> bytes | None:
    """A cache entry; None when there is none or it is damaged."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    digest, content = content[:32], content[32:]
    return content if hashlib.sha256(content).digest() == digest else None


def shapes_of(tree: PyTree) -> PyTree:
    """Shapes and types of the arrays in a tree."""
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(np.shape(x), x.dtype), tree)


def _compile(lowered: jax.stages.Lowered) -> jax.stages.Compiled:
    if jax.default_backend() != "cpu":
        return lowered.compile()
    try:
        return lowered.compile(compiler_options=QUICK)
    except jax.errors.JaxRuntimeError:
        # A release of XLA that no longer knows an option.
        return lowered.compile()


def _on_leaves(function: Function, structure: Any) -> Function:
    """The function with flat arguments and a flat result, as exports want it."""

    def flat(*leaves: jax.Array) -> tuple[jax.Array, ...]:
        result = function(*jax.tree.unflatten(structure, leaves))
        return tuple(jax.tree.leaves(result))

    return flat


@functools.cache
def _sources() -> str:
    digest = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
