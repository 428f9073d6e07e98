import itertools
import json
import shutil
from pathlib import Path

import cv2
import jax
import numpy as np
import pytest

from tests.data.records import Squares
from twohand_jax.crops import cue_table
from twohand_jax.crops.canvas import CanvasConfig
from twohand_jax.data import decode, schema, shards
from twohand_jax.data.shards import HEADER, frame_record, frames
from twohand_jax.data.tfrecord import Reader, ReaderConfig
from twohand_jax.errors import InputError
from twohand_jax.pipelines import writer
from twohand_jax.pipelines.shard_file import read_record
from twohand_jax.types import Batch

TRAIN = "squares-train.tfrecord-0000{}-of-00003"


def _reader(directory: Path, **changes: object) -> Reader:
    settings: dict = {
        "directory": str(directory),
        "batch_size": 4,
        "canvas": CanvasConfig(size=64),
        "window_shards": 2,
    }
    parallel = {k: changes.pop(k) for k in ("process", "num_processes") if k in changes}
    return Reader(ReaderConfig(**settings | changes), **parallel)


def _records(batches: itertools.islice) -> list[list[int]]:
    return [batch.record.tolist() for batch in batches]


def _examples(split: str = "train") -> list[dict]:
    source = Squares()
    shards = range(len(source.shard_sizes[split]))
    return [dict(e) for shard in shards for e in source.examples(split, shard)]


@pytest.fixture
def damaged(record_set: Path, tmp_path: Path) -> Path:
    """A copy that a test may break."""
    return Path(shutil.copytree(record_set, tmp_path / "set"))


def test_records_come_back_as_they_were_written(record_set: Path) -> None:
    (batch,) = _reader(record_set, split="test", shuffle=False).once()
    assert batch.weight.tolist() == [1, 1, 1, 0]
    for row, example in enumerate(_examples("test")):
        targets, cues = batch.targets, batch.cues.values
        np.testing.assert_array_equal(
            targets.joints_2d[row], example["hands/joints_2d"]
        )
        np.testing.assert_array_equal(targets.box[row], example["hands/box"])
        np.testing.assert_array_equal(targets.mano.betas[row], example["mano/betas"])
        np.testing.assert_array_equal(
            targets.camera.focal[row], example["camera/focal"]
        )
        np.testing.assert_array_equal(cues["keypoints"][row], example["cues/keypoints"])
        picture = decode.decode_jpeg(example["image"])
        np.testing.assert_array_equal(batch.canvas[row, :48, :64], picture)
        labels = decode.decode_map(example["cues/segmentation"])
        np.testing.assert_array_equal(cues["segmentation"][row, :48, :64], labels)
        np.testing.assert_array_equal(cues["depth"][row, :48, :64] > 0, labels > 0)
    assert batch.targets.hand_valid.dtype == bool
    assert batch.record.dtype == np.int32


def test_joints_are_where_the_affine_puts_them(tmp_path: Path) -> None:
    """On a shrunk canvas, every joint's bright dot lies at T · joint."""
    source = Squares(sizes=(("train", (6,)),), height=400, width=560)
    writer.write(source, tmp_path, workers=0, progress=False)
    (batch,) = _reader(tmp_path, batch_size=6, canvas=CanvasConfig(size=256)).once()
    assert (batch.T_canvas_image[:, 0, 0] < 0.7).all()
    for row in range(6):
        T = batch.T_canvas_image[row]
        points = batch.targets.joints_2d[row].reshape(-1, 2) @ T[:, :2].T + T[:, 2]
        column, line = points.T
        grey = batch.canvas[row].mean(axis=-1).astype(np.float32)
        brightness = cv2.remap(
            grey, column[None], line[None].astype(np.float32), cv2.INTER_LINEAR
        )
        assert brightness.min() > 110  # the ground is 30
        labels = batch.cues.values["segmentation"][row][
            np.rint(line).astype(int), np.rint(column).astype(int)
        ]
        np.testing.assert_array_equal(labels, np.repeat([1, 2], 21))


