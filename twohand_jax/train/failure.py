"""What is left behind when a loss is not finite: enough to see it happen again."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from twohand_jax.train import sharding


def dump(
    workdir: Path,
    step: int,
    batch: Any,
    metrics: dict[str, float],
    describe: Callable[[int], str],
) -> str:
    """Write this process's part of the bad batch and say where it came from.

    The checkpoint of the step before is the run's newest, so resuming meets the same
    batch at once.

    Args:
        workdir: of the run.
        step: whose loss was not finite.
        batch: of that step, with a field ``record``.
        metrics: of that step.
        describe: where a record lies.

    Returns:
        One sentence for the error message.
    """
    folder = workdir / f"failure-{step:08d}"
    folder.mkdir(parents=True, exist_ok=True)
    local = sharding.local(batch)
    name = f"process-{jax.process_index()}"
    leaves = jax.tree_util.tree_leaves_with_path(local)
    arrays = {jax.tree_util.keystr(path): leaf for path, leaf in leaves}
    with (folder / f"{name}.npz").open("wb") as file:
        np.savez_compressed(file, **arrays)
    records = [describe(int(record)) for record in local.record]
    report = {"step": step, "metrics": metrics, "records": records}
    (folder / f"{name}.json").write_text(json.dumps(report, indent=1))
    bad = sorted(name for name, value in metrics.items() if not np.isfinite(value))
    return (
        f"Step {step}: {', '.join(bad)} not finite; its batch begins with {records[0]}."
        f" Batch, records and metrics are in {folder}; the newest checkpoint is of the "
        "step before, so the same command meets the batch again. Lower the learning "
        "rate or leave the record out."
    )
