import itertools
import threading
import types
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from twohand_jax.crops.canvas import CanvasConfig
from twohand_jax.data import batching
from twohand_jax.data.tfrecord import Reader, ReaderConfig
from twohand_jax.errors import InputError
from twohand_jax.types import Batch


@pytest.fixture(scope="module")
def batch(record_set: Path) -> Batch:
    config = ReaderConfig(
        directory=str(record_set), batch_size=3, canvas=CanvasConfig(size=64)
    )
    return next(Reader(config).batches())


def test_padding_repeats_the_last_row_with_weight_zero(batch: Batch) -> None:
    padded = batching.pad(batch, 5)
    assert padded.weight.tolist() == [1, 1, 1, 0, 0]
    np.testing.assert_array_equal(padded.canvas[4], batch.canvas[2])
    np.testing.assert_array_equal(
        padded.targets.mano.hand_pose[:3], batch.targets.mano.hand_pose
    )
    assert batch.weight.tolist() == [1, 1, 1]
    with pytest.raises(InputError, match="3 records cannot be padded to 2"):
        batching.pad(batch, 2)


def test_global_arrays_hold_the_batch(batch: Batch) -> None:
    mesh = jax.make_mesh((1,), ("data",), axis_types=(AxisType.Auto,))
    sharding = NamedSharding(mesh, PartitionSpec("data"))
    placed = batching.to_global(batch, sharding)
    jax.tree.map(np.testing.assert_array_equal, placed, batch)
    assert placed.canvas.sharding == sharding


def test_a_batch_that_does_not_divide_by_the_devices_is_said(batch: Batch) -> None:
    """Two devices of this process and three rows."""
    sharding = types.SimpleNamespace(
        addressable_devices=range(2),
        num_devices=2,
        spec=PartitionSpec("data"),
        mesh=types.SimpleNamespace(shape={"data": 2}),
    )
    with pytest.raises(InputError, match="3 records cannot be split over 2 devices"):
        batching.to_global(batch, sharding)


def test_items_come_in_order_and_then_it_ends() -> None:
    with batching.Prefetcher(iter(range(20)), lambda x: 2 * x, depth=3) as items:
        assert list(items) == list(range(0, 40, 2))


def test_the_sources_error_is_raised_at_its_place() -> None:
    def source() -> Iterator[int]:
        yield 1
        raise InputError("the third shard is damaged")

    with batching.Prefetcher(source(), lambda x: x) as items:
        stream = iter(items)
        assert next(stream) == 1
        with pytest.raises(InputError, match="third shard"):
            next(stream)


def test_closing_ends_an_endless_source() -> None:
    before = threading.active_count()
    with batching.Prefetcher(itertools.count(), lambda x: x) as items:
        assert next(iter(items)) == 0
    assert threading.active_count() == before


def test_waiting_is_measured_against_the_clock() -> None:
    """A source that takes 3 s an item and a consumer that takes 1 s: 3/4 waiting."""
    now = [0.0]

    class Gate:
        def get(self) -> tuple[str, int]:
            now[0] += 3.0
            return "item", 0

    items = batching.Prefetcher(iter(()), lambda x: x, clock=lambda: now[0])
    items.close()
    items._queue = Gate()
    stream = iter(items)
    for _ in range(4):
        next(stream)
        now[0] += 1.0
    assert items.waiting_share() == pytest.approx(0.75)
    assert items.waiting_share() == 0.0
