"""``twohand train`` with two processes, as docs/training.md starts it on two hosts."""

import json
import re
import shlex
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.multiprocess import launch, records
from tests.train import runs
from twohand_jax.cli import main as cli
from twohand_jax.errors import InputError
from twohand_jax.experiments.data import local_batch
from twohand_jax.train.loop import LoopConfig

pytestmark = pytest.mark.timeout(1200)  # three starts, each compiles
BATCH, STEPS = 4, 4
DOCUMENT = launch.ROOT / "docs" / "training.md"
SETTINGS = {
    "train__batch_size": BATCH,
    "train__total_steps": STEPS,
    "train__log_every": 1,
    "train__save_every": STEPS,
    "train__evaluate_every": STEPS,
    "optim__learning_rate": 1e-4,
    "augment__cue_dropout": {},  # one row of a table
}
QUIET = {
    "train__log_every": 1,
    "train__evaluate_every": 0,
    "train__best_metric": "",
}
TWOHAND = ["-m", "twohand_jax.cli.main"]


def documented(process: int, coordinator: str) -> list[str]:
    """The flags of the document's launch on plain hosts, for one of two processes."""
    lines = re.findall(r"^twohand train .*--coordinator.*$", DOCUMENT.read_text(), re.M)
    flags = shlex.split(lines[process].replace("HOST0:1234", coordinator))
    return flags[flags.index("--coordinator") :]


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sets")
    two = records.of_two(folder / "two")
    one = records.merged(folder / "one", batch_size=BATCH, seed=0)
    return one, two


def pair(words: list[str]) -> list[subprocess.Popen]:
    """Start two processes of one run."""
    coordinator = f"localhost:{launch.free_port()}"
    return [
        launch.start([*TWOHAND, *words, *documented(process, coordinator)])
        for process in range(2)
    ]


def log(workdir: Path) -> dict[str, np.ndarray]:
    """Columns of a run's metrics, as far as they are equal between runs."""
    lines = [
        json.loads(line)
        for line in (workdir / "metrics.jsonl").read_text().split("\n")
        if line
    ]
    names = sorted({name for line in lines for name in line if "/" in name})
    return {
        name: np.array([line[name] for line in lines if name in line]) for name in names
    }


@pytest.mark.slow
def test_two_processes_train_and_evaluate_as_one_does(sets, tmp_path):
    one, two = sets
    assert cli.main(runs.arguments("tiny", tmp_path / "one", one, **SETTINGS)) == 0
    launch.succeed(pair(runs.arguments("tiny", tmp_path / "two", two, **SETTINGS)))
    alone, together = log(tmp_path / "one"), log(tmp_path / "two")
    assert len(alone["loss/total"]) == STEPS
    assert any(name.startswith("eval/") for name in alone)
    for name, values in alone.items():
        tolerance = 1e-3 if name.startswith("eval/") else 1e-5
        np.testing.assert_allclose(
            together[name], values, rtol=tolerance, atol=1e-6, err_msg=name
        )


@pytest.mark.slow
def test_sigterm_to_both_saves_the_same_step_and_exits_with_143(tmp_path):
    long = {"train__total_steps": 10**6, "train__save_every": 10**6}
    poses = runs.pose_set(tmp_path / "poses")
    words = runs.arguments("prior", tmp_path / "run", poses, **long, **QUIET)
    processes = pair(words)
    try:
        launch.wait_for(tmp_path / "run" / "metrics.jsonl", processes)
        for process in processes:
            process.send_signal(signal.SIGTERM)
    finally:
        outputs = launch.finish(processes)
    assert [code for code, _, _ in outputs] == [143, 143], outputs
    step = int(re.search(r"Stopped at step (\d+)", outputs[0][2]).group(1))
    saved = [p.name for p in (tmp_path / "run" / "checkpoints").iterdir()]
    assert saved == [str(step)] and 0 < step < 10**6


@pytest.mark.parametrize(
    ("devices", "processes", "batch"), [(4, 1, 6), (2, 2, 3), (16, 2, 8)]
)
def test_a_batch_that_does_not_divide_is_refused(
    monkeypatch, devices, processes, batch
):
    monkeypatch.setattr("jax.device_count", lambda: devices)
    monkeypatch.setattr("jax.process_count", lambda: processes)
    with pytest.raises(InputError, match=f"choose a multiple of {devices}"):
        local_batch(LoopConfig(total_steps=1, batch_size=batch))


def test_a_batch_that_does_not_divide_ends_the_command_with_2(
    sets, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr("jax.device_count", lambda: 2)
    words = runs.arguments("tiny", tmp_path / "run", sets[0], train__batch_size=3)
    assert cli.main(words) == 2
    (told,) = capsys.readouterr().err.strip().splitlines()
    assert "train.batch_size 3 cannot be split over 2 devices" in told
