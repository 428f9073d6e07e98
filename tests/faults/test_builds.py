"""A build loses nothing: what cannot be read is made later, what is left out told."""

import errno
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from twohand_jax import reading
from twohand_jax.data import decode, shards
from twohand_jax.errors import FailedError, InputError, UnreadableError
from twohand_jax.inspection import report
from twohand_jax.pipelines import labelled, shard_file, writer
from twohand_jax.pipelines.cue_stage import RecordCues, StageConfig
from twohand_jax.pipelines.labelled import (
    Labelled,
    LabelledSource,
    Rejection,
    ShardConfig,
)
from twohand_jax.pipelines.writer import RejectionLimit
from twohand_jax.types import ManoParams

COUNT = 32
LABELS = StageConfig(cues=None)  # ground truth, which needs no network


class Photographs:
    """A dataset of JPEG files in a folder, two points a hand."""

    name, version, hand_model = "photographs", "1.0.0", "toy-hand"
    description, settings = "Grey.", {}

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def counts(self) -> Mapping[str, int]:
        return {"train": COUNT}

    def samples(
        self, split: str, numbers: Sequence[int]
    ) -> Iterator[Labelled | Rejection]:
        points = np.tile(np.array([[4.0, 4.0], [20.0, 12.0], [9.0, 9.0]]), (2, 7, 1))
        shapes = ((3,), (15, 3), (10,), (3,))
        for number in numbers:
            yield Labelled(
                image=self.folder / f"{number}.jpg",
                image_id=f"{number}",
                subset="",
                size=(32, 24),
                camera=None,
                joints_2d=points,
                joints_2d_valid=np.ones((2, 21), bool),
                joints_3d=np.zeros((2, 21, 3)),
                joints_3d_valid=np.zeros((2, 21), bool),
                mano=ManoParams(*(np.zeros((2, *shape)) for shape in shapes)),
                mano_valid=np.zeros(2, bool),
            )


@pytest.fixture
def source(tmp_path, monkeypatch) -> LabelledSource:
    monkeypatch.setattr(reading, "WAITS_S", (0.0, 0.0))
    folder = tmp_path / "photographs"
    folder.mkdir()
    data = decode.encode_jpeg(np.full((24, 32, 3), 128, np.uint8))
    for number in range(COUNT):
        (folder / f"{number}.jpg").write_bytes(data)
    return LabelledSource(Photographs(folder), ShardConfig(shard_size=8))


def build(source, out: Path, **options) -> writer.BuildReport:
    return writer.write(source, out, workers=0, progress=False, **options)


def contents(directory: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def fail(monkeypatch, broken: frozenset[str], number: int = errno.EIO) -> None:
    """Files of these names cannot be read any more."""

    def stand_in(path: Any, *rest: Any, **named: Any) -> Any:
        if Path(str(path)).name in broken:
            raise OSError(number, os.strerror(number), str(path))
        return open(path, *rest, **named)

    monkeypatch.setattr(reading, "open", stand_in, raising=False)


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.EACCES])
def test_a_shard_that_cannot_be_read_stays_unfinished_and_heals(
    source, tmp_path, monkeypatch, number
):
    fail(monkeypatch, frozenset({"3.jpg"}), number)
    with pytest.raises(FailedError, match=r"1 shards .* unfinished.*3\.jpg could not"):
        build(source, tmp_path / "set")
    assert not (tmp_path / "set" / shards.INFO).exists()
    assert len(list((tmp_path / "set").glob("*tfrecord-*"))) == 3  # of 4
    fail(monkeypatch, frozenset())
    assert build(source, tmp_path / "set").examples == {"train": COUNT}
    build(source, tmp_path / "whole")
    assert contents(tmp_path / "set") == contents(tmp_path / "whole")


def test_a_disk_that_is_gone_is_not_asked_for_every_shard(
    source, tmp_path, monkeypatch
):
    fail(monkeypatch, frozenset(f"{n}.jpg" for n in range(COUNT)))
    with pytest.raises(FailedError, match=f"{writer.MAX_UNREAD} shards of"):
        build(source, tmp_path / "set")


def test_files_that_are_missing_end_the_build_and_the_same_command_heals_it(
    source, tmp_path
):
    folder = source.dataset.folder
    for number in range(4):
        (folder / f"{number}.jpg").rename(folder / f"{number}.away")
    with pytest.raises(FailedError, match="more than 1% of them: . x the picture is"):
        build(source, tmp_path / "set")
    for number in range(4):
        (folder / f"{number}.away").rename(folder / f"{number}.jpg")
    build(source, tmp_path / "set")
    build(source, tmp_path / "whole")
    assert contents(tmp_path / "set") == contents(tmp_path / "whole")


