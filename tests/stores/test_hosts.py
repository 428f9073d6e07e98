"""Two processes on disks of their own, one workdir in a bucket; then one goes on."""

import json
import os

import numpy as np
import pytest

from tests.multiprocess import launch
from tests.stores.emulators import content
from tests.train import runs
from twohand_jax import paths
from twohand_jax.cli import main as cli

TWOHAND = ["-m", "twohand_jax.cli.main"]


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("scheme", ["s3"])
def test_two_hosts_train_into_a_bucket_and_one_goes_on(bucket, tmp_path, monkeypatch):
    data, run = runs.pose_set(tmp_path / "poses"), f"{bucket}/run"
    settings = {
        "train__evaluate_every": 0,
        "train__best_metric": "",
        "train__save_every": 1,
        "train__log_every": 1,
        "optim__schedule": "constant",
    }

    def words(steps):
        return runs.arguments("prior", run, data, **settings, train__total_steps=steps)

    address = f"localhost:{launch.free_port()}"
    processes = []
    for number in range(2):
        own = tmp_path / f"host-{number}"
        own.mkdir()
        monkeypatch.setenv("TMPDIR", str(own))
        flags = ["--coordinator", address, "--processes", "2", "--process", str(number)]
        processes.append(launch.start([*TWOHAND, *words(2), *flags]))
    launch.succeed(processes)
    assert [list((tmp_path / f"host-{n}").iterdir()) for n in range(2)] == [[], []]
    left = content(run)
    parts = {f"checkpoints/2/part-0000{n}-of-00002.npz" for n in range(2)}
    assert parts | {"checkpoints/2/COMPLETE.json", "model/weights.npz"} <= set(left)
    assert ".lease" not in left
    assert len(left["metrics.jsonl"].splitlines()) == 2

    monkeypatch.setenv("TMPDIR", str(tmp_path))
    paths.forget()
    assert cli.main(words(3)) == 0
    after = content(run)
    starts = [json.loads(line) for line in after["starts.jsonl"].splitlines()]
    assert [(one["processes"], one["first_step"]) for one in starts] == [(2, 0), (1, 2)]
    assert len(after["metrics.jsonl"].splitlines()) == 3
    assert not np.array_equal(left["model/weights.npz"], after["model/weights.npz"])
    assert os.environ.get(paths.MIRROR) is None
