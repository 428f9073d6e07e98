"""Estimates of a row, kept while it is evaluated and written as a prediction file.

Every process keeps those of its own records in ``OUT/predictions``, some batches a
file, at the pace of ``evaluator.Store``; so an interrupted evaluation goes on with
both. At the end the first process copies them into the file, some files at a time.
"""

from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np

from twohand_jax import files, paths, reading
from twohand_jax.errors import InputError
from twohand_jax.evaluation import results
from twohand_jax.evaluation.evaluator import BATCHES, Method, ScoredBatch
from twohand_jax.evaluation.outside import prediction_shards
from twohand_jax.evaluation.outside.prediction_shards import Arrays
from twohand_jax.types import Batch, Prediction

KEPT = "predictions"


class PredictionWriter:
    """Writes what one method estimates.

    Attributes:
        row: name of the method.
        path: of the file.
    """

    def __init__(self, path: Path, row: str, *, out: Path) -> None:
        """Find what an interrupted evaluation kept.

        Args:
            path: of the file, which ends in .npz or .parquet.
            row: name of the method.
            out: where the evaluation lies.

        Raises:
            InputError: the ending is another.
        """
        prediction_shards.check_path(path)
        self.path, self.row = path, row
        self._folder = out / KEPT
        self._seen: list[Arrays] = []
        self._fresh: list[Arrays] = []
        self._files = 0
        while self._is_whole(self._files):
            self._files += 1

    @property
    def done(self) -> int:
        """Batches that are kept."""
        return self._files * BATCHES

    def back_to(self, batches: int) -> None:
        """Forget what is kept of later batches than the first ones."""
        self._files = min(self._files, batches // BATCHES)

    def watched(self, method: Method) -> Method:
        """The method, whose estimates are kept."""

        def estimate(batch: Batch) -> Prediction:
            prediction = method(batch)
            self._seen.append(_arrays(prediction))
            return prediction

        return estimate

    def add(self, part: ScoredBatch) -> None:
        """Keep the estimates of a batch that was scored."""
        arrays = self._seen.pop(0)
        rows = part.weight > 0
        names = results.decode_names(part.texts["image_id"])
        kept = {name: array[rows] for name, array in arrays.items()}
        self._fresh.append({"image_id": np.asarray(names)[rows], **kept})
        if len(self._fresh) == BATCHES:
            self._write()

    def close(self) -> None:
        """Write the last ones of this process."""
        if self._fresh:
            self._write()

    def finish(self) -> list[Path]:
        """Make the file of what all processes kept; all must have closed.

        Returns:
            The files, of the first process.
        """
        if jax.process_index() != 0:
            return []
        paths.attach(self._folder, again=True)
        found = sorted(self._folder.rglob("*.npz"))
        sizes = [len(reading.read_npz(one, ["image_id"])["image_id"]) for one in found]
        written = prediction_shards.write(self.path, _all(found), sum(sizes))
        files.remove(self._folder)
        return written

    def _write(self) -> None:
        names = self._fresh[0]
        whole = {
            name: np.concatenate([part[name] for part in self._fresh]) for name in names
        }
        files.write_npz(self._path(self._files), whole, compressed=False)
        self._files += 1
        self._fresh = []

    def _is_whole(self, number: int) -> bool:
        try:
            reading.read_npz(self._path(number))
        except InputError:
            return False
        return True

    def _path(self, number: int) -> Path:
        process = f"process-{jax.process_index():05d}-of-{jax.process_count():05d}"
        return self._folder / process / f"{number:06d}.npz"


def _all(found: list[Path]) -> Iterator[Arrays]:
    for path in found:
        yield reading.read_npz(path)


def _arrays(prediction: Prediction) -> Arrays:
    geometry = prediction.geometry
    values = {
        "joints": geometry.joints,
        "found": prediction.score > 0,
        "vertices": geometry.vertices,
        "rel_trans": prediction.rel_trans,
    }
    held = {name: value for name, value in values.items() if value is not None}
    return {name: np.asarray(value) for name, value in jax.device_get(held).items()}
