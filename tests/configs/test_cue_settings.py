"""What configs say of cues: names, what is refused, and how older ones said it."""

import json
from typing import Any

import pytest
from ml_collections import ConfigDict

from tests.train.runs import ROOT
from twohand_jax import experiments
from twohand_jax.cli import common
from twohand_jax.errors import InputError
from twohand_jax.experiments.regressor import RegressorExperiment

TINY = str(ROOT / "configs" / "tiny.py")
ALL = ("keypoints", "segmentation", "depth")


def experiment(**changes: Any) -> RegressorExperiment:
    """configs/tiny.py with fields replaced, given as ``section__field``."""
    config = common.load_config(TINY, []).to_dict()
    for name, value in changes.items():
        section, field = name.split("__")
        config[section][field] = value
    return experiments.parse_as(RegressorExperiment, config)


@pytest.mark.parametrize("stored", [False, True], ids=["config", "JSON"])
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"model__cues": (True, True, True)}, {"model__cues": ALL}),
        (
            {"model__cues": (True, False, True)},
            {"model__cues": ("keypoints", "depth")},
        ),
        ({"model__cues": (False, False, False)}, {"model__cues": ()}),
        (
            {"augment__cue_dropout": (0.2, 0, 0.5)},
            {"augment__cue_dropout": {"keypoints": 0.2, "depth": 0.5}},
        ),
        ({"augment__cue_dropout": (0.0, 0.0, 0.0)}, {"augment__cue_dropout": {}}),
        (
            {"crop__gate_keypoints": False, "crop__gate_segmentation": False},
            {"crop__gate": ()},
        ),
        (
            {"crop__gate_keypoints": True, "crop__gate_segmentation": False},
            {"crop__gate": ("keypoints",)},
        ),
        ({"crop__gate_keypoints": False}, {"crop__gate": ("segmentation",)}),
        ({"crop__gate_segmentation": True}, {"crop__gate": ALL[:2]}),
    ],
    ids=lambda change: " ".join(f"{name}={value}" for name, value in change.items()),
)
def test_older_configs_load_as_today_s(old, new, stored):
    """They told cues by their place: keypoints, segmentation, depth."""
    expected = experiment(**new)
    if stored:
        old = json.loads(json.dumps(old))
    assert experiment(**old) == expected


def test_an_older_config_is_not_changed_where_it_stands():
    config = ConfigDict(common.load_config(TINY, []).to_dict())
    config.model.cues = (True, False, False)
    config.crop.gate_keypoints = False
    before = config.to_json()
    assert experiments.parse_as(RegressorExperiment, config).model.cues == (
        "keypoints",
    )
    assert experiments.parse_as(RegressorExperiment, config).crop.gate == (
        "segmentation",
    )
    assert config.to_json() == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model__cues": ("flow",)}, "model.cues names the cue 'flow'; cues are"),
        ({"model__cues": ALL[::-1]}, "each cue stands once, in the order ('keypoints'"),
        ({"model__cues": ("depth", "depth")}, "each cue stands once, in the order"),
        (
            {"model__cues": (True, True)},
            "config.model.cues[0] is True, of type bool; expected str",
        ),
        (
            {"augment__cue_dropout": {"flow": 0.1}},
            "augment.cue_dropout names the cue 'flow'; cues are",
        ),
        (
            {"augment__cue_dropout": {"depth": "often"}},
            "config.augment.cue_dropout.depth is 'often', of type str; expected float",
        ),
        ({"augment__cue_dropout": 0.2}, "expected a mapping of names to float."),
        ({"crop__gate": ("flow",)}, "crop.gate names the cue 'flow'; cues are"),
        ({"crop__gate": ("depth",)}, "crop.gate names the cue 'depth'; cues are key"),
    ],
    ids=str,
)
def test_wrong_names_and_orders_are_refused_in_one_sentence(changes, message):
    with pytest.raises(InputError) as refused:
        experiment(**changes)
    sentence = str(refused.value)
    assert message in sentence
    assert "\n" not in sentence and sentence.endswith(".")


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ("model.cues=('depth',)", {"cues": ("depth",)}),
        ("model.cues=(True, False, False)", {"cues": ("keypoints",)}),
        ("augment.cue_dropout={'depth': 0.3}", {"dropout": {"depth": 0.3}}),
        ("augment.cue_dropout={}", {"dropout": {}}),
        ("augment.cue_dropout=(0.0, 0.5, 0.0)", {"dropout": {"segmentation": 0.5}}),
        ("crop.gate=()", {"gate": ()}),
    ],
)
def test_a_change_on_the_command_line_reaches_the_experiment(change, found):
    made = experiments.parse_as(RegressorExperiment, common.load_config(TINY, [change]))
    told = {
        "cues": made.model.cues,
        "dropout": made.augment.cue_dropout,
        "gate": made.crop.gate,
    }
    assert {name: told[name] for name in found} == found
