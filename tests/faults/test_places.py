"""Where results go: full or read-only disks, a umask, folders that are links."""

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults import full_disk
from tests.faults.test_builds import COUNT, LABELS, build, contents, source
from tests.train import toy
from twohand_jax.cli import main as cli
from twohand_jax.data import shards
from twohand_jax.errors import FailedError
from twohand_jax.pipelines.cue_stage import RecordCues
from twohand_jax.train import log, state
from twohand_jax.weights import native

__all__ = ["source"]


@pytest.fixture
def small(tmp_path) -> Iterator[Path]:
    """A disk of 80 KiB, on which two shards have room."""
    with full_disk.disk(tmp_path / "disk", 80 << 10) as place:
        if place is None:
            pytest.skip("this user may mount no disk")
        yield place


def test_a_full_disk_keeps_what_is_finished(source, tmp_path, small):
    build(source, tmp_path / "whole")
    with pytest.raises(FailedError, match=r"Cannot write .*: No space left"):
        build(source, small / "set")
    kept = {path.name for path in (small / "set").glob("*.tfrecord-*")}
    assert 0 < len(kept) < COUNT // 8 and not (small / "set" / shards.INFO).exists()
    assert full_disk.mount(small, full_disk.ROOM)
    assert build(source, small / "set").new_examples == COUNT - 8 * len(kept)
    assert contents(small / "set") == contents(tmp_path / "whole")


@pytest.mark.parametrize(
    "command", ["data cues {} --cues labels --out", "cues {} --out"]
)
def test_a_read_only_folder_is_a_sentence(source, tmp_path, small, command, capsys):
    build(source, tmp_path / "set")
    assert full_disk.mount(small, "remount,ro")
    words = command.format(tmp_path / "set").split()
    assert cli.main([*words, str(small / "out")]) == 2
    (told,) = capsys.readouterr().err.strip().splitlines()
    assert told.endswith(f"{os.strerror(errno.EROFS)}; choose another.")


@pytest.fixture
def careful() -> Iterator[None]:
    """A user whose files are for the group to read and for nobody else."""
    before = os.umask(0o027)
    yield
    os.umask(before)


def modes(folder: Path) -> set[tuple[bool, int]]:
    """Whether it is a folder, and the permissions, of all that lies in one."""
    found = (path.stat().st_mode for path in folder.rglob("*"))
    return {(stat.S_ISDIR(mode), stat.S_IMODE(mode)) for mode in found}


def test_results_have_the_permissions_of_any_new_file(source, tmp_path, careful):
    build(source, tmp_path / "set")
    build(RecordCues(tmp_path / "set", LABELS), tmp_path / "cues")
    last = toy.train(tmp_path / "run", total_steps=2)
    average = state.inference_variables(last)
    native.save(tmp_path / "model", average, {"experiment": "toy"})
    results = [tmp_path / name for name in ("set", "cues", "run", "model")]
    assert set().union(*map(modes, results)) == {(False, 0o640), (True, 0o750)}


def test_folders_and_files_that_are_links_are_read_and_written(source, tmp_path):
    build(source, tmp_path / "whole")
    pictures, elsewhere = source.dataset.folder, tmp_path / "elsewhere"
    pictures.rename(elsewhere)
    pictures.symlink_to(elsewhere)
    (elsewhere / "0.jpg").rename(tmp_path / "0.jpg")
    (elsewhere / "0.jpg").symlink_to(tmp_path / "0.jpg")
    (tmp_path / "real").mkdir()
    (tmp_path / "set").symlink_to(tmp_path / "real")
    build(source, tmp_path / "set")
    assert contents(tmp_path / "real") == contents(tmp_path / "whole")
    assert (tmp_path / "set").is_symlink()
    build(RecordCues(tmp_path / "set", LABELS), tmp_path / "cues")
    assert (tmp_path / "cues" / shards.INFO).exists()


def test_a_log_on_a_full_disk_is_a_sentence_that_names_it(small):
    metrics = log.MetricsLog(small / "run")
    with pytest.raises(FailedError, match=r"Cannot write .*metrics\.jsonl: No space"):
        for step in range(10_000):
            metrics.write(step, {"loss": 0.5})
    metrics.close()
