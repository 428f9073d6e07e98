"""New cues for finished records: what changes, what stays, and interruptions."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.cues.extractors import Painter
from tests.data.records import Squares
from twohand_jax.cli import main as cli
from twohand_jax.crops import cue_table
from twohand_jax.data import decode, schema, shards
from twohand_jax.errors import InputError
from twohand_jax.inference import observe
from twohand_jax.inference.observe import CueConfig
from twohand_jax.pipelines import cue_stage, writer
from twohand_jax.pipelines.cue_stage import RecordCues, StageConfig
from twohand_jax.pipelines.shard_file import read_record

ROOT = Path(__file__).parents[2]
TRUTH = StageConfig(cues=None)
ANY = StageConfig(cues=CueConfig(source="mediapipe"), batch=1)


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("records")
    writer.write(Squares(), directory, workers=0, progress=False)
    return directory


@pytest.fixture(autouse=True)
def painter(monkeypatch) -> Iterator[Painter]:
    """In place of the networks."""
    painter = Painter(version="2")
    monkeypatch.setattr(observe, "load_in_boxes", lambda _: painter)
    cue_stage.load.cache_clear()
    yield painter
    cue_stage.load.cache_clear()


def _stage(records: Path, out: Path, config: StageConfig = ANY) -> writer.BuildReport:
    source = RecordCues(records, config)
    limit = writer.RejectionLimit(share=1.0)
    return writer.write(source, out, workers=0, progress=False, limit=limit)


def exit_code(words: list[str]) -> int:
    """Of the command line; its parser exits by itself."""
    try:
        return cli.main(words)
    except SystemExit as end:
        return int(end.code or 0)


def _payloads(directory: Path, split: str = "train") -> list[bytes]:
    found = shards.open_split(directory, split)
    rows = []
    for path, count in zip(found.paths, found.counts, strict=True):
        payloads, problems = shards.read_shard(path, count)
        assert not problems
        rows += payloads
    return rows


def _changed(before: dict, after: dict) -> set[str]:
    def same(name: str) -> bool:
        if isinstance(before[name], str | bytes):
            return before[name] == after[name]
        return np.array_equal(before[name], after[name])

    return {name for name in before if not same(name)}


def _files(directory: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in directory.glob("*") if p.is_file()}


def test_a_record_read_and_written_again_keeps_its_bytes(records, tmp_path) -> None:
    class Again(Squares):
        def examples(self, split, shard):
            path = shards.open_split(records, split).paths[shard]
            count = self.shard_sizes[split][shard]
            return map(read_record, shards.read_shard(path, count)[0])

    writer.write(Again(), tmp_path, workers=0, progress=False)
    assert _files(tmp_path) == _files(records)


def test_cues_change_and_nothing_else(records, tmp_path, painter) -> None:
    report = _stage(records, tmp_path)
    assert report.examples == {"train": 9, "test": 3} and not report.rejected
    for split in ("train", "test"):
        pairs = zip(_payloads(records, split), _payloads(tmp_path, split), strict=True)
        for before, after in (map(read_record, pair) for pair in pairs):
            assert before["image"] == after["image"]
            changed = _changed(before, after)
            assert changed and all(name.startswith("cues/") for name in changed)
            box, valid = after["hands/box"], after["hands/valid"]
            (cues,) = painter(
                [decode.decode_jpeg(after["image"])], box[None], valid[None]
            )
            points, seen, far = cues.values.values()
            np.testing.assert_array_equal(after["cues/keypoints"], points)
            labels = decode.decode_map(after["cues/segmentation"])
            np.testing.assert_array_equal(labels, seen)
            depth = decode.values_from_levels(
                decode.decode_map(after["cues/depth"]),
                scale=float(after["cues/depth_scale"]),
                offset=float(after["cues/depth_offset"]),
            )
            np.testing.assert_allclose(depth, far, atol=2e-3)
            for kind in cue_table.DEFAULT:
                assert after[f"cues/{kind}_source"] == "painter"
                assert after[f"cues/{kind}_version"] == "2"


def test_only_the_cues_asked_for_are_replaced(records, tmp_path) -> None:
    config = StageConfig(cues=ANY.cues, only=("depth",), splits=("test",))
    report = _stage(records, tmp_path, config)
    assert report.examples == {"test": 3}
    pairs = zip(_payloads(records, "test"), _payloads(tmp_path, "test"), strict=True)
    for before, after in pairs:
        changed = _changed(read_record(before), read_record(after))
        assert changed <= {
            f"cues/depth{end}"
            for end in ("", "_source", "_version", "_scale", "_offset")
        }


def test_kinds_of_cues_that_a_set_lacks_are_added(tmp_path, painter) -> None:
    """The other records' features stay; the new set lists all kinds."""
    painter.makes = ("depth",)
    source = Squares(cues=("keypoints",))
    writer.write(source, tmp_path / "few", workers=0, progress=False)
    _stage(tmp_path / "few", tmp_path / "more")
    assert shards.cue_names(tmp_path / "more") == ("depth", "keypoints")
    before = read_record(_payloads(tmp_path / "few")[0])
    after = read_record(_payloads(tmp_path / "more")[0])
    added = {feature.name for feature in schema.cue_features("depth")}
    assert after.keys() - before.keys() == added
    assert not _changed(before, after)
    assert after["cues/has_depth"] and after["cues/depth_source"] == "painter"


