"""Tables and JSON of benchmark rows."""

import json
import platform
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from twohand_jax.benchmarks.mano import OURS, Row


def markdown(rows: Sequence[Row]) -> str:
    """Minimum (median) in ms by program, and how many times ours is faster."""
    peers = [name for name in rows[0].timings if name != OURS]
    head = ["hands", "task", OURS, *peers, *(f"× {name}" for name in peers)]
    lines = [head, ["---"] * len(head)]
    for row in rows:
        times = [row.timings[name] for name in (OURS, *peers)]
        ratios = [t.minimum_ms / times[0].minimum_ms for t in times[1:]]
        cells = [f"{t.minimum_ms:.3g} ({t.median_ms:.3g})" for t in times]
        lines.append([str(row.hands), row.task, *cells, *(f"{r:.1f}" for r in ratios)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def write(rows: Sequence[Row], path: Path) -> None:
    """Write rows, machine and versions as JSON."""
    versions = {}
    for package in ("jax", "jaxlib", "torch", "smplx"):
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    content = {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "versions": versions,
        "rows": [
            {
                "hands": row.hands,
                "task": row.task,
                "milliseconds": {k: t._asdict() for k, t in row.timings.items()},
            }
            for row in rows
        ],
    }
    path.write_text(json.dumps(content, indent=1) + "\n")
