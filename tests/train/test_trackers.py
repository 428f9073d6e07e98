"""What a run tells: lines in a log file, event files, and trackers of one's own."""

import json
import re
import sys
import types

import numpy as np
import pytest

from tests.train import toy
from twohand_jax import progress
from twohand_jax.errors import InputError, MissingDependencyError
from twohand_jax.train import trackers
from twohand_jax.train.loop import LoopConfig

LINE = (
    r"step (\d+) of 6 \(\d+%\), loss [\d.e-]+, [\d,.]+ img/s, waiting \d+%, \d+:\d\d "
    "left"
)


class Kept:
    """A tracker of one's own."""

    made: list["Kept"] = []

    def __init__(self, directory, settings):
        self.settings, self.steps, self.closed = dict(settings), [], False
        self.made.append(self)

    def write(self, step, values):
        self.steps.append((step, sorted(values)))

    def picture(self, step, name, image):
        self.steps.append((step, name))

    def close(self):
        self.closed = True


def test_a_log_file_gets_a_line_every_so_many_steps_and_nothing_else(tmp_path, capfd):
    toy.train(tmp_path, total_steps=6, log_every=2)
    lines = capfd.readouterr().err.strip().splitlines()
    found = [re.fullmatch(LINE, line) for line in lines]
    assert all(found), lines
    assert [int(match[1]) for match in found if match] == [2, 4, 6]
    assert lines[-1].endswith("0:00 left")


def test_quiet_runs_write_no_lines(tmp_path, capfd):
    with progress.quiet():
        toy.train(tmp_path, total_steps=2, log_every=1)
    assert capfd.readouterr().err == ""


def test_a_tracker_of_ones_own_gets_everything(tmp_path):
    Kept.made.clear()
    names = (f"{__name__}:Kept",)
    toy.train(tmp_path, total_steps=4, log_every=2, trackers=names)
    (kept,) = Kept.made
    assert kept.closed and [step for step, _ in kept.steps] == [2, 4]
    assert "loss/total" in kept.steps[0][1]
    assert kept.settings["toy"] == toy.WIDTH and "revision" in kept.settings
    assert not (tmp_path / "tensorboard").exists()


def test_event_files_hold_metrics_and_hyper_parameters(tmp_path):
    settings = {"optim.learning_rate": 0.5, "data.train": "a", "revision": None}
    board = trackers.TensorBoard(tmp_path, settings)
    board.write(3, {"loss/total": 1.25})
    board.picture(3, "drawn", np.zeros((4, 4, 3), np.uint8))
    board.close()
    (file,) = (tmp_path / "tensorboard").iterdir()
    content = file.read_bytes()
    for word in (b"loss/total", b"optim.learning_rate", b"_hparams_", b"revision"):
        assert word in content, word


def test_a_run_goes_on_as_the_same_run_of_weights_and_biases(tmp_path, monkeypatch):
    begun, logged = [], []

    class Run:
        id = "abc"

        def log(self, values, step):
            logged.append((step, values))

        def finish(self):
            logged.append("end")

    def init(**settings):
        begun.append(settings)
        return Run()

    module = types.SimpleNamespace(init=init, Image=lambda image: image.shape)
    monkeypatch.setitem(sys.modules, "wandb", module)
    for _ in range(2):
        run = trackers.WeightsAndBiases(tmp_path, {"a": 1, "revision": "r"})
        run.write(1, {"loss": 2.0})
        run.picture(1, "drawn", np.zeros((2, 3, 3), np.uint8))
        run.close()
    assert [one["id"] for one in begun] == [None, "abc"]
    assert begun[0]["config"] == {"a": 1, "revision": "r"}
    assert logged[:3] == [(1, {"loss": 2.0}), (1, {"drawn": (2, 3, 3)}), "end"]


def test_a_missing_package_is_a_sentence_by_default_and_an_error_where_it_is_named(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    assert trackers.begin(trackers.DEFAULT, tmp_path, {}) == ()
    told = capsys.readouterr().err
    assert "twohand_jax[tensorboard]" in told and str(tmp_path) in told
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(MissingDependencyError, match=r"twohand_jax\[wandb\]"):
        trackers.begin(("wandb",), tmp_path, {})


@pytest.mark.parametrize("name", ["wandbb", "none.such:Thing", f"{__name__}:None_"])
def test_unknown_trackers_are_refused(tmp_path, name):
    with pytest.raises(InputError, match=rf"train.trackers names '{name}'"):
        trackers.begin((name,), tmp_path, {})
    if ":" not in name:
        with pytest.raises(InputError, match="did you mean 'wandb'"):
            LoopConfig(total_steps=1, batch_size=1, trackers=(name,))
    assert json.dumps(sorted(tmp_path.iterdir())) == "[]"
