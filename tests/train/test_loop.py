import json
import os
import signal

import cv2
import numpy as np
import pytest

from tests.data.records import Squares
from tests.train import runs, toy
from twohand_jax import experiments
from twohand_jax.cli import main
from twohand_jax.errors import InputError
from twohand_jax.pipelines import writer
from twohand_jax.train import checkpoint, log, loop, optim
from twohand_jax.weights import native

CONFIG = "configs/tiny.py"
STEPS = 6


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    folder = tmp_path_factory.mktemp("records")
    writer.write(
        Squares(sizes=(("train", (5, 6)), ("test", (3,)))),
        folder,
        workers=0,
        progress=False,
    )
    return folder


def train(records, workdir, *changes):
    return main.main(
        [
            "train",
            "--config",
            CONFIG,
            "--workdir",
            str(workdir),
            *[
                word
                for change in (
                    f"data.train='{records}'",
                    f"data.test='{records}'",
                    f"train.total_steps={STEPS}",
                    "train.save_every=3",
                    "train.log_every=2",
                    f"train.evaluate_every={STEPS}",
                    f"train.picture_every={STEPS}",
                    "train.best_metric='+ keypoints/MPJPE'",
                    *(f"{name}={v!r}" for name, v in runs.SMALL_REGRESSOR.items()),
                    *changes,
                )
                for word in ("--set", change)
            ],
        ]
    )


def weights(workdir):
    with np.load(workdir / "model" / "weights.npz") as file:
        return {name: file[name] for name in file.files}


@pytest.fixture(scope="module")
def undisturbed(records, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("run") / "work"
    assert not train(records, workdir)
    return workdir


@pytest.mark.slow
def test_a_run_writes_metrics_checkpoints_and_a_model(undisturbed):
    lines = [
        json.loads(line)
        for line in (undisturbed / "metrics.jsonl").read_text().splitlines()
    ]
    losses = [line["loss/total"] for line in lines if "loss/total" in line]
    assert len(losses) == STEPS // 2 and np.isfinite(losses).all()
    assert any("eval/+ keypoints/MPJPE" in line for line in lines)
    assert sorted(p.name for p in (undisturbed / "checkpoints").iterdir())
    picture = cv2.imread(str(undisturbed / "pictures" / f"predictions-{STEPS:08d}.png"))
    assert picture.std() > 5.0
    score = json.loads((undisturbed / "best" / "score.json").read_text())
    assert score["step"] == STEPS and np.isfinite(score["value"])
    native.load_config(undisturbed / "best")
    (start,) = (undisturbed / "starts.jsonl").read_text().splitlines()
    assert json.loads(start)["first_step"] == 0
    config = native.load_config(undisturbed / "model")
    assert experiments.parse(config).train.total_steps == STEPS


@pytest.mark.slow
def test_a_stopped_and_resumed_run_ends_bit_identical(
    records, undisturbed, tmp_path, monkeypatch
):
    add = loop._Report.add

    def stop_at_four(self, number, metrics):
        if number == 4:
            os.kill(os.getpid(), signal.SIGTERM)
        add(self, number, metrics)

    workdir = tmp_path / "work"
    monkeypatch.setattr(loop._Report, "add", stop_at_four)
    train(records, workdir)
    monkeypatch.undo()
    saved = checkpoint.Checkpoints(workdir)
    assert saved.latest() == 4
    saved.close()
    train(records, workdir)
    expected, found = weights(undisturbed), weights(workdir)
    assert expected.keys() == found.keys()
    assert all(np.array_equal(expected[name], found[name]) for name in expected)


@pytest.mark.slow
def test_another_config_is_refused_with_the_difference(records, undisturbed, capsys):
    assert train(records, undisturbed, "optim.learning_rate=0.5") == 2
    message = capsys.readouterr().err
    assert "optim.learning_rate: 0.001 → 0.5" in message


def test_fields_that_differ_are_listed(tmp_path):
    saved = checkpoint.Checkpoints(tmp_path)
    saved.agree_on_config({"a": {"b": 1}, "c": (1, 2)})
    saved.agree_on_config({"a": {"b": 1}, "c": (1, 2)})
    with pytest.raises(InputError, match="a.b: 1 → 2; d: None → 3"):
        saved.agree_on_config({"a": {"b": 2}, "c": (1, 2), "d": 3})
    saved.close()


@pytest.mark.parametrize(("every", "measured"), [(0, 0), (4, 2), (6, 1), (99, 1)])
@pytest.mark.slow
def test_evaluation_is_off_at_zero_and_else_happens_at_the_end_too(
    tmp_path, every, measured
):
    scores: list[float] = []

    def evaluate(variables):
        scores.append(float(variables.params["out"].sum()))
        return {"sum": scores[-1]}

    settings = loop.LoopConfig(total_steps=6, batch_size=16, evaluate_every=every)
    loop.train(
        toy.task()._replace(evaluate=evaluate),
        optimizer=optim.optimizer(toy.OPTIM),
        ema_decay=toy.OPTIM.ema_decay,
        loop=settings,
        workdir=tmp_path,
        config={},
    )
    assert len(scores) == measured


def test_another_number_of_processes_is_said_since_it_changes_the_order(
    tmp_path, monkeypatch, capsys
):
    log.write_provenance(tmp_path, first_step=0)
    log.write_provenance(tmp_path, first_step=4)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("jax.process_count", lambda: 3)
    log.write_provenance(tmp_path, first_step=4)
    told = capsys.readouterr().err
    assert "with 3 processes instead of 1" in told and "from step 5 on" in told
