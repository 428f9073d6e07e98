"""How commands end: 0 done, 1 failed, 2 wrong use or input, 130 and 143 interrupted."""

import errno
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.train import runs
from twohand_jax import locks
from twohand_jax.cli import common
from twohand_jax.cli import main as cli
from twohand_jax.errors import FailedError, InputError

ENDS = {
    "input": (InputError("No."), 2, "twohand weights: No."),
    "failed": (FailedError("No."), 1, "twohand weights: No."),
    "full": (OSError(errno.ENOSPC, "No space left", "a"), 1, "a: No space left."),
    "name": (OSError(errno.ENAMETOOLONG, "Too long", "a" * 5000), 2, "…"),
    "read-only": (OSError(errno.EROFS, "Read-only file system"), 2, "Read-only"),
    "memory": (MemoryError("1 GiB"), 1, "not enough memory. 1 GiB"),
    "keyboard": (KeyboardInterrupt(), 130, "twohand: interrupted"),
    "pipe": (BrokenPipeError(), 0, ""),
}
WORDS = ["weights", "convert", "sapiens", "a.pt", "--out", "b"]


@pytest.mark.parametrize("end", ENDS)
def test_every_end_has_its_code_and_a_sentence(monkeypatch, capfd, end):
    error, code, words = ENDS[end]

    def fail(args: object) -> None:
        raise error

    monkeypatch.setattr("twohand_jax.cli.weights._sapiens", fail)
    assert cli.main(WORDS) == code
    told = capfd.readouterr().err
    assert words in told and len(told) < 500 and "Traceback" not in told


def test_sigterm_is_143_and_the_handler_goes_again(monkeypatch, capsys):
    before = signal.getsignal(signal.SIGTERM)

    def end(args: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)

    monkeypatch.setattr("twohand_jax.cli.weights._sapiens", end)
    assert cli.main(WORDS) == 143
    assert "ended by SIGTERM" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGTERM) == before


def test_letters_that_an_encoding_lacks_are_written_in_escapes(monkeypatch):
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="cp1252", write_through=True)
    monkeypatch.setattr(sys, "stderr", stream)
    assert cli.main([*WORDS[:3], "手1.jpg", "--out", "b"]) == 2
    assert rb"\u624b1.jpg" in raw.getvalue()


NUMBERS = """\
data build synthetic --out a --views 0
data build synthetic --out a --workers -1
data build synthetic --out a --seed -1
data build poses --out a --workers 0
data build hic --source . --out a --max-rejected 2
data build hic --source . --out a --max-rejected x%
data cues a --out b --batch 0
data inspect a --count -1
export --out a --canvas 0
evaluate --dataset a --batch 0
evaluate --dataset a --workers 0
prior sample --out a --n 0
prior sample --out a --seed 99999999999999999999999
cues a.jpg --out b --sapiens-batch 0
train --config a --processes 0
benchmark nearest --seconds nan"""


@pytest.mark.parametrize("line", NUMBERS.splitlines())
def test_numbers_out_of_range_are_refused(line, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        cli.main(line.split())
    assert end.value.code == 2
    assert ": argument --" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def poses(tmp_path_factory) -> Path:
    return runs.pose_set(tmp_path_factory.mktemp("poses") / "set")


def test_what_a_killed_command_left_goes_and_what_is_not_its_own_stays(tmp_path):
    own, other = ".a.json.partial-00", "below/.a.partial-00"
    for name in (own, other, "samples/.a.partial-00"):
        (tmp_path / name).mkdir(parents=True)
    with common.alone(tmp_path, "twohand evaluate", "samples"):
        pass
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")}
    assert left == {"below", other, "samples"}


def test_a_second_training_in_a_workdir_is_refused(tmp_path, poses, capsys):
    with locks.held(tmp_path / "run", "twohand train"):
        assert cli.main(runs.arguments("prior", tmp_path / "run", poses)) == 2
    told = capsys.readouterr().err
    assert f"in use by twohand train (process {os.getpid()} on" in told
    assert not (tmp_path / "run").exists()


def lines(workdir: Path) -> list[dict]:
    text = (workdir / "metrics.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.slow
def test_a_training_that_is_stopped_is_not_done_and_logs_each_step_once(
    tmp_path, poses
):
    settings = {"train__log_every": 1, "train__save_every": 1000}
    settings |= {"train__evaluate_every": 0, "train__best_metric": ""}
    words = runs.arguments(
        "prior", tmp_path, poses, train__total_steps=10**6, **settings
    )
    # As a process that was killed leaves it, after a checkpoint that was lost.
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n{"step": 2}\n{"st')
    command = [sys.executable, "-m", "twohand_jax.cli.main", *words]
    with subprocess.Popen(command, cwd=runs.ROOT, stderr=subprocess.PIPE) as process:
        give_up = time.monotonic() + 200
        while not (tmp_path / "starts.jsonl").exists() or len(lines(tmp_path)) < 5:
            assert process.poll() is None and time.monotonic() < give_up
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        told = process.stderr.read().decode()
    assert process.returncode == 143 and "Stopped at step" in told
    steps = [line["step"] for line in lines(tmp_path)]
    assert steps == list(range(1, len(steps) + 1))
    assert not (tmp_path / locks.LOCK).exists()
