"""A folder of results knows its own files, also after a run was killed."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from twohand_jax.errors import InputError
from twohand_jax.inference.output_folder import MANIFEST, OutputFolder

NAMES = ("a.json", "a.obj", "a.png")


def put(folder: Path, content: dict[str, str], **options: bool) -> OutputFolder:
    output = OutputFolder(folder, **options)
    output.open(["a"], [], [".json", ".obj", ".png"])
    with output.writing("a", NAMES, {"of": content}, kind="test") as beside:
        for name, text in content.items():
            (beside / name).write_text(text)
    return output


def seen(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.glob("[!.]*")}


def test_own_files_are_replaced_and_removed(tmp_path: Path) -> None:
    put(tmp_path, {"a.json": "1", "a.obj": "1", "a.png": "1"})
    output = put(tmp_path, {"a.json": "2", "a.png": "2"})
    assert seen(tmp_path) == {"a.json": "2", "a.png": "2"}
    assert output.written("a", kind="test") == [tmp_path / "a.json", tmp_path / "a.png"]


@pytest.mark.parametrize("name", ["a.json", "a.obj", "a.png"])
def test_other_files_are_named_and_stay(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(InputError, match=f"{name} would be replaced.*--overwrite"):
        put(tmp_path, {"a.json": "1"})
    assert seen(tmp_path) == {name: "mine"} and len(list(tmp_path.iterdir())) == 1


def test_an_own_file_that_was_changed_is_no_longer_own(tmp_path: Path) -> None:
    put(tmp_path, {"a.json": "1"})
    (tmp_path / "a.json").write_text("corrected by hand")
    with pytest.raises(InputError, match="a.json would be replaced"):
        put(tmp_path, {"a.json": "2"})
    assert seen(tmp_path) == {"a.json": "corrected by hand"}


def test_a_file_that_appears_during_the_run_stays(tmp_path: Path) -> None:
    output = OutputFolder(tmp_path)
    output.open(["a"], [], [".json"])
    (tmp_path / "a.json").write_text("mine")
    with (
        pytest.raises(InputError, match="would be replaced"),
        output.writing("a", NAMES, {}, kind="test"),
    ):
        raise AssertionError("written all the same")
    assert seen(tmp_path) == {"a.json": "mine"}


def test_overwrite_replaces_but_removes_nothing_of_others(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("mine")
    (tmp_path / "a.obj").write_text("mine")
    put(tmp_path, {"a.json": "1"}, overwrite=True)
    assert seen(tmp_path) == {"a.json": "1", "a.obj": "mine"}


def test_frames_of_a_video_count_before_they_are_known(tmp_path: Path) -> None:
    (tmp_path / "clip_000007.json").write_text("mine")
    (tmp_path / "clip_two.json").write_text("of no frame")
    with pytest.raises(InputError, match="clip_000007.json would"):
        OutputFolder(tmp_path).open([], ["clip"], [".json"])
    OutputFolder(tmp_path).open([], ["cli"], [".json"])


def test_done_means_same_input_and_all_files_unchanged(tmp_path: Path) -> None:
    content = {"a.json": "1", "a.png": "1"}
    put(tmp_path, content)
    made_of = {"of": content}

    def is_done(of: dict, kind: str = "test") -> bool:
        return OutputFolder(tmp_path).is_done("a", of, kind=kind)

    assert is_done(made_of)
    assert not is_done({"of": {"a.json": "2"}}) and not is_done(made_of, "other")
    (tmp_path / "a.png").unlink()
    assert not is_done(made_of)


def test_a_torn_or_foreign_line_of_the_manifest_is_passed_over(tmp_path: Path) -> None:
    put(tmp_path, {"a.json": "1"})
    with (tmp_path / MANIFEST).open("a") as file:
        file.write('{"files": 3}\n[1]\n\0\n{"kind": "test", "na')
    put(tmp_path, {"a.json": "2"})
    assert OutputFolder(tmp_path).is_own("a.json")
    assert seen(tmp_path) == {"a.json": "2"}


def test_only_own_leftovers_are_cleared(tmp_path: Path) -> None:
    leftover = tmp_path / ".a.json.partial-01ab23cd"
    others = [tmp_path / name for name in ("b.partial-1", "x.partial-01ab23cd")]
    for folder in (leftover, *others):
        folder.mkdir()
    (tmp_path / ".c.partial-01ab23cd").write_text("a file, which no run leaves")
    OutputFolder(tmp_path).prepare()
    assert not leftover.exists() and all(folder.exists() for folder in others)
    assert (tmp_path / ".c.partial-01ab23cd").exists()


KILLED = """
import os, signal, sys
from pathlib import Path
from twohand_jax.inference.output_folder import OutputFolder

folder, moves = Path(sys.argv[1]), int(sys.argv[2])
replace = Path.replace

def replace_or_die(path, target):
    global moves
    if moves == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    moves -= 1
    return replace(path, target)

Path.replace = replace_or_die
output = OutputFolder(folder)
output.prepare()
names = ("a.json", "a.obj", "a.png")
with output.writing("a", names, {"of": 2}, kind="test") as beside:
    for name in names:
        (beside / name).write_text("2")
"""


@pytest.mark.parametrize("moves", [0, 2])
def test_a_killed_run_leaves_nothing_that_the_next_does_not_clear(
    tmp_path: Path, moves: int
) -> None:
    put(tmp_path, {"a.json": "1", "a.obj": "1", "a.png": "1"})
    (tmp_path / "b.txt").write_text("mine")
    words = [sys.executable, "-c", KILLED, str(tmp_path), str(moves)]
    done = subprocess.run(words, cwd=Path(__file__).parents[2], env=dict(os.environ))
    assert done.returncode == -signal.SIGKILL
    assert list(tmp_path.glob(".*partial*"))
    assert not OutputFolder(tmp_path).is_done("a", {"of": 2}, kind="test")
    put(tmp_path, {"a.json": "3"})
    assert seen(tmp_path) == {"a.json": "3", "b.txt": "mine"}
    assert not list(tmp_path.glob(".*partial*"))
