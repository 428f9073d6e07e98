"""What a run leaves behind: metrics, its code, and the end of a failed one."""

import json
import subprocess
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import UInt8
from numpy import ndarray
from PIL import Image

from twohand_jax import files
from twohand_jax.train import sharding


class MetricsLog:
    """Appends to ``metrics.jsonl`` and, when possible, to TensorBoard's event files.

    Only the first process writes.
    """

    def __init__(self, directory: Path):
        self._writes = jax.process_index() == 0
        if not self._writes:
            return
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._file = (directory / "metrics.jsonl").open("a", buffering=1)
        self._board = _board(directory)

    def write(self, step: int, values: dict[str, float]) -> None:
        """Report scalars of a step."""
        if not self._writes:
            return
        line = {"step": step, "time": round(time.time(), 3)} | values
        self._file.write(json.dumps(line) + "\n")
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(name, value, step)

    def picture(self, step: int, name: str, image: UInt8[ndarray, "h w 3"]) -> None:
        """Keep an RGB picture of a step as ``pictures/NAME-STEP.png``."""
        if not self._writes:
            return
        path = self._directory / "pictures" / f"{name}-{step:08d}.png"
        with files.replacing(path) as beside:
            Image.fromarray(image).save(beside)
        if self._board is not None:
            self._board.add_image(name, image, step, dataformats="HWC")

    def close(self) -> None:
        """Flush and close the files."""
        if not self._writes:
            return
        self._file.close()
        if self._board is not None:
            self._board.close()


def _board(directory: Path) -> Any:
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(directory / "tensorboard"))


PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")


def write_provenance(workdir: Path, *, first_step: int) -> None:
    """Append a line to ``WORKDIR/starts.jsonl``."""
    line = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "first_step": first_step,
        "revision": revision(),
        "devices": f"{jax.device_count()} x {jax.devices()[0].device_kind}",
        "processes": jax.process_count(),
        "versions": {name: metadata.version(name) for name in PACKAGES},
    }
    workdir.mkdir(parents=True, exist_ok=True)
    with (workdir / "starts.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")


def revision() -> str | None:
    """The git revision of the code, with "-dirty" for local changes; None without."""
    here = Path(__file__).parent
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        done = subprocess.run(
            command, cwd=here, capture_output=True, text=True, timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def dump_failure(
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
    local = sharding.local(batch)
    name = f"process-{jax.process_index()}"
    leaves = jax.tree_util.tree_leaves_with_path(local)
    arrays = {jax.tree_util.keystr(path): leaf for path, leaf in leaves}
    files.write_npz(folder / f"{name}.npz", arrays)
    records = [describe(int(record)) for record in local.record]
    report = {"step": step, "metrics": metrics, "records": records}
    files.write_json(folder / f"{name}.json", report)
    bad = sorted(name for name, value in metrics.items() if not np.isfinite(value))
    return (
        f"Step {step}: {', '.join(bad)} not finite; its batch begins with {records[0]}."
        f" Batch, records and metrics are in {folder}; the newest checkpoint is of the "
        "step before, so the same command meets the batch again. Lower the learning "
        "rate or leave the record out."
    )
