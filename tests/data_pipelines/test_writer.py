import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.data.records import Squares
from twohand_jax.data import decode
from twohand_jax.errors import InputError
from twohand_jax.pipelines import writer

ROOT = Path(__file__).parents[2]


def _write(directory: Path, source: Squares | None = None, **options: int) -> None:
    options = {"workers": 0, "progress": False} | options
    writer.write(source or Squares(), directory, **options)


def _files(directory: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def test_a_second_run_writes_the_same_bytes(tmp_path: Path) -> None:
    _write(tmp_path / "a")
    _write(tmp_path / "b")
    assert _files(tmp_path / "a") == _files(tmp_path / "b")


@pytest.mark.slow
def test_processes_write_the_same_bytes(tmp_path: Path) -> None:
    _write(tmp_path / "one")
    _write(tmp_path / "two", workers=2)
    assert _files(tmp_path / "one") == _files(tmp_path / "two")


def test_a_failed_run_leaves_finished_shards_and_is_continued(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="the source went away"):
        _write(tmp_path / "set", Squares(fail_at=("train", 1)))
    assert not (tmp_path / "set" / "dataset_info.json").exists()
    before = {
        path.name: path.stat().st_mtime_ns
        for path in (tmp_path / "set").glob("*tfrecord*-of-*")
        if "partial" not in path.name
    }
    assert list(before) == ["squares-train.tfrecord-00000-of-00003"]
    _write(tmp_path / "set")
    for name, changed in before.items():
        assert (tmp_path / "set" / name).stat().st_mtime_ns == changed
    _write(tmp_path / "whole")
    assert _files(tmp_path / "set") == _files(tmp_path / "whole")


@pytest.mark.parametrize("damage", ["cut", "flip", "gone", "receipt"])
def test_a_damaged_shard_is_written_again(tmp_path: Path, damage: str) -> None:
    _write(tmp_path)
    good = _files(tmp_path)
    shard = tmp_path / "squares-train.tfrecord-00001-of-00003"
    data = bytearray(shard.read_bytes())
    if damage == "cut":
        shard.write_bytes(data[:-1])
    elif damage == "flip":
        data[200] ^= 1
        shard.write_bytes(data)
    elif damage == "gone":
        shard.unlink()
    else:
        (tmp_path / ".shards" / f"{shard.name}.json").write_text("{")
    _write(tmp_path)
    assert _files(tmp_path) == good


SLOW = """
import sys, time
from tests.data import records
from twohand_jax.pipelines import writer

class Slow(records.Squares):
    def examples(self, split, shard):
        for example in super().examples(split, shard):
            time.sleep(0.02)
            yield example

if __name__ == "__main__":
    source = Slow(sizes=(("train", (6,) * 8),))
    writer.write(source, sys.argv[1], workers=2, progress=False)
"""


@pytest.mark.slow
def test_kill_9_then_resume_gives_the_same_bytes(tmp_path: Path) -> None:
    script, out = tmp_path / "slow.py", tmp_path / "set"
    script.write_text(SLOW)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(script), str(out)]
    process = subprocess.Popen(command, env=environment, start_new_session=True)
    finished = "squares-train.tfrecord-0000*-of-00008"
    deadline = time.monotonic() + 60
    while len(list(out.glob(finished))) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = len(list(out.glob(finished)))
    assert 2 <= done < 8
    assert not (out / "dataset_info.json").exists()
    source, whole = Squares(sizes=(("train", (6,) * 8),)), tmp_path / "whole"
    _write(out, source)
    _write(whole, source)
    assert _files(out) == _files(whole)


def test_other_settings_are_refused(tmp_path: Path) -> None:
    _write(tmp_path)
    with pytest.raises(InputError, match=r"other settings of \['seed'\]"):
        _write(tmp_path, Squares(seed=1))


def test_two_builds_at_once_are_refused(tmp_path: Path) -> None:
    with writer._locked(tmp_path), pytest.raises(InputError, match="in use by a build"):
        _write(tmp_path)


def test_rejections_are_counted_with_their_reason(tmp_path: Path) -> None:
    source = Squares(reject_every=2)
    report = writer.write(source, tmp_path, workers=0, progress=False)
    assert report.rejected == {"not sharp": 7}
    assert report.examples == {"train": 4, "test": 1}
    (entry,) = json.loads((tmp_path / "rejections.json").read_text())
    assert entry["count"] == 7
    assert entry["examples"][:2] == ["test-0-0", "test-0-2"]
    info = json.loads((tmp_path / "dataset_info.json").read_text())
    lengths = {split["name"]: split["shardLengths"] for split in info["splits"]}
    assert lengths == {"train": ["1", "2", "1"], "test": ["1"]}


def test_an_unwritable_directory_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written: .*choose another"):
        _write(tmp_path / "file" / "set")


def test_tfds_reads_the_set(tmp_path: Path) -> None:
    import tensorflow_datasets as tfds

    _write(tmp_path)
    builder = tfds.builder_from_directory(tmp_path)
    assert builder.info.splits["train"].num_examples == 9
    examples = list(builder.as_dataset(split="test").as_numpy_iterator())
    expected = next(iter(Squares().examples("test", 0)))
    found = next(e for e in examples if e["image_id"].decode() == expected["image_id"])
    np.testing.assert_array_equal(found["hands"]["box"], expected["hands/box"])
    labels = decode.decode_map(expected["cues/segmentation"])
    np.testing.assert_array_equal(found["cues"]["segmentation"][..., 0], labels)
    assert found["cues"]["depth"].dtype == np.uint16
    assert found["cues"]["depth_source"].decode() == expected["cues/depth_source"]
