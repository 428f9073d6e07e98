"""Tables of programs: their speed beside a peer's and a large matrix product's."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from twohand_jax.benchmarks.report import Report
from twohand_jax.benchmarks.steps import Program
from twohand_jax.benchmarks.timing import Timing, interleaved

OURS, PEER = "twohand_jax", "PyTorch"
DTYPES = ("float32", "bfloat16")


class Row(NamedTuple):
    """One program in one dtype."""

    task: str
    dtype: str
    batch: int
    program: Program
    ceiling: float
    timings: dict[str, Timing]


def table(rows: Sequence[Row], *, what: str, unit: str) -> Report:
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


def _figures(row: Row) -> dict[str, Any]:
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


def _cells(row: Row) -> list[str]:
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
