"""What an evaluation has computed so far, on disk, so that it can be interrupted.

``OUT/run.json`` says what is evaluated; ``OUT/parts`` holds the scores of some batches
a file, for each process, until all are there.
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import jax
import numpy as np

from twohand_jax import files
from twohand_jax.errors import InputError
from twohand_jax.evaluation.evaluator import ScoredBatch
from twohand_jax.evaluation.results import flatten, unflatten

RUN, PARTS = "run.json", "parts"
BATCHES = 4  # in a file
TEXT = "text/"


class Store:
    """The parts of one process.

    Attributes:
        done: batches that need not be computed again.
    """

    def __init__(
        self,
        directory: Path,
        identity: Mapping[str, object],
        *,
        batches: int | None = None,
    ) -> None:
        """Open or begin an evaluation.

        Args:
            directory: of the evaluation.
            identity: everything that decides the scores, as JSON has it.
            batches: in a file; ``BATCHES`` by default.

        Raises:
            InputError: the directory holds another evaluation.
        """
        self._directory = directory
        self._batches = batches or BATCHES
        self._fresh: list[ScoredBatch] = []
        begin(directory, identity)
        count = 0
        while self._path(count).exists():
            count += 1
        self._files = count
        self.done = count * self._batches

    def add(self, part: ScoredBatch) -> None:
        """Keep the scores of a batch."""
        self._fresh.append(part)
        if len(self._fresh) == self._batches:
            self._write()

    def close(self) -> list[ScoredBatch]:
        """Write the last ones, and all parts from the first batch on."""
        if self._fresh:
            self._write()
        return [_read(self._path(number)) for number in range(self._files)]

    def clear(self) -> None:
        """Forget the parts, once the whole is written elsewhere."""
        if jax.process_index() == 0:
            shutil.rmtree(self._directory / PARTS, ignore_errors=True)

    def _write(self) -> None:
        whole = jax.tree.map(lambda *leaves: np.concatenate(leaves), *self._fresh)
        path = self._path(self._files)
        files.write_npz(path, _arrays(whole), compressed=False)
        self._files += 1
        self._fresh = []

    def _path(self, number: int) -> Path:
        process = f"process-{jax.process_index()}-of-{jax.process_count()}"
        return self._directory / PARTS / process / f"{number:06d}.npz"


def begin(directory: Path, identity: Mapping[str, object]) -> None:
    """Write what is evaluated, or compare with what is written there.

    Raises:
        InputError: the directory holds another evaluation.
    """
    path = directory / RUN
    wanted = json.loads(json.dumps(identity))
    if path.exists():
        try:
            found = json.loads(path.read_text())
        except ValueError:
            found = None
        if found != wanted:
            known = found if isinstance(found, dict) else {}
            names = [key for key in wanted if known.get(key) != wanted[key]]
            raise InputError(
                f"{directory} holds another evaluation ({', '.join(names) or RUN} "
                "differs): choose another --out, or delete it."
            )
        return
    files.write_json(path, wanted)


def _arrays(part: ScoredBatch) -> dict[str, np.ndarray]:
    arrays = {"record": part.record, "weight": part.weight}
    arrays |= {TEXT + name: codes for name, codes in part.texts.items()}
    for number, (name, scores) in enumerate(part.scores.items()):
        arrays[f"{number}/name"] = np.array(name)
        arrays |= {f"{number}/{key}": leaf for key, leaf in flatten(scores).items()}
    return arrays


def _read(path: Path) -> ScoredBatch:
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    scores, number = {}, 0
    while (name := arrays.pop(f"{number}/name", None)) is not None:
        prefix = f"{number}/"
        own = {k[len(prefix) :]: v for k, v in arrays.items() if k.startswith(prefix)}
        scores[str(name)] = unflatten(own)
        number += 1
    texts = {k[len(TEXT) :]: v for k, v in arrays.items() if k.startswith(TEXT)}
    return ScoredBatch(arrays["record"], arrays["weight"], scores, texts)