def test_unknown_kinds_of_cues_are_not_carried_along(records, tmp_path) -> None:
    """They could not be moved or checked; the set stays readable."""
    later = shutil.copytree(records, tmp_path / "later")
    table = json.loads((later / shards.FEATURES).read_text())
    kinds = table["featuresDict"]["features"]["cues"]["featuresDict"]["features"]
    kinds["has_heat"] = kinds["has_depth"]
    (later / shards.FEATURES).write_text(json.dumps(table))
    assert "heat" in shards.cue_names(later)
    _stage(later, tmp_path / "out")
    assert set(shards.cue_names(tmp_path / "out")) == set(cue_table.DEFAULT)
    assert len(_payloads(tmp_path / "out")) == 9


def test_a_cue_that_is_not_found_is_marked_absent(records, tmp_path, painter) -> None:
    painter.makes = ("keypoints", "segmentation")

    def blind(image, boxes, valid):
        return Painter(makes=("keypoints",))._one(image, boxes, valid)

    painter._one = blind
    _stage(records, tmp_path)
    after = read_record(_payloads(tmp_path)[0])
    assert after["cues/has_keypoints"] and not after["cues/has_segmentation"]
    assert after["cues/segmentation_source"] == after["cues/segmentation_version"] == ""
    assert decode.decode_map(after["cues/segmentation"]).shape == (1, 1)


def test_other_models_or_records_are_another_set(records, tmp_path, painter) -> None:
    _stage(records, tmp_path / "out")
    painter.version = "3"
    cue_stage.load.cache_clear()
    with pytest.raises(InputError, match=r"other settings of \['cues'\]"):
        _stage(records, tmp_path / "out")
    painter.version = "2"
    cue_stage.load.cache_clear()
    writer.write(Squares(seed=1), tmp_path / "other", workers=0, progress=False)
    with pytest.raises(InputError, match=r"other settings of \['records'\]"):
        _stage(tmp_path / "other", tmp_path / "out")


def test_damage_is_left_out_and_counted(records, tmp_path) -> None:
    class Damaged(Squares):
        def examples(self, split, shard):
            for number, one in enumerate(super().examples(split, shard)):
                yield one | {"image": b"words"} if number == 1 else one

    source = tmp_path / "in"
    writer.write(Damaged(), source, workers=0, progress=False)
    shard = source / "squares-test.tfrecord-00000-of-00001"
    data = bytearray(shard.read_bytes())
    data[200] ^= 1
    shard.write_bytes(data)
    report = _stage(source, tmp_path / "out")
    assert report.rejected == {
        "the stored picture does not decode": 4,
        "the stored record is damaged": 1,
    }
    table = json.loads((tmp_path / "out" / "rejections.json").read_text())
    names = {name for entry in table for name in entry["examples"]}
    assert {"train-0-1", "squares-test.tfrecord-00000-of-00001, record 0"} <= names


def test_a_set_that_is_none_and_useless_options_are_refused(records, tmp_path) -> None:
    with pytest.raises(InputError, match="is not a record set"):
        RecordCues(tmp_path, ANY)
    with pytest.raises(InputError, match="has no split 'val'"):
        RecordCues(records, StageConfig(cues=ANY.cues, splits=("val",)))
    out = str(tmp_path / "out")
    wrongs = ["--batch 0", "--workers -1", f"--out {records}", "--mano d"]
    for wrong in (*map(str.split, wrongs), ["--detector", "d.onnx"]):
        words = ["data", "cues", str(records), "--out", out, *wrong]
        assert exit_code(words) == 2
    assert not (tmp_path / "out").exists()


def test_only_must_name_what_is_made(records, painter) -> None:
    painter.makes = ("keypoints",)
    with pytest.raises(InputError, match="--only names depth, but this source makes k"):
        RecordCues(records, StageConfig(cues=ANY.cues, only=("depth",)))


def test_the_command_writes_a_set(records, tmp_path, capsys) -> None:
    out = tmp_path / "out"
    words = ["data", "cues", str(records), "--out", str(out), "--cues", "mediapipe"]
    assert cli.main(words) == 0
    assert "9 images in split train" in capsys.readouterr().out
    _stage(records, tmp_path / "same", StageConfig(cues=ANY.cues))
    assert _files(out) == _files(tmp_path / "same")


SLOW = """
import sys, time
from pathlib import Path
from twohand_jax.pipelines import cue_stage, writer
from tests.cues.extractors import Painter
from twohand_jax.inference import observe
from twohand_jax.inference.observe import CueConfig

class Slow(Painter):
    def _one(self, *args):
        time.sleep(0.02)
        return super()._one(*args)

observe.load_in_boxes = lambda _: Slow(version="2")

if __name__ == "__main__":
    config = cue_stage.StageConfig(cues=CueConfig(source="mediapipe"), batch=1)
    source = cue_stage.RecordCues(Path(sys.argv[1]), config)
    writer.write(source, sys.argv[2], workers=0, progress=False)
"""


@pytest.mark.slow
def test_kill_9_then_resume_gives_the_same_bytes(tmp_path) -> None:
    source = Squares(sizes=(("train", (6,) * 8),))
    writer.write(source, tmp_path / "in", workers=0, progress=False)
    script, out = tmp_path / "slow.py", tmp_path / "out"
    script.write_text(SLOW)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(script), str(tmp_path / "in"), str(out)]
    process = subprocess.Popen(command, env=environment, start_new_session=True)
    finished = "squares-train.tfrecord-0000*-of-00008"
    deadline = time.monotonic() + 60
    while len(list(out.glob(finished))) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = {p.name: p.stat().st_mtime_ns for p in out.glob(finished)}
    assert 3 <= len(kept) < 8 and not (out / "dataset_info.json").exists()
    # The last one's receipt may not have been written any more; then it is made again.
    del kept[max(kept)]
    _stage(tmp_path / "in", out)
    for name, changed in kept.items():
        assert (out / name).stat().st_mtime_ns == changed
    _stage(tmp_path / "in", tmp_path / "whole")
    assert _files(out) == _files(tmp_path / "whole")