def test_order_is_deterministic_and_any_step_can_be_resumed(record_set: Path) -> None:
    first = _records(itertools.islice(_reader(record_set).batches(), 8))
    again = _records(itertools.islice(_reader(record_set).batches(), 8))
    assert first == again
    for step in (1, 3, 6):
        resumed = _reader(record_set).batches(step)
        assert _records(itertools.islice(resumed, 2)) == first[step : step + 2]
    other = _reader(record_set, seed=1).batches()
    assert _records(itertools.islice(other, 8)) != first
    flat = [record for batch in first for record in batch]
    for epoch in range(3):
        assert sorted(flat[9 * epoch : 9 * epoch + 9]) == list(range(9))


@pytest.mark.parametrize("skip", [0, 1, 99])
def test_once_can_leave_out_what_was_read(record_set: Path, skip: int) -> None:
    reader, seen = _reader(record_set, shuffle=False), list[np.ndarray]()
    whole = list(reader.once())
    rest = list(
        reader.once(skip=skip, watch=lambda rows: seen.append(rows.records.copy()))
    )
    assert len(rest) == max(len(whole) - skip, 0)
    for number, batch in enumerate(rest):
        np.testing.assert_array_equal(batch.record, whole[skip + number].record)
        np.testing.assert_array_equal(batch.canvas, whole[skip + number].canvas)
        np.testing.assert_array_equal(batch.record, seen[number])


def test_records_are_picked_in_the_order_asked_for(record_set: Path) -> None:
    whole = _reader(record_set, shuffle=False)
    batches = list(whole.picked([8, 0, 5, 1, 8]))
    assert _records(batches) == [[8, 0, 5, 1], [8, 0, 0, 0]]
    assert batches[1].weight.tolist() == [1, 0, 0, 0]
    expected = {
        int(n): b.canvas[i] for b in whole.once() for i, n in enumerate(b.record)
    }
    np.testing.assert_array_equal(batches[0].canvas[2], expected[5])
    assert list(whole.picked([])) == []


def test_once_pads_with_weight_zero(record_set: Path) -> None:
    batches = list(_reader(record_set, shuffle=False).once())
    seen = [r for b in batches for r, w in zip(b.record, b.weight, strict=True) if w]
    assert seen == list(range(9))
    assert [batch.weight.sum() for batch in batches] == [4, 4, 1]
    assert not batches[-1].canvas[1:].any()


def test_processes_read_disjoint_shards_in_equally_many_batches(
    record_set: Path,
) -> None:
    seen, steps = [], []
    for process in range(2):
        reader = _reader(record_set, process=process, num_processes=2, batch_size=2)
        batches: list[Batch] = list(reader.once())
        steps.append(len(batches))
        seen += [r for b in batches for r in b.record[b.weight > 0].tolist()]
    assert sorted(seen) == list(range(9))
    assert steps == [3, 3]


@pytest.mark.parametrize("processes", [2, 4, 5])
@pytest.mark.parametrize("split", ["train", "test"])
def test_processes_share_the_records_where_shards_are_fewer(
    record_set: Path, split: str, processes: int
) -> None:
    """Nine records in three shards, and three in one."""
    whole = {}
    for batch in _reader(record_set, split=split, shuffle=False).once():
        rows = np.flatnonzero(batch.weight)
        whole |= {int(batch.record[row]): batch.canvas[row] for row in rows}
    seen, steps = [], []
    for process in range(processes):
        settings = {"process": process, "num_processes": processes, "shuffle": False}
        batches = list(
            _reader(record_set, split=split, batch_size=2, **settings).once()
        )
        steps.append(len(batches))
        for batch in batches:
            for row in np.flatnonzero(batch.weight):
                seen.append(int(batch.record[row]))
                np.testing.assert_array_equal(batch.canvas[row], whole[seen[-1]])
    assert sorted(seen) == sorted(whole)
    assert len(set(steps)) == 1


