"""What a run leaves behind: metrics, its code, and the end of a failed one."""

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from twohand_jax import files, reading
from twohand_jax.train import sharding
from twohand_jax.train.trackers import Tracker

METRICS, STARTS = "metrics.jsonl", "starts.jsonl"


class MetricsLog:
    """Appends to ``metrics.jsonl`` and tells the trackers.

    Only the first process writes.
    """

    def __init__(
        self,
        directory: Path,
        *,
        first_step: int = 0,
        trackers: Sequence[Tracker] = (),
    ) -> None:
        """Open the log.

        Args:
            directory: of the run.
            trackers: who is told as well, see ``trackers.begin``.
            first_step: that the run goes on from; lines of later steps, which are
                trained again, are dropped, so that each step is there once.
        """
        self._writes = jax.process_index() == 0
        if not self._writes:
            return
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        path = directory / METRICS
        _drop_after(path, first_step)
        self._file = path.open("a", buffering=1)
        self._trackers = tuple(trackers)

    def write(self, step: int, values: dict[str, float]) -> None:
        """Report scalars of a step."""
        if not self._writes:
            return
        line = {"step": step, "time": round(time.time(), 3)} | values
        with files.named(self._directory / METRICS):
            self._file.write(json.dumps(line) + "\n")
        for tracker in self._trackers:
            tracker.write(step, values)

    def picture(self, step: int, name: str, image: UInt8[ndarray, "h w 3"]) -> None:
        """Keep an RGB picture of a step as ``pictures/NAME-STEP.png``."""
        if not self._writes:
            return
        from PIL import Image

        path = self._directory / "pictures" / f"{name}-{step:08d}.png"
        with files.replacing(path) as beside:
            Image.fromarray(image).save(beside)
        for tracker in self._trackers:
            tracker.picture(step, name, image)

    def close(self) -> None:
        """Flush and close the files."""
        if not self._writes:
            return
        with contextlib.suppress(OSError):  # what a failed write left, which was told
            self._file.close()
        for tracker in self._trackers:
            tracker.close()


def _drop_after(path: Path, step: int) -> None:
    """Keep the whole lines of steps up to this one."""
    if not path.exists():
        return
    text = reading.read_bytes(path).decode(errors="replace")
    kept = [line for line in text.splitlines(keepends=True) if _is_kept(line, step)]
    if (wanted := "".join(kept)) != text:
        files.write_text(path, wanted)


def _is_kept(line: str, step: int) -> bool:
    try:
        return line.endswith("\n") and json.loads(line)["step"] <= step
    except (ValueError, KeyError, TypeError):
        return False


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
    path = workdir / STARTS
    before = _last_start(path).get("processes")
    if first_step and before not in (None, line["processes"]):
        print(
            f"The run goes on with {line['processes']} processes instead of {before}: "
            "each reads other records, so the order of the data changes from step "
            f"{first_step + 1} on. Every epoch still has each record about once.",
            file=sys.stderr,
        )
    with files.named(path), path.open("a") as file:
        file.write(json.dumps(line) + "\n")


def _last_start(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text().splitlines()[-1])
    except (OSError, ValueError, IndexError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


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
