"""Timing programs side by side, and what was found as a table and as JSON."""

import importlib.util
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from twohand_jax import files
from twohand_jax.benchmarks.steps import CompiledProgram
from twohand_jax.errors import InputError, MissingDependencyError
from twohand_jax.markdown import table

PACKAGES = ("jax", "jaxlib", "numpy", "tensorflow-cpu", "torch")


class Report(NamedTuple):
    """One benchmark's figures.

    Attributes:
        title: what the table shows, in which units.
        head: names of the columns.
        lines: cells of the table, by row.
        rows: the figures by name, for JSON.
        packages: whose versions matter besides those of ``PACKAGES``.
    """

    title: str
    head: Sequence[str]
    lines: Sequence[Sequence[str]]
    rows: Sequence[Mapping[str, Any]]
    packages: Sequence[str] = ()


def markdown(report: Report) -> str:
    """The table."""
    return table(report.head, report.lines)


def write(report: Report, path: Path) -> None:
    """Write figures, machine and versions as JSON."""
    versions = {}
    for package in (*PACKAGES, *report.packages):
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    content = {
        "title": report.title,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "versions": versions,
        "rows": list(report.rows),
    }
    files.write_json(path, content)


def check_path(path: Path) -> None:
    """Refuse a file that cannot be written, before the measurement.

    Raises:
        InputError: its folder does not exist.
    """
    if not path.parent.is_dir():
        raise InputError(
            f"--out {path}: the folder {path.parent} does not exist; create it or "
            "choose another."
        )


class Timing(NamedTuple):
    """Time of one call in milliseconds."""

    minimum_ms: float
    median_ms: float


def interleaved(
    programs: Mapping[str, Callable[[], object]],
    *,
    repetitions: int,
    warmup: int = 2,
    untimed: int = 0,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Timing]:
    """Time programs in turns, so that a busy moment of the machine hits all of them.

    Args:
        programs: functions that return when their work is done.
        repetitions: timed calls of each.
        warmup: untimed calls of each at the start, for compilation and caches.
        untimed: calls of the same program before each timed one. Without them a call
            pays for what its neighbour left in the caches, which doubles a short one.
        clock: seconds; ``time.process_time`` counts the work of all threads, which a
            busy machine changes little.
    """
    for program in programs.values():
        for _ in range(warmup):
            program()
    seconds: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(repetitions):
        for name, program in programs.items():
            for _ in range(untimed):
                program()
            start = clock()
            program()
            seconds[name].append(clock() - start)
    return {
        name: Timing(1e3 * min(taken), 1e3 * statistics.median(taken))
        for name, taken in seconds.items()
    }


PEERS = "twohand_jax.benchmarks.peers"


def require_peers(*packages: str) -> None:
    """Refuse a comparison whose peers, or packages of theirs, are not there.

    Raises:
        MissingDependencyError: this is not a checkout, or a package is absent.
    """
    if importlib.util.find_spec(PEERS) is None:
        raise MissingDependencyError(
            "The programs to compare with are in the repository, in "
            "twohand_jax/benchmarks/peers, and not in the installed package: run "
            "twohand benchmark from a checkout (pip install -e '.[dev]'), or pass "
            "--peers none to time twohand_jax alone."
        )
    require_packages(*packages)


def require_packages(*packages: str) -> None:
    """Refuse a comparison whose packages are not installed.

    Raises:
        MissingDependencyError: one of them is absent.
    """
    for package in packages:
        if importlib.util.find_spec(package) is None:
            raise MissingDependencyError(
                f"The comparison needs the package {package}, which is not installed: "
                f"install it with `python -m pip install {package}`, or pass "
                "--peers none."
            )


OURS, PEER = "twohand_jax", "PyTorch"
DTYPES = ("float32", "bfloat16")


class ProgramRow(NamedTuple):
    """One program in one dtype."""

    task: str
    dtype: str
    batch: int
    program: CompiledProgram
    ceiling: float
    timings: dict[str, Timing]


def program_table(rows: Sequence[ProgramRow], *, what: str, unit: str) -> Report:
    """One line a program.

    Args:
        rows: in their order.
        what: was timed, for the title.
        unit: of a batch, such as "item".
    """
    ceilings = {row.dtype: f"{row.ceiling / 1e9:.4g} GFLOP/s" for row in rows}
    said = ", ".join(f"{dtype} {limit}" for dtype, limit in ceilings.items())
    return Report(
        title=f"{what} on one {jax.devices()[0].device_kind}; best (median); × is "
        f"PyTorch's best time over ours; matrix product: {said}",
        head=["program", "dtype", f"{unit}s/s", "ms", f"GFLOP/{unit}", "GFLOP/s"]
        + ["MFU", "compile s", "GiB", "PyTorch ms", "×"],
        lines=[_cells(row) for row in rows],
        rows=[_figures(row) for row in rows],
    )


def ceiling(dtype: str, size: int | None = None) -> float:
    """FLOP/s of a large matrix product.

    Args:
        dtype: of both matrices and the product.
        size: their side; None: 2048 on a CPU, 8192 elsewhere.
    """
    if size is None:
        size = 2048 if jax.default_backend() == "cpu" else 8192
    matrix = jax.random.normal(jax.random.key(0), (size, size), jnp.dtype(dtype))
    product = jax.jit(jnp.dot)
    timing = interleaved(
        {"product": lambda: jax.block_until_ready(product(matrix, matrix))},
        repetitions=5,
    )
    return 2.0 * size**3 / (1e-3 * timing["product"].minimum_ms)


def _figures(row: ProgramRow) -> dict[str, Any]:
    return {
        "program": row.task,
        "dtype": row.dtype,
        "batch": row.batch,
        "flops": row.program.flops,
        "ceiling_flops_per_second": row.ceiling,
        "compile_seconds": row.program.compile_seconds,
        "memory_bytes": row.program.memory_bytes,
        "milliseconds": {k: t._asdict() for k, t in row.timings.items()},
    }


def _cells(row: ProgramRow) -> list[str]:
    ours, peer = row.timings[OURS], row.timings.get(PEER)
    program, rate = row.program, row.program.flops / (1e-3 * ours.minimum_ms)
    speeds = [1e3 * row.batch / ms for ms in ours]
    memory = program.memory_bytes
    return [
        row.task,
        row.dtype,
        f"{speeds[0]:.3g} ({speeds[1]:.3g})",
        f"{ours.minimum_ms:.4g} ({ours.median_ms:.4g})",
        f"{program.flops / row.batch / 1e9:.3g}",
        f"{rate / 1e9:.4g}",
        f"{rate / row.ceiling:.0%}",
        f"{program.compile_seconds:.1f}",
        "-" if memory is None else f"{memory / 2**30:.2f}",
        f"{peer.minimum_ms:.4g} ({peer.median_ms:.4g})" if peer else "-",
        f"{peer.minimum_ms / ours.minimum_ms:.2f}" if peer else "-",
    ]
