"""The table of experiments: every kind has what a run needs, old configs still load."""

import json
from pathlib import Path

import pytest

from twohand_jax import assets, experiments
from twohand_jax.cli import common
from twohand_jax.errors import InputError
from twohand_jax.evaluation import monitors
from twohand_jax.experiments import base
from twohand_jax.experiments.pair_encoder import PairEncoderExperiment
from twohand_jax.experiments.prior import PriorExperiment
from twohand_jax.experiments.regressor import RegressorExperiment
from twohand_jax.train.checkpoint import Checkpoints
from twohand_jax.train.loop import LoopConfig
from twohand_jax.train.optim import OptimConfig
from twohand_jax.weights import native

CONFIGS = Path(__file__).parents[2] / "configs"
SHIPPED = {
    "regressor": assets.REGRESSOR,
    "prior": assets.PRIOR,
    "pair_encoder": assets.PAIR_ENCODER,
    "segdepth": assets.SEGDEPTH,
}


def load(name: str, *changes: str):
    return common.load_config(str(CONFIGS / f"{name}.py"), changes).to_dict()


@pytest.mark.parametrize("name", base.MODULES)
def test_every_kind_is_complete(name):
    kind = base.entry(name)
    assert kind.config.kind == name
    assert name in monitors.MONITORS
    experiment = experiments.parse(native.load_config(SHIPPED[name]))
    assert isinstance(experiment, kind.config)


@pytest.mark.parametrize(
    ("old", "new"), [("features", "pair_encoder"), ("maps", "segdepth"), ("prior",) * 2]
)
def test_configs_of_before_the_names_changed_are_read(old, new, tmp_path):
    config = native.load_config(SHIPPED[new])
    before = {"task": old} | {k: v for k, v in config.items() if k != "experiment"}
    assert experiments.parse(before) == experiments.parse(config)
    (tmp_path / native.CONFIG).write_text(json.dumps(before))
    assert native.load_config(tmp_path) == config
    saved = Checkpoints(tmp_path)  # its run goes on
    saved.agree_on_config(config)
    saved.close()


def test_a_config_that_does_not_say_is_a_regressors():
    assert isinstance(experiments.parse(load("tiny")), RegressorExperiment)


def test_another_kind_is_refused_where_one_is_needed():
    with pytest.raises(InputError, match="'prior', where one of 'pair_encoder'"):
        experiments.parse_as(PairEncoderExperiment, load("prior"))


def test_what_two_sections_share_is_said_once_or_twice_but_not_differently():
    config = load("tiny")
    assert "crop_size" not in config["model"]
    once = experiments.parse_as(RegressorExperiment, config)
    both = {"crop_size": 64, "cells": 4}
    twice = config | {"model": config["model"] | both}
    other = twice | {"crop": {}}
    assert experiments.parse(twice) == experiments.parse(other) == once
    assert once.model.crop_size == once.crop.crop_size == 64
    with pytest.raises(InputError, match="model.crop_size is 32 .*crop_size is 64"):
        experiments.parse(load("tiny", "model.crop_size=32", "model.cells=2"))
    short = load("prior", "diffusion.timesteps=17")
    assert experiments.parse_as(PriorExperiment, short).model.timesteps == 17


def test_what_depends_on_the_machine_is_asked_of_a_run_only(monkeypatch):
    monkeypatch.setattr("jax.device_count", lambda: 8)
    for changes, message in (
        (["train.fsdp=3", "train.batch_size=8"], "fsdp is 3; .* which is 8"),
        (["train.batch_size=12"], "batch_size 12 cannot be split over 8 devices"),
        (["train.total_steps=0"], "total_steps is 0"),
    ):
        experiment = experiments.parse(load("tiny", *changes))
        with pytest.raises(InputError, match=message):
            experiments.run(experiment)
    fine = experiments.parse(load("tiny", "train.fsdp=4", "train.batch_size=16"))
    experiments.check_runnable(fine)


def test_a_section_that_is_left_out_has_its_dataclass_defaults():
    config = load("freihand")
    assert base.defaults(config, ["model", "image"])["depths"] == (3, 4, 6, 3)
    assert base.defaults(config, ["model", "cue"])["depths"] == (2, 2, 2, 2)
    assert base.defaults(config, ["model", "transnet", "resnet"])["width"] == 64
    assert base.defaults(config, ["loss"]) == {}
    assert base.defaults(config, ["losses"]) is None
    assert base.defaults(config, ["model", "cells"]) is None


def test_an_unknown_section_is_named():
    with pytest.raises(
        InputError, match="unknown section 'lose' .*'loss'.*; sections are model"
    ):
        experiments.parse(load("tiny") | {"lose": {}})
    with pytest.raises(InputError, match="config.loss is 3; it must be a section"):
        experiments.parse(load("tiny") | {"loss": 3})


def test_evaluation_can_be_off_unless_its_best_is_kept():
    common_part = {"total_steps": 1, "batch_size": 1, "evaluate_every": 0}
    assert LoopConfig(**common_part).picture_every == 0
    with pytest.raises(InputError, match="best_metric is 'mse' but evaluate_every"):
        LoopConfig(**common_part, best_metric="mse")
    with pytest.raises(InputError, match="schedule is 'square'; .* step or cosine"):
        OptimConfig(schedule="square")
