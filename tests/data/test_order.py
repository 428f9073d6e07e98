import itertools

import numpy as np
import pytest

from twohand_jax.data import order
from twohand_jax.errors import InputError

COUNTS = (5, 3, 8, 1, 4)


def _ids(windows: itertools.islice, counts: tuple[int, ...]) -> list[tuple[int, int]]:
    """(shard, number) of every record in stream order."""
    found = []
    for window in windows:
        ids = [(s, n) for s in window.shards for n in range(counts[s])]
        found += [ids[record] for record in window.records]
    return found


def _epoch(seed: int, epoch: int, window_shards: int = 2) -> list[tuple[int, int]]:
    made = order.Order(counts=COUNTS, seed=seed, window_shards=window_shards)
    return _ids(made.epoch(epoch), COUNTS)


def test_an_epoch_holds_every_record_once() -> None:
    everything = {(s, n) for s, count in enumerate(COUNTS) for n in range(count)}
    found = _epoch(seed=3, epoch=1)
    assert len(found) == len(everything)
    assert set(found) == everything


def test_order_follows_from_seed_and_epoch() -> None:
    assert _epoch(3, 1) == _epoch(3, 1)
    assert _epoch(3, 1) != _epoch(3, 2)
    assert _epoch(3, 1) != _epoch(4, 1)


def test_order_is_frozen() -> None:
    """A checkpoint's position must mean the same in every later version."""
    assert _epoch(0, 0)[:6] == [(0, 4), (0, 1), (0, 2), (0, 0), (3, 0), (0, 3)]


def test_unshuffled_is_the_order_on_disk() -> None:
    made = order.Order(counts=COUNTS, shuffle=False)
    expected = [(s, n) for s, count in enumerate(COUNTS) for n in range(count)]
    assert _ids(made.epoch(7), COUNTS) == expected


@pytest.mark.parametrize("position", [0, 1, 7, 20, 21, 22, 50])
def test_the_stream_can_be_entered_anywhere(position: int) -> None:
    made = order.Order(counts=COUNTS, seed=1, window_shards=2)
    whole = _ids(made.stream(0, epochs=4), COUNTS)
    assert _ids(made.stream(position, epochs=4), COUNTS) == whole[position:]


def test_records_of_a_window_are_mixed_across_its_shards() -> None:
    made = order.Order(counts=(100, 100), window_shards=2)
    (window,) = made.epoch(0)
    from_first = window.records[:100] < 100
    assert 30 < np.sum(from_first) < 70


def test_processes_share_the_shards() -> None:
    parts = [order.assign(7, process, 3) for process in range(3)]
    assert sorted(np.concatenate(parts).tolist()) == list(range(7))
    with pytest.raises(InputError, match="4 processes cannot share 3 shards"):
        order.assign(3, 0, 4)
