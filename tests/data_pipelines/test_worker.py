"""One worker a GPU: who gets which, without any GPU."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from twohand_jax.errors import FailedError, InputError
from twohand_jax.inference.observe import CueConfig
from twohand_jax.pipelines import labelled, worker
from twohand_jax.pipelines.cue_stage import RecordCues, StageConfig
from twohand_jax.pipelines.labelled import ShardSource

ROOT = Path(__file__).parents[2]
HOLD = """
import os, sys
from twohand_jax.pipelines import worker
worker.uses_cuda = lambda: True
worker.claim_gpu()
worker.claim_gpu()  # again, as every thread of a worker does
print(os.environ[worker.VISIBLE], flush=True)
sys.stdin.read()
"""


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setattr(worker, "uses_cuda", lambda: True)
    monkeypatch.setattr(worker, "_claims", [])
    monkeypatch.setattr(worker.tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv(worker.VISIBLE, "3,GPU-a1/2")
    yield
    for file in worker._claims:
        os.close(file)


def start() -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", HOLD],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def line(process: subprocess.Popen) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.mark.slow  # processes start
def test_workers_share_out_the_gpus_and_give_them_back(two_gpus: None) -> None:
    workers = [start() for _ in range(2)]
    assert {line(process) for process in workers} == {"3", "GPU-a1/2"}
    with pytest.raises(FailedError, match="All 2 GPUs .* are taken"):
        worker.claim_gpu()
    workers[0].kill()  # no farewell
    workers[0].wait()
    worker.claim_gpu()
    assert os.environ[worker.VISIBLE] in ("3", "GPU-a1/2")
    workers[1].communicate("")


def test_one_process_takes_one_gpu(two_gpus: None) -> None:
    worker.claim_gpu()
    assert os.environ[worker.VISIBLE] == "3"
    worker.claim_gpu()
    assert os.environ[worker.VISIBLE] == "3" and len(worker._claims) == 1


def test_more_workers_than_gpus_are_refused(
    two_gpus: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "XLA_PYTHON_CLIENT_PREALLOCATE"
    monkeypatch.setenv(name, "true")  # so that the end restores it
    monkeypatch.delenv(name)
    with pytest.raises(InputError, match="--workers 3 are more than the 2 GPUs"):
        worker.leave_room(3)
    worker.leave_room(2)
    assert os.environ[name] == "false"
    monkeypatch.setattr(worker, "uses_cuda", lambda: False)
    worker.leave_room(3)


def test_gpus_are_counted_without_cuda(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("nvidia10", "nvidia2", "nvidiactl", "nvidia-uvm", "null"):
        (tmp_path / name).touch()
    monkeypatch.setattr(worker, "DEVICES", tmp_path)
    monkeypatch.delenv(worker.VISIBLE, raising=False)
    assert worker.gpus() == ["2", "10"]
    monkeypatch.setenv(worker.VISIBLE, "")
    assert worker.gpus() == []


@pytest.mark.parametrize(
    ("platforms", "has_plugin", "expected"),
    [("", True, True), ("cpu", True, False), ("cuda,cpu", True, True), ("", False, 0)],
)
def test_where_jax_uses_no_gpu_none_is_taken(
    monkeypatch: pytest.MonkeyPatch, platforms: str, has_plugin: bool, expected: bool
) -> None:
    monkeypatch.setenv("JAX_PLATFORMS", platforms)
    monkeypatch.setattr(worker.extras, "is_there", lambda _: has_plugin)
    assert worker.uses_cuda() == expected


def test_sapiens_alone_needs_a_device() -> None:
    source = object.__new__(RecordCues)
    source.config = StageConfig(cues=None)
    assert not labelled.needs_device(source)
    source.config = StageConfig(cues=CueConfig(source="sapiens"))
    assert labelled.needs_device(source)
    assert not labelled.needs_device(object.__new__(_Plain))


class _Plain(ShardSource):
    """As builds have it."""
