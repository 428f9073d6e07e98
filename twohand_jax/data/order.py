"""In which order records are read: shards, windows, and groups cut from windows."""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np


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
        if not self.num_records:
            return
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


class Slice(NamedTuple):
    """Records ``start`` to ``stop`` of a shard, counted within it."""

    shard: int
    start: int
    stop: int


def share(counts: Sequence[int], process: int, num_processes: int) -> tuple[Slice, ...]:
    """What a process reads of a split: whole shards where all processes have some.

    Where there are fewer shards than processes (or so many empty ones that a process
    would have no record), each process has an equal run of the split's records, which
    begins and ends inside of shards. It is empty where there are fewer records than
    processes.

    Args:
        counts: records of each shard.
        process: number of the process.
        num_processes: how many there are.
    """
    owners = [range(p, len(counts), num_processes) for p in range(num_processes)]
    if all(any(counts[number] for number in own) for own in owners):
        return tuple(Slice(number, 0, counts[number]) for number in owners[process])
    total = sum(counts)
    first, last = (total * p // num_processes for p in (process, process + 1))
    found, start = [], 0
    for number, count in enumerate(counts):
        inside = max(first - start, 0), min(last - start, count)
        if inside[0] < inside[1]:
            found.append(Slice(number, *inside))
        start += count
    return tuple(found)


def longest_share(counts: Sequence[int], num_processes: int) -> int:
    """Most records that any process has."""
    shares = (share(counts, p, num_processes) for p in range(num_processes))
    return max(sum(one.stop - one.start for one in own) for own in shares)


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
