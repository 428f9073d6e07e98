"""Files appear whole, are like any other file, and say why they cannot be written."""

import json
import os
import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from twohand_jax import files
from twohand_jax.errors import FailedError, InputError

BIG = 1 << 20
WRITERS: dict[str, Callable[[Path], None]] = {
    "bytes": lambda path: files.write_bytes(path, bytes(BIG)),
    "pieces": lambda path: files.write_bytes(path, (bytes(BIG // 4) for _ in range(4))),
    "text": lambda path: files.write_text(path, "ä" * BIG),
    "json": lambda path: files.write_json(path, {"a": [0] * BIG}),
    "npz": lambda path: files.write_npz(path, {"a": np.zeros(BIG)}, compressed=False),
}


@pytest.fixture
def small_disk() -> Iterator[None]:
    """No file may grow beyond 1000 bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("writer", WRITERS.values(), ids=WRITERS)
def test_a_write_that_fails_leaves_the_old_file_and_is_one_sentence(
    writer, tmp_path, small_disk
):
    path = tmp_path / "a"
    path.write_bytes(b"old")
    with pytest.raises(FailedError) as caught:
        writer(path)
    assert str(caught.value) == f"Cannot write {path}: File too large."
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_was_written_is_there_in_a_new_folder_and_in_place_of_an_old_file(
    tmp_path,
):
    path = tmp_path / "new" / "a"
    for _ in range(2):
        files.write_bytes(path, b"xyz")
        assert path.read_bytes() == b"xyz"
        files.write_bytes(path, iter([b"x", b"yz"]))
        assert path.read_bytes() == b"xyz"
        files.write_text(path, "ä\n")
        assert path.read_bytes() == b"\xc3\xa4\n"
        files.write_json(path, {"b": 1, "a": [2]}, sort_keys=True)
        assert json.loads(path.read_text()) == {"b": 1, "a": [2]}
        files.write_npz(path, {"a": np.arange(3), "b": np.array("text")})
        with np.load(path, allow_pickle=False) as arrays:
            assert arrays["a"].tolist() == [0, 1, 2] and str(arrays["b"]) == "text"
    with pytest.raises(ValueError, match="'b' holds Python objects"):
        files.write_npz(path, {"a": np.arange(3), "b": np.array([None])})
    assert list(path.parent.iterdir()) == [path]


def test_nothing_is_seen_at_the_place_until_all_is_written(tmp_path):
    path = tmp_path / "film.mp4"
    with files.replacing(path) as beside:
        assert beside.suffix == ".mp4"
        beside.write_bytes(b"half")
        assert not list(tmp_path.glob("*.mp4"))
        beside.write_bytes(b"whole")
    assert path.read_bytes() == b"whole"


def test_a_body_that_raises_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt), files.replacing(tmp_path / "a") as beside:
        beside.write_bytes(b"half")
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


def test_two_writers_of_one_file_do_not_meet(tmp_path):
    path = tmp_path / "a"
    with files.replacing(path) as one, files.replacing(path) as two:
        one.write_bytes(b"one")
        two.write_bytes(b"two")
    assert path.read_bytes() == b"one"
    assert list(tmp_path.iterdir()) == [path]


def test_the_file_has_the_permissions_of_any_new_file(tmp_path):
    before = os.umask(0o022)
    try:
        files.write_text(tmp_path / "a", "a")
        with files.together(tmp_path, ["b"]) as beside:
            (beside / "b").write_text("b")
    finally:
        os.umask(before)
    for name in ("a", "b"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o644


def test_an_error_of_the_source_is_not_taken_for_one_of_the_disk(tmp_path):
    def pieces() -> Iterator[bytes]:
        yield b"a"
        raise OSError(5, "Input/output error", "photo.jpg")

    with pytest.raises(OSError, match=r"photo\.jpg"):
        files.write_bytes(tmp_path / "a", pieces())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["file/a", "folder"])
def test_a_place_where_no_file_can_be(name, tmp_path):
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match=f"Cannot write {tmp_path / name}: "):
        files.write_text(tmp_path / name, "a")
    assert {path.name for path in tmp_path.iterdir()} == {"file", "folder"}


def test_files_of_one_result_come_and_go_together(tmp_path):
    names = ["a.json", "a.png"]
    for written in (names, names[:1]):
        with files.together(tmp_path, names) as beside:
            for name in written:
                (beside / name).write_text(name)
        assert sorted(path.name for path in tmp_path.iterdir()) == written
    refused = pytest.raises(FailedError, match=f"Cannot write {tmp_path}: No space")
    with refused, files.together(tmp_path, names) as beside:
        (beside / "a.json").write_text("new")
        raise OSError(28, "No space left on device")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["a.json"]


def test_what_killed_writers_left_is_removed(tmp_path):
    (tmp_path / "below" / ".a.partial-01").mkdir(parents=True)
    (tmp_path / "below" / ".a.partial-01" / "a").write_text("half")
    (tmp_path / "b.partial-123").write_text("half, of an older release")
    (tmp_path / "b").write_text("whole")
    files.remove_partials(tmp_path)
    found = {path.name for path in tmp_path.rglob("*")}
    assert found == {"b", "below"}
