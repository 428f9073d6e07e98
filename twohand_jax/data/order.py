"""In which order records are read: shards, windows, and groups cut from windows."""

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from twohand_jax.errors import InputError


class ShuffleWindow(NamedTuple):
    """Some shards and the order of the records in their concatenation."""

    shards: np.ndarray
    records: np.ndarray


@dataclasses.dataclass(frozen=True, kw_only=True)
class Order:
    """Order of the records of one process.

    Attributes:
        counts: records in each of the process's shards.
        shuffle: False keeps the order on disk.
        seed: of the order.
        window_shards: shards whose records are mixed; also what is held in memory.
    """

    counts: tuple[int, ...]
    shuffle: bool = True
    seed: int = 0
    window_shards: int = 8

    @property
    def num_records(self) -> int:
        """Records in an epoch."""
        return sum(self.counts)

    def stream(self, position: int = 0, *, epochs: int | None = None) -> Iterator:
        """Windows from the ``position``-th record on; None repeats for ever."""
        epoch, skip = divmod(position, self.num_records)
        while epochs is None or epoch < epochs:
            for window in self.epoch(epoch):
                if skip < len(window.records):
                    yield ShuffleWindow(window.shards, window.records[skip:])
                skip = max(skip - len(window.records), 0)
            epoch += 1

    def epoch(self, epoch: int) -> Iterator[ShuffleWindow]:
        """The windows of one epoch."""
        shards = np.arange(len(self.counts))
        if self.shuffle:
            shards = shards[_permutation(len(shards), self.seed, epoch)]
        for number, start in enumerate(range(0, len(shards), self.window_shards)):
            chosen = shards[start : start + self.window_shards]
            size = int(np.take(self.counts, chosen).sum())
            records = np.arange(size)
            if self.shuffle:
                records = _permutation(size, self.seed, epoch, number + 1)
            if size:
                yield ShuffleWindow(chosen, records)


def assign(num_shards: int, process: int, num_processes: int) -> np.ndarray:
    """Numbers of the shards that a process reads."""
    if num_shards < num_processes:
        raise InputError(
            f"{num_processes} processes cannot share {num_shards} shards: every "
            "process reads its own; build the set with more shards."
        )
    return np.arange(process, num_shards, num_processes)


def _permutation(size: int, seed: int, epoch: int, stream: int = 0) -> np.ndarray:
    """A permutation from raw Philox bits, which NumPy promises never to change."""
    words = np.random.SeedSequence([seed, epoch, stream]).generate_state(2, np.uint64)
    bits = np.random.Philox(key=words).random_raw(size)
    return np.argsort(bits, kind="stable")


class Group(NamedTuple):
    """Serialised records, their numbers, and which are whole."""

    payloads: Any
    records: np.ndarray
    usable: np.ndarray


class Piece(NamedTuple):
    """Records of a window: all of its payloads, and which of them, in what order.

    ``problems`` tells by their numbers what is wrong with damaged records.
    """

    payloads: Any
    order: np.ndarray
    records: np.ndarray
    problems: dict[int, str]

    def cut(self, part: slice) -> "Piece":
        """Some of the records."""
        return self._replace(order=self.order[part], records=self.records[part])


def regroup(
    windows: Iterator[Piece], sizes: Iterable[int]
) -> Iterator[tuple[Piece, ...]]:
    """Pieces that hold as many records as each size, while there are any."""
    rest: Piece | None = None
    for size in sizes:
        pieces: list[Piece] = []
        while size:
            rest = rest if rest is not None and len(rest.order) else next(windows, None)
            if rest is None:
                break
            pieces.append(rest.cut(slice(size)))
            rest = rest.cut(slice(size, None))
            size -= len(pieces[-1].order)
        yield tuple(pieces)