def test_a_process_s_run_of_records_is_shuffled_and_can_be_entered_anywhere(
    record_set: Path,
) -> None:
    settings = {"process": 1, "num_processes": 4, "batch_size": 2, "window_shards": 1}
    reader = _reader(record_set, **settings)
    stream = _records(itertools.islice(reader.batches(), 6))
    assert sorted({r for batch in stream for r in batch}) == [2, 3]
    assert _records(itertools.islice(reader.batches(4), 2)) == stream[4:]


def test_more_processes_than_training_records_are_refused(record_set: Path) -> None:
    with pytest.raises(InputError, match="10 processes cannot share the 9 records"):
        _reader(record_set, process=0, num_processes=10)


def break_payload(path: Path, number: int) -> None:
    data = bytearray(path.read_bytes())
    offset = list(frames(bytes(data)))[number].offset
    data[offset + HEADER + 100] ^= 0xFF
    path.write_bytes(bytes(data))


def test_a_corrupt_record_is_named(damaged: Path) -> None:
    break_payload(damaged / TRAIN.format(1), 2)
    message = (
        r"[Rr]ecord 2 of .*train.tfrecord-00001-of-00003 at byte \d+ is damaged: the "
    )
    with pytest.raises(InputError, match=message):
        list(_reader(damaged).once())


def test_a_corrupt_record_can_be_skipped_and_counted(damaged: Path) -> None:
    break_payload(damaged / TRAIN.format(1), 2)
    reader = _reader(damaged, skip_corrupt=True)
    weights = {
        int(record): float(weight)
        for batch in list(reader.once())[:2]
        for record, weight in zip(batch.record, batch.weight, strict=True)
    }
    assert weights.get(5, 0.0) == 0.0  # record 2 of the second shard
    assert len(reader.skipped) == 1 and "at byte" in reader.skipped[0]
    everything = [b.weight.sum() for b in _reader(damaged, skip_corrupt=True).once()]
    assert sum(everything) == 8


def test_a_truncated_shard_is_named(damaged: Path) -> None:
    path = damaged / TRAIN.format(0)
    path.write_bytes(path.read_bytes()[:-50])
    message = (
        "ecord 2 of .*00000-of-00003 at byte .* is damaged: the file ends inside of"
    )
    with pytest.raises(InputError, match=message):
        list(_reader(damaged).once())


def test_a_missing_shard_is_named(damaged: Path) -> None:
    (damaged / TRAIN.format(2)).unlink()
    with pytest.raises(InputError, match="lacks 1 of the 3 shards.*00002-of-00003"):
        _reader(damaged)


def test_unknown_splits_and_directories_are_said(
    record_set: Path, tmp_path: Path
) -> None:
    with pytest.raises(
        InputError, match=r"no split 'val'; it holds \['test', 'train'\]"
    ):
        _reader(record_set, split="val")
    with pytest.raises(InputError, match="is not a record set"):
        _reader(tmp_path)


def test_an_empty_split_is_said(damaged: Path) -> None:
    path = damaged / "dataset_info.json"
    info = json.loads(path.read_text())
    info["splits"][0]["shardLengths"] = ["0", "0", "0"]
    path.write_text(json.dumps(info))
    with pytest.raises(InputError, match="holds no records"):
        _reader(damaged, split=info["splits"][0]["name"])


def test_a_process_whose_shards_are_empty_gets_records_of_others(
    damaged: Path,
) -> None:
    """Three shards of which the second, all that process 1 would have, is empty."""
    (damaged / TRAIN.format(1)).write_bytes(b"")
    path = damaged / "dataset_info.json"
    info = json.loads(path.read_text())
    (split,) = (entry for entry in info["splits"] if entry["name"] == "train")
    split["shardLengths"] = ["3", "0", "2"]
    path.write_text(json.dumps(info))
    own = [
        [r for batch in reader.once() for r in batch.record[batch.weight > 0].tolist()]
        for process in range(2)
        for reader in [_reader(damaged, process=process, num_processes=2)]
    ]
    assert sorted(own[0] + own[1]) == list(range(5)) and len(own[1]) == 3


