"""Metrics of a run: one JSON line a report, and TensorBoard when it is installed."""

import json
import time
from pathlib import Path
from typing import Any


class MetricsLog:
    """Appends to ``metrics.jsonl`` and, when possible, to TensorBoard's event files."""

    def __init__(self, directory: Path):
        directory.mkdir(parents=True, exist_ok=True)
        self._file = (directory / "metrics.jsonl").open("a", buffering=1)
        self._board = _board(directory)

    def write(self, step: int, values: dict[str, float]) -> None:
        """Report scalars of a step."""
        line = {"step": step, "time": round(time.time(), 3)} | values
        self._file.write(json.dumps(line) + "\n")
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(name, value, step)

    def close(self) -> None:
        """Flush and close the files."""
        self._file.close()
        if self._board is not None:
            self._board.close()


def _board(directory: Path) -> Any:
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(directory / "tensorboard"))
