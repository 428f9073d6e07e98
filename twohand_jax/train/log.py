"""Metrics of a run: one JSON line a report, and TensorBoard when it is installed."""

import json
import time
from pathlib import Path
from typing import Any

import cv2
import jax
from jaxtyping import UInt8
from numpy import ndarray


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
        folder = self._directory / "pictures"
        folder.mkdir(exist_ok=True)
        path = folder / f"{name}-{step:08d}.png"
        cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
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
