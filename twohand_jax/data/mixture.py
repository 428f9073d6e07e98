"""Several record sets as one stream, each with its share of every batch."""

import itertools
import math
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Int

from twohand_jax.data import decode, tfrecord
from twohand_jax.data.order import Group
from twohand_jax.data.tfrecord import Reader
from twohand_jax.errors import InputError
from twohand_jax.types import Batch


class Mixture:
    """Batches from several readers, with the interface of one.

    A record's number is its number in its set plus the sizes of the sets before it.
    """

    def __init__(
        self, readers: Sequence[Reader], weights: Sequence[float], batch_size: int
    ) -> None:
        """Check that the parts fit.

        Args:
            readers: of the same canvas and process; their batch sizes do not matter,
                and the first one's number of workers counts.
            weights: relative shares of the sets, positive.
            batch_size: records in a batch of this process.

        Raises:
            InputError: numbers do not fit.
        """
        _check(readers, weights, batch_size)
        self.readers = tuple(readers)
        self._weights = np.array(weights, np.float64) / math.fsum(weights)
        self._batch_size = batch_size
        sizes = [reader.split.num_records for reader in readers]
        self._starts = np.concatenate([[0], np.cumsum(sizes)])

    @property
    def skipped(self) -> list[str]:
        """The problem of each damaged record that was skipped."""
        return [text for reader in self.readers for text in reader.skipped]

    @property
    def steps_per_epoch(self) -> int:
        """Number of batches with as many records as all sets together."""
        processes = self.readers[0].num_processes
        return max(1, int(self._starts[-1]) // (self._batch_size * processes))

    def batches(self, step: int = 0) -> Iterator[Batch]:
        """Endless stream of full batches, beginning with batch number ``step``."""
        return self._assemble(self._mixed(step))

    def once(self) -> Iterator[Batch]:
        """Every record of this process once, set after set, padded with weight 0.

        All processes yield the same number of batches.
        """
        return self._assemble(
            self._renumbered(number, group)
            for number, reader in enumerate(self.readers)
            for group in reader.groups_once(self._batch_size)
        )

    def describe(self, record: int) -> str:
        """Shard file, number and place of a record, for messages and dumps."""
        reader, number = self._locate(record)
        return reader.describe(number)

    def report(self, record: int, problem: str) -> None:
        """Stop at a damaged record, or count it, as its reader is configured."""
        reader, number = self._locate(record)
        reader.report(number, problem)

    def _locate(self, record: int) -> tuple[Reader, int]:
        number = int(np.searchsorted(self._starts, record, side="right")) - 1
        return self.readers[number], record - int(self._starts[number])

    def _renumbered(self, number: int, group: Group) -> Group:
        return group._replace(records=group.records + self._starts[number])

    def _mixed(self, step: int) -> Iterator[Group]:
        size, weights = self._batch_size, self._weights
        slots = (share_slots(k * size, size, weights) for k in itertools.count(step))
        positions = share_counts(step * size, weights)
        mine, *theirs = itertools.tee(slots, 1 + len(self.readers))
        parts = [
            reader.groups(int(positions[n]), _how_many(n, theirs[n]))
            for n, reader in enumerate(self.readers)
        ]
        for chosen, *groups in zip(mine, *parts, strict=False):
            numbered = [self._renumbered(n, group) for n, group in enumerate(groups)]
            yield tfrecord.interleave(numbered, chosen)

    def _assemble(self, groups: Iterator[Group]) -> Iterator[Batch]:
        config = self.readers[0].config
        return decode.batches(
            tfrecord.parse(groups, self._batch_size, self.describe, self.report),
            config=config.canvas,
            workers=config.workers,
            report=self.report,
        )


def _how_many(number: int, slots: Iterator[np.ndarray]) -> Iterator[int]:
    for chosen in slots:
        yield int(np.count_nonzero(chosen == number))


def _check(
    readers: Sequence[Reader], weights: Sequence[float], batch_size: int
) -> None:
    if not readers or len(readers) != len(weights):
        raise InputError(
            f"A mixture of {len(readers)} sets has {len(weights)} weights: give each "
            "set one."
        )
    for reader, weight in zip(readers, weights, strict=True):
        if not (math.isfinite(weight) and weight > 0):
            raise InputError(
                f"{reader.config.directory} has weight {weight} in the mixture: give "
                "a positive number, or leave the set out."
            )
        if reader.config.canvas != readers[0].config.canvas:
            raise InputError(
                f"{reader.config.directory} is read onto {reader.config.canvas}, but "
                f"{readers[0].config.directory} onto {readers[0].config.canvas}: a "
                "batch has canvases of one kind."
            )
    if batch_size < 1:
        raise InputError(f"A batch of {batch_size} records is none: give 1 or more.")


def share_counts(places: int, weights: np.ndarray) -> Int[np.ndarray, "sets"]:
    """How many of the first places went to each set.

    Args:
        places: number of places.
        weights: ``(sets,)``, positive, of sum 1.
    """
    sets = len(weights)
    # No set is ever (sets + 1) / 2 places behind its exact share.
    sure = np.maximum(np.floor(places * weights).astype(np.int64) - sets, 0)
    rest = _next(sure, places - int(sure.sum()), weights)
    return sure + np.bincount(rest, minlength=sets)


def share_slots(start: int, size: int, weights: np.ndarray) -> Int[np.ndarray, "size"]:
    """The set of each of ``size`` places from number ``start`` on."""
    return _next(share_counts(start, weights), size, weights)


def _next(given: np.ndarray, size: int, weights: np.ndarray) -> Int[np.ndarray, "size"]:
    """The sets of the next places when each set has been given so many."""
    places = given[:, None] + np.arange(size)
    claims = weights[:, None] / (2 * places + 1)
    # Stable and set by set: of equal claims the first set's comes first.
    return np.argsort(-claims, axis=None, kind="stable")[:size] // max(size, 1)
