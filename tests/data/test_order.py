import itertools

import numpy as np
import pytest

from twohand_jax.data import order

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


def _records(counts: tuple[int, ...], processes: int) -> list[list[tuple[int, int]]]:
    return [
        [
            (one.shard, number)
            for one in order.share(counts, process, processes)
            for number in range(one.start, one.stop)
        ]
        for process in range(processes)
    ]


def test_processes_have_whole_shards_where_there_are_enough() -> None:
    shares = [order.share((5,) * 7, process, 3) for process in range(3)]
    assert [[one.shard for one in own] for own in shares] == [
        [0, 3, 6],
        [1, 4],
        [2, 5],
    ]
    assert all(one[1:] == (0, 5) for own in shares for one in own)


@pytest.mark.parametrize("counts", [(990, 990, 990, 990), (3,), (5, 0, 2), (0, 7)])
@pytest.mark.parametrize("processes", [1, 2, 3, 5, 16])
def test_every_record_is_of_one_process(counts, processes) -> None:
    shares = _records(counts, processes)
    everything = [(s, n) for s, count in enumerate(counts) for n in range(count)]
    assert sorted(one for own in shares for one in own) == everything
    assert order.longest_share(counts, processes) == max(map(len, shares))
    if processes > len(counts):
        sizes = list(map(len, shares))
        assert max(sizes) - min(sizes) <= 1


def test_an_order_of_nothing_ends_at_once() -> None:
    assert list(order.Order(counts=()).stream(3)) == []
