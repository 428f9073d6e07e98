"""``twohand data build`` from the command line, on a miniature of InterHand2.6M."""

import importlib
import os
import re
import signal
import subprocess
import sys
import time
import types
from pathlib import Path

import pytest

from twohand_jax.cli import main
from twohand_jax.errors import InputError, MissingDependencyError
from twohand_jax.evaluation import protocols
from twohand_jax.pipelines import datasets
from twohand_jax.pipelines.interhand26m import fixture

ROOT = Path(__file__).parents[2]
FRAMES = 40  # of each of the two scenes
SHARDS = "interhand26m-test.tfrecord-*-of-*"


@pytest.fixture(scope="module")
def miniature(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("source")
    fixture.write(root, count=2, splits=("test",), frames=FRAMES)
    return root


def _command(source: Path, out: Path, *options: str) -> list[str]:
    flags = ["--source", str(source), "--out", str(out), "--shard-size", "2"]
    return ["data", "build", "interhand26m", *flags, *options]


@pytest.fixture(scope="module")
def whole(miniature: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The set made in one go."""
    out = tmp_path_factory.mktemp("whole")
    assert main.main(_command(miniature, out, "--workers", "0")) == 0
    return out


def _files(directory: Path) -> dict[str, bytes]:
    """All but the index, whose pages may lie otherwise."""
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file() and ".index" not in path.parts
    }


@pytest.mark.slow
def test_kill_9_and_the_same_command_give_the_same_bytes(
    miniature: Path, whole: Path, tmp_path: Path
) -> None:
    out = tmp_path / "set"
    command = [sys.executable, "-m", "twohand_jax.cli.main"]
    command += _command(miniature, out, "--workers", "0")
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, env=environment, start_new_session=True)
    deadline = time.monotonic() + 120
    while len(list(out.glob(SHARDS))) < 2 and time.monotonic() < deadline:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = [p for p in out.glob(SHARDS) if "partial" not in p.name]
    assert 1 <= len(done) < FRAMES
    assert not (out / "dataset_info.json").exists()
    # The rest is made in another process, which opens the index by its path.
    assert main.main(_command(miniature, out, "--workers", "1")) == 0
    assert _files(out) == _files(whole)


def test_the_same_command_again_writes_nothing(
    miniature: Path, whole: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in whole.glob(SHARDS)}
    assert len(before) == FRAMES
    assert main.main(_command(miniature, whole, "--workers", "1")) == 0
    assert {path: path.stat().st_mtime_ns for path in whole.glob(SHARDS)} == before
    assert "images/s" not in capsys.readouterr().out


@pytest.mark.slow
def test_beam_gives_the_same_bytes(miniature: Path, tmp_path: Path) -> None:
    pytest.importorskip("apache_beam", reason="the extra beam is not installed")
    few = ("--max-samples", "6")
    direct = _command(miniature, tmp_path / "direct", *few, "--workers", "0")
    assert main.main(direct) == 0
    beam = ("--beam", "runner=DirectRunner", "--beam", "direct_num_workers=1")
    assert main.main(_command(miniature, tmp_path / "beam", *few, *beam)) == 0
    assert _files(tmp_path / "beam") == _files(tmp_path / "direct")


def test_what_is_left_out_is_reported(
    miniature: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "source"
    pictures = source / "images" / "test" / "Capture0"
    pictures.mkdir(parents=True)
    (source / "annotations").symlink_to(miniature / "annotations")
    told = ("--max-samples", "8", "--workers", "0")
    assert main.main(_command(source, tmp_path / "set", *told)) == 1
    assert "more than 1% of them: 2 x the picture is" in capsys.readouterr().err
    told = (*told, "--max-rejected", "100%")
    assert main.main(_command(source, tmp_path / "set", *told)) == 0
    report = capsys.readouterr().out
    assert "0 images in split test" in report
    assert "8 left out: the picture is missing (test/" in report
    assert ", …)" in report


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "is not a folder"),
        (("--source", "."), "no annotations: InterHand2.6M v1.0 .*CC-BY-NC 4.0"),
        (("--splits", "train"), "train.*is missing"),
        (("--mano", "none.npz"), "none.npz"),
        (("--shard-size", "3"), "other settings of \\['shard_size'\\]"),
    ],
)
def test_bad_flags_are_refused_before_anything_is_written(
    miniature: Path,
    whole: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: tuple[str, ...],
    message: str,
) -> None:
    source = tmp_path / "none" if not options else miniature
    out = whole if "--shard-size" in options else tmp_path / "set"
    assert main.main([*_command(source, out, "--workers", "0"), *options]) == 2
    said = capsys.readouterr().err
    assert re.search(message, said.replace("\n", " ")), said
    assert not list((tmp_path / "set").rglob("*tfrecord*"))


@pytest.mark.parametrize("name", datasets.CONVERTED)
def test_every_dataset_has_a_builder(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="0"):
        main.main(["data", "build", name, "--help"])
    told = capsys.readouterr().out
    assert all(flag in told for flag in ("--source", "--mano", "--beam"))


@pytest.mark.parametrize("value", ["0", "-1", "x"])
def test_counts_must_be_positive(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], value: str
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main.main(_command(tmp_path, tmp_path / "set", f"--max-samples={value}"))
    assert "is not a whole number from 1" in capsys.readouterr().err


def test_the_commands_help_names_every_dataset_without_tensorflow() -> None:
    code = (
        "import sys; from twohand_jax.cli import main; "
        "main.parser().format_help(); from twohand_jax.pipelines import datasets; "
        "print({'tensorflow', 'jax', 'ijson'} & set(sys.modules), *datasets.DATASETS)"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert done.stdout.split() == ["set()", *datasets.DATASETS], done.stderr


@pytest.mark.parametrize("name", datasets.CONVERTED)
def test_an_entry_says_all_that_is_asked_of_a_dataset(name: str) -> None:
    entry = datasets.get(name)
    assert entry.name == name and entry.summary
    assert hasattr(importlib.import_module(entry.miniature), "write")
    own = protocols.default(name)
    assert entry.protocol == own.name or not entry.protocol
    if not entry.protocol:
        assert protocols.LABELS[name].withheld
    assert f"`{name}`" in (ROOT / "docs" / "data.md").read_text()


def test_a_dataset_is_added_by_its_entry_and_one_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    built: list[str] = []
    entry = datasets.DatasetEntry(
        name="mine",
        summary="Mine.",
        add_arguments=lambda parser: parser.add_argument("--out"),
        run=lambda args: built.append(args.out),
    )
    monkeypatch.setitem(datasets.DATASETS, "mine", "my_package.mine")
    module = types.SimpleNamespace(ENTRY=entry)
    monkeypatch.setitem(sys.modules, "my_package.mine", module)
    assert main.main(["data", "build", "mine", "--out", "here"]) == 0
    assert built == ["here"]
    with pytest.raises(InputError, match="mine is drawn and has no source"):
        datasets.write_miniature("mine", Path(), count=1, seed=0)


def test_an_unknown_dataset_and_a_package_that_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(InputError, match="no dataset 'none'; choose from synthetic"):
        datasets.get("none")
    monkeypatch.setitem(datasets.DATASETS, "mine", "no_such_package.mine")
    with pytest.raises(MissingDependencyError, match="mine needs the package no_such"):
        datasets.get("mine")