def test_an_empty_shard_among_others_is_read_over(damaged: Path) -> None:
    (damaged / TRAIN.format(1)).write_bytes(b"")
    path = damaged / "dataset_info.json"
    info = json.loads(path.read_text())
    (split,) = (entry for entry in info["splits"] if entry["name"] == "train")
    split["shardLengths"] = ["3", "0", "2"]
    path.write_text(json.dumps(info))
    for window_shards in (1, 2, 3):
        reader = _reader(damaged, window_shards=window_shards)
        assert sum(batch.weight.sum() for batch in reader.once()) == 5


def test_a_shard_that_goes_away_while_reading_is_named(damaged: Path) -> None:
    reader = _reader(damaged)
    (damaged / TRAIN.format(2)).unlink()
    with pytest.raises(InputError, match="00002-of-00003 is missing"):
        list(reader.once())


def test_a_shard_of_too_few_records_is_named(damaged: Path) -> None:
    path = damaged / TRAIN.format(1)
    last = list(frames(path.read_bytes()))[-1]
    path.write_bytes(path.read_bytes()[: last.offset])
    with pytest.raises(InputError, match="ecord 3 of .*00001.*3 of 4 records can"):
        list(_reader(damaged).once())


def _rewrite(path: Path, change: dict) -> None:
    """The first record with some features put or replaced, or removed where None."""
    from tensorflow_datasets.proto import tf_example_pb2

    payloads = [frame.payload for frame in frames(path.read_bytes())]
    example = tf_example_pb2.Example.FromString(payloads[0])
    for name, value in change.items():
        if name in example.features.feature:
            del example.features.feature[name]
        if isinstance(value, np.ndarray):
            example.features.feature[name].float_list.value.extend(value.flat)
        elif isinstance(value, int):
            example.features.feature[name].int64_list.value.append(value)
        elif value is not None:
            example.features.feature[name].bytes_list.value.append(value)
    payloads[0] = example.SerializeToString()
    path.write_bytes(b"".join(frame_record(payload or b"") for payload in payloads))


def _features_of(cue: str) -> dict[str, None]:
    return {feature.name: None for feature in schema.cue_features(cue)}


@pytest.mark.parametrize("cue", cue_table.DEFAULT)
def test_a_kind_of_cue_that_a_record_lacks_is_absent(damaged: Path, cue: str) -> None:
    """Records of before the kind was known: same schema, all else as it was."""
    _rewrite(damaged / TRAIN.format(0), _features_of(cue))
    reader = _reader(damaged, shuffle=False, batch_size=9)
    (batch,) = reader.once()
    assert not reader.skipped and batch.weight.all()
    assert batch.cues.present[cue].tolist() == [False] + [True] * 8
    assert not batch.cues.values[cue][0].any() and batch.cues.values[cue][1].any()
    for name in set(cue_table.DEFAULT) - {cue}:
        assert batch.cues.present[name].all()
    rows = next(reader.rows())
    assert rows.fields["schema_version"].tolist() == [schema.SCHEMA_VERSION] * 9


def test_sets_of_few_kinds_of_cues_are_written_and_read(tmp_path: Path) -> None:
    source = Squares(cues=("keypoints",))
    writer.write(source, tmp_path, workers=0, progress=False)
    assert shards.cue_names(tmp_path) == ("keypoints",)
    (batch,) = _reader(tmp_path, shuffle=False, batch_size=9).once()
    flags = {name: flag.all() for name, flag in batch.cues.present.items()}
    assert flags == {"keypoints": True, "segmentation": False, "depth": False}
    assert not batch.cues.present["depth"].any()
    assert not batch.cues.values["depth"].any()


