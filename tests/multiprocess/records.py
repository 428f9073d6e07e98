"""One set of records laid out for two processes and for one, in the same order.

Each process reads its own shards, so a global batch of two processes holds other
records than one of a single process. ``merged`` writes the same records into one shard
such that a single process meets them batch by batch, row by row, as the two do.
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tests.data.records import Squares, example
from twohand_jax.data.order import Order
from twohand_jax.pipelines import writer
from twohand_jax.pipelines.labelled import Example

PER_PROCESS, PROCESSES, TEST = 8, 2, 2
Origin = tuple[int, int]


@dataclasses.dataclass(frozen=True)
class Merged(Squares):
    """Squares whose single shard of each split holds given records of other shards."""

    train: tuple[Origin, ...] = ()
    test: tuple[Origin, ...] = ()

    def examples(self, split: str, shard: int) -> Iterator[Example]:
        """The given records; ``shard`` is the only one."""
        for origin in getattr(self, split):
            key = [self.seed, split == "test", *origin]
            rng = np.random.default_rng(key)
            yield example(f"{split}-{origin}", self.height, self.width, rng)


def of_two(folder: Path) -> Path:
    """Two shards a split, one for each process."""
    sizes = (
        ("train", (PER_PROCESS,) * PROCESSES),
        ("test", (TEST,) * PROCESSES),
    )
    writer.write(Squares(sizes=sizes), folder, workers=0, progress=False)
    return folder


def merged(folder: Path, *, batch_size: int, seed: int) -> Path:
    """The same records in one shard a split.

    Args:
        folder: to write to.
        batch_size: of all processes together.
        seed: of the training's order.
    """
    total, rows = PER_PROCESS * PROCESSES, batch_size // PROCESSES
    own = shuffled(PER_PROCESS, seed)
    starts = range(0, PER_PROCESS, rows)
    met = [
        (process, int(number))
        for start in starts
        for process in range(PROCESSES)
        for number in own[start : start + rows]
    ]
    train: list[Origin] = [(0, 0)] * total
    for place, origin in zip(shuffled(total, seed), met, strict=True):
        train[place] = origin
    test = [(shard, number) for shard in range(PROCESSES) for number in range(TEST)]
    sizes = (("train", (total,)), ("test", (len(test),)))
    source = Merged(sizes=sizes, train=tuple(train), test=tuple(test))
    writer.write(source, folder, workers=0, progress=False)
    return folder


def shuffled(count: int, seed: int) -> np.ndarray:
    """The order in which a process meets its only shard's records."""
    return next(Order(counts=(count,), seed=seed).epoch(0)).records
