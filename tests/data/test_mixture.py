import itertools
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.data.records import Squares
from tests.data.test_tfrecord import break_payload
from twohand_jax.crops.canvas import CanvasConfig
from twohand_jax.data.mixture import Mixture
from twohand_jax.data.tfrecord import Reader, ReaderConfig
from twohand_jax.errors import InputError
from twohand_jax.pipelines import writer
from twohand_jax.types import Batch

SECOND = 9  # the first set has so many records


@pytest.fixture(scope="module")
def other_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("other")
    source = Squares(sizes=(("train", (2, 3)),), height=64, width=40, seed=7)
    writer.write(source, directory, workers=0, progress=False)
    return directory


def _reader(directory: Path, process: int = 0, num_processes: int = 1, **changes):
    settings = {"canvas": CanvasConfig(size=64), "window_shards": 2} | changes
    config = ReaderConfig(directory=str(directory), **settings)
    return Reader(config, process=process, num_processes=num_processes)


@pytest.fixture
def mixture(record_set: Path, other_set: Path) -> Mixture:
    return Mixture([_reader(record_set), _reader(other_set)], [3.0, 1.0], 8)


def _take(mixture: Mixture, count: int, step: int = 0) -> list[Batch]:
    return list(itertools.islice(mixture.batches(step), count))


def test_batches_have_the_proportions(mixture: Mixture) -> None:
    for batch in _take(mixture, 6):
        assert batch.weight.tolist() == [1.0] * 8
        assert np.sum(batch.record >= SECOND) == 2


def test_records_keep_their_labels(mixture: Mixture, other_set: Path) -> None:
    alone = {}
    for reader, start in zip(mixture.readers, (0, SECOND), strict=True):
        for batch in reader.once():
            for row in np.flatnonzero(batch.weight):
                alone[int(batch.record[row]) + start] = (batch, row)
    for batch in _take(mixture, 3):
        for row, record in enumerate(batch.record.tolist()):
            single, there = alone[record]
            np.testing.assert_array_equal(batch.canvas[row], single.canvas[there])
            np.testing.assert_array_equal(
                batch.targets.joints_2d[row], single.targets.joints_2d[there]
            )


def test_each_set_comes_in_its_own_order(mixture: Mixture, record_set: Path) -> None:
    mixed = np.concatenate([batch.record for batch in _take(mixture, 6)])
    alone = _reader(record_set, batch_size=6).batches()
    expected = np.concatenate([b.record for b in itertools.islice(alone, 6)])
    np.testing.assert_array_equal(mixed[mixed < SECOND], expected)


def test_any_step_can_be_resumed(mixture: Mixture) -> None:
    whole = [batch.record.tolist() for batch in _take(mixture, 7)]
    for step in (1, 4):
        resumed = [batch.record.tolist() for batch in _take(mixture, 3, step)]
        assert resumed == whole[step : step + 3]


def test_odd_weights_can_be_resumed(record_set: Path, other_set: Path) -> None:
    readers = [_reader(record_set), _reader(other_set)]
    mixture = Mixture(readers, [0.61, 0.39], 3)
    whole = [batch.record.tolist() for batch in _take(mixture, 9)]
    found = np.array(whole)
    assert abs(np.sum(found < SECOND) - 27 * 0.61) <= 1.5
    assert [b.record.tolist() for b in _take(mixture, 2, 7)] == whole[7:]


def test_once_gives_every_record_once(mixture: Mixture) -> None:
    batches = list(mixture.once())
    seen = [r for b in batches for r, w in zip(b.record, b.weight, strict=True) if w]
    assert sorted(seen) == list(range(SECOND + 5))
    assert len(batches) == 3 and mixture.steps_per_epoch == 1


def test_processes_share_each_set(record_set: Path, other_set: Path) -> None:
    seen, steps = [], []
    for process in range(2):
        readers = [_reader(d, process, 2) for d in (record_set, other_set)]
        mixture = Mixture(readers, [1.0, 1.0], 4)
        assert mixture.steps_per_epoch == 14 // 8
        batches = list(mixture.once())
        steps.append(len(batches))
        seen += [r for b in batches for r in b.record[b.weight > 0].tolist()]
        for batch in _take(mixture, 3):
            assert np.sum(batch.record < SECOND) == 2
    assert sorted(seen) == list(range(SECOND + 5))
    assert steps[0] == steps[1]


def test_any_record_is_described(mixture: Mixture, other_set: Path) -> None:
    found = mixture.describe(SECOND + 3)
    shard = other_set / "squares-train.tfrecord-00001-of-00002"
    assert found.startswith(f"record 1 of {shard} at byte ")
    assert "record 0" in mixture.describe(0)


def test_damage_is_named_or_counted(
    record_set: Path, other_set: Path, tmp_path: Path
) -> None:
    broken = Path(shutil.copytree(other_set, tmp_path / "set"))
    break_payload(broken / "squares-train.tfrecord-00001-of-00002", 1)
    strict = Mixture([_reader(record_set), _reader(broken)], [1, 1], 4)
    with pytest.raises(InputError, match="Record 1 of .*00001-of-00002 at byte"):
        _take(strict, 3)
    readers = [_reader(record_set), _reader(broken, skip_corrupt=True)]
    patient = Mixture(readers, [1, 1], 4)
    for batch in _take(patient, 3):
        np.testing.assert_array_equal(batch.weight == 0, batch.record == SECOND + 3)
    assert patient.skipped and "checksum" in patient.skipped[0]


@pytest.mark.parametrize(
    ("weights", "size", "message"),
    [
        ([1.0], 4, "mixture of 2 sets has 1 weights"),
        ([1.0, 0.0], 4, "has weight 0.0 in the mixture"),
        ([1.0, float("nan")], 4, "has weight nan"),
        ([1.0, 1.0], 0, "batch of 0 records"),
    ],
)
def test_what_does_not_fit_is_said(
    record_set: Path, other_set: Path, weights: list[float], size: int, message: str
) -> None:
    readers = [_reader(record_set), _reader(other_set)]
    with pytest.raises(InputError, match=message):
        Mixture(readers, weights, size)


def test_canvases_must_be_of_one_kind(record_set: Path, other_set: Path) -> None:
    readers = [
        _reader(record_set),
        _reader(other_set, canvas=CanvasConfig(size=32)),
    ]
    with pytest.raises(InputError, match="canvases of one kind"):
        Mixture(readers, [1.0, 1.0], 4)