def test_holes_of_a_finished_set_are_told_and_healed_by_recheck(source, tmp_path):
    picture = source.dataset.folder / "5.jpg"
    whole, out = picture.read_bytes(), tmp_path / "set"
    picture.write_bytes(whole[:100])
    lenient = RejectionLimit.of(0.1)
    assert build(source, out, limit=lenient).rejected == {labelled.UNREADABLE: 1}
    assert f"1  {labelled.UNREADABLE} (5)" in report.rejections_text(out)
    picture.write_bytes(whole)
    again = build(source, out, limit=lenient)
    assert again.new_examples == 0 and again.rejected
    healed = build(source, out, limit=lenient, recheck=True)
    assert healed.rejected == {} and healed.new_examples == 8
    build(source, tmp_path / "whole")
    assert contents(out) == contents(tmp_path / "whole")


@pytest.mark.parametrize("share", [0.0, 0.03])
def test_a_limit_counts_every_reason(source, tmp_path, share):
    data = decode.encode_jpeg(np.zeros((10, 10, 3), np.uint8))
    (source.dataset.folder / "5.jpg").write_bytes(data)  # of another size
    build(source, tmp_path / "free")
    with pytest.raises(FailedError, match="of another size|not the annotated one"):
        build(source, tmp_path / "set", limit=RejectionLimit.of(share))


def test_a_pipe_for_a_picture_is_left_out_and_not_waited_for(source, tmp_path):
    picture = source.dataset.folder / "5.jpg"
    picture.unlink()
    os.mkfifo(picture)
    made = build(source, tmp_path / "set", limit=RejectionLimit.of(0.1))
    assert made.rejected == {labelled.UNREADABLE: 1}


def test_cues_of_a_shard_that_cannot_be_read_are_made_later(
    source, tmp_path, monkeypatch
):
    build(source, tmp_path / "set")
    fail(monkeypatch, frozenset({"photographs-train.tfrecord-00001-of-00004"}))
    cues = RecordCues(tmp_path / "set", LABELS)
    with pytest.raises(FailedError, match=r"1 shards .*00001-of-00004 could not be"):
        build(cues, tmp_path / "cues")
    fail(monkeypatch, frozenset())
    assert build(cues, tmp_path / "cues").examples == {"train": COUNT}
    assert not report.read_rejections(tmp_path / "cues")


def test_a_shard_is_read_again_for_training_too(source, tmp_path, monkeypatch):
    build(source, tmp_path / "set")
    path = str(tmp_path / "set" / "photographs-train.tfrecord-00001-of-00004")
    fail(monkeypatch, frozenset({Path(path).name}))
    with pytest.raises(UnreadableError, match="00001-of-00004 could not be read"):
        shards.read_shard(path, 8)


def impossible_length(path: Path) -> None:
    """The first record says that it has 2^62 bytes, with the right checksum."""
    data = path.read_bytes()
    framed = shards.frame_record(b"")
    length = (1 << 62).to_bytes(8, "little")
    checksum = shards._masked_crc(length).to_bytes(4, "little")
    assert len(framed) == len(length) + len(checksum) + shards.FOOTER
    path.write_bytes(length + checksum + data[12:])


def test_an_impossible_length_never_reaches_tensorflow(source, tmp_path):
    from twohand_jax.data.tfrecord import Reader, ReaderConfig

    build(source, tmp_path)
    path = tmp_path / "photographs-train.tfrecord-00002-of-00004"
    assert shards.fits(str(path))
    impossible_length(path)
    assert not shards.fits(str(path))
    config = ReaderConfig(directory=str(tmp_path), batch_size=4, shuffle=False)
    with pytest.raises(InputError, match="00002-of-00004 .*file ends inside"):
        list(Reader(config).rows())


@pytest.mark.parametrize("kind", ["unread", "full"])
@pytest.mark.slow
def test_a_beam_pipeline_that_fails_is_one_sentence(
    source, tmp_path, monkeypatch, kind
):
    beam = pytest.importorskip("twohand_jax.pipelines.beam")
    out = tmp_path / "set"
    if kind == "unread":
        fail(monkeypatch, frozenset({"3.jpg"}))
    else:
        full = FailedError(f"Cannot write {out}: No space left on device.")
        monkeypatch.setattr(shard_file, "write", raising(full))
    words = "3.jpg could not be read" if kind == "unread" else "No space left"
    with pytest.raises(FailedError, match=words) as error:
        build(source, out, make=beam.maker(["runner=DirectRunner"]))
    assert "\n" not in str(error.value)
    monkeypatch.undo()
    assert build(source, out).examples == {"train": COUNT}
    assert not list(out.glob(".shards/*.unread")) and not list(out.rglob("*partial*"))


def raising(error: Exception):
    def stand_in(*_: object, **__: object) -> None:
        raise error

    return stand_in