@pytest.mark.parametrize("text", ["", "{}", "[1]", None])
def test_a_set_that_does_not_list_its_features_is_said(
    damaged: Path, text: str | None
) -> None:
    path = damaged / shards.FEATURES
    path.write_text(text) if text is not None else path.unlink()
    with pytest.raises(InputError, match=r"features.json does not list the features"):
        shards.cue_names(damaged)


def test_an_unknown_kind_of_cue_is_read_over(damaged: Path, record_set: Path) -> None:
    """Records of a later version that knows one more."""
    change: dict = {"cues/heat": decode.encode_map(np.ones((48, 64), np.uint16))}
    change |= {"cues/heat_scale": np.ones(1), "cues/heat_source": b"a camera"}
    for number in range(3):
        _rewrite(damaged / TRAIN.format(number), {"cues/has_heat": 1} | change)
    plain = next(_reader(record_set, shuffle=False).batches())
    found = next(_reader(damaged, shuffle=False).batches())
    jax.tree.map(np.testing.assert_array_equal, found, plain)
    payload = next(iter(frames((damaged / TRAIN.format(0)).read_bytes()))).payload
    example = read_record(payload or b"")
    assert not [name for name in example if "heat" in name]
    schema.check(example)


def test_the_reader_hands_over_the_cues_that_are_asked_for(record_set: Path) -> None:
    batch = next(_reader(record_set, cues=("depth",)).batches())
    assert tuple(batch.cues.values) == tuple(batch.cues.present) == ("depth",)


ODD_BOXES = (
    (-1e20, -1e20, 1e20, 1e20),
    (5, 5, 1e20, 9),
    (np.nan, 5, 9, 9),
    (5, 5, 5, 9),
    (5, 9, 9, 5),
)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema_version": 99}, "ecord 0 of .* was written with record schema 99"),
        ({"hands/box": None}, "feature 'hands/box' is missing"),
        ({"hands/box": b"text"}, "feature 'hands/box' is missing or has another type"),
        ({"image": b"no JPEG"}, "picture of 7 bytes does not decode"),
        *(
            (
                {"hands/box": np.array([*box, 1, 1, 9, 9], np.float32)},
                "ecord 0 of .*00000-of-00003 at byte 0 is damaged: its 'hands/box' is",
            )
            for box in ODD_BOXES
        ),
        (
            {"hands/joints_3d": np.full(126, np.nan)},
            "ecord 0 of .* at byte 0 is damaged: its 'hands/joints_3d' is marked valid",
        ),
    ],
)
def test_bad_records_are_named(damaged: Path, change: dict, message: str) -> None:
    _rewrite(damaged / TRAIN.format(0), change)
    with pytest.raises(InputError, match=message):
        list(_reader(damaged).once())


def test_a_map_of_another_size_is_named(damaged: Path) -> None:
    other = decode.encode_map(np.zeros((10, 12), np.uint8))
    _rewrite(damaged / TRAIN.format(0), {"cues/segmentation": other})
    message = "segmentation map is 12 x 10 pixels, but its picture is 64 x 48"
    with pytest.raises(InputError, match=message):
        list(_reader(damaged).once())
    reader = _reader(damaged, skip_corrupt=True)
    assert sum(batch.weight.sum() for batch in reader.once()) == 8


def test_labels_that_are_no_numbers_can_be_skipped(damaged: Path) -> None:
    _rewrite(damaged / TRAIN.format(0), {"mano/hand_pose": np.full(90, np.inf)})
    reader = _reader(damaged, skip_corrupt=True)
    batches = list(reader.once())
    assert sum(batch.weight.sum() for batch in batches) == 8
    assert len(reader.skipped) == 1 and "'mano/hand_pose'" in reader.skipped[0]


def test_workers_do_not_change_a_batch(record_set: Path) -> None:
    first, second = (
        next(_reader(record_set, workers=workers).batches()) for workers in (1, 3)
    )
    for one, other in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True):
        np.testing.assert_array_equal(one, other)
