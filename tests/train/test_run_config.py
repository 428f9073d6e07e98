"""Which fields of a config may change when a run goes on, and which may not."""

import copy
import json

import pytest

from twohand_jax.errors import InputError
from twohand_jax.train import run_config

CONFIG = {
    "train": {"total_steps": 10, "log_every": 5, "save_every": 5, "batch_size": 4},
    "optim": {"schedule": "constant", "learning_rate": 0.1},
    "data": {"train": "a", "test": "a", "workers": 2},
}
RECORDS = {"data.train": "x", "data.test": "y"}


def changed(**fields):
    config = copy.deepcopy(CONFIG)
    for name, value in fields.items():
        section, field = name.split("__")
        config[section][field] = value
    return config


@pytest.fixture
def path(tmp_path):
    run_config.agree(tmp_path / "config.json", CONFIG, RECORDS)
    return tmp_path / "config.json"


@pytest.mark.parametrize(
    "fields",
    [
        {"train__log_every": 1, "train__save_every": 2},
        {"train__total_steps": 11},
        {"data__workers": 8},
        {"data__train": "b"},
    ],
)
def test_what_does_not_change_the_steps_may_change_and_is_told(path, fields, capsys):
    run_config.agree(path, changed(**fields), RECORDS)
    told = capsys.readouterr().err
    assert all(name.replace("__", ".") in told for name in fields)
    assert json.loads(path.read_text()) == changed(**fields)
    run_config.agree(path, changed(**fields), RECORDS)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"optim__learning_rate": 0.2}, r"optim.learning_rate: 0.1 → 0.2\)"),
        ({"train__total_steps": 9}, "10 → 9, but a run can only get longer"),
        ({"train__batch_size": 8}, r"train.batch_size: 4 → 8\)"),
        ({"data__train": [{"directory": "b", "weight": 2.0}]}, "data.train: 'a' →"),
        ({"train__log_every": 1, "optim__learning_rate": 0.2}, r"\(optim.learning"),
    ],
)
def test_others_are_refused_field_by_field_and_nothing_is_written(path, fields, told):
    before = path.read_bytes()
    with pytest.raises(InputError, match=told):
        run_config.agree(path, changed(**fields), RECORDS)
    assert path.read_bytes() == before


def test_data_that_moved_must_be_the_same_records(path):
    with pytest.raises(InputError, match="'a' → 'b', which holds other records"):
        run_config.agree(path, changed(data__train="b"), RECORDS | {"data.train": "z"})
    (path.parent / run_config.RECORDS).unlink()
    with pytest.raises(InputError, match="what records the old place held is not"):
        run_config.agree(path, changed(data__train="b"), RECORDS)


def test_sets_of_a_mixture_may_move_but_not_weigh_otherwise(tmp_path):
    path = tmp_path / "config.json"
    sets = [{"directory": "a", "weight": 1.0}, {"directory": "b", "weight": 2.0}]
    run_config.agree(path, changed(data__train=sets), RECORDS)
    moved = [one | {"directory": f"new/{one['directory']}"} for one in sets]
    run_config.agree(path, changed(data__train=moved), RECORDS)
    with pytest.raises(InputError, match="data.train"):
        run_config.agree(path, changed(data__train=moved[::-1]), RECORDS)


def test_a_cosine_schedule_does_not_get_longer(tmp_path):
    path = tmp_path / "config.json"
    run_config.agree(path, changed(optim__schedule="cosine"), RECORDS)
    with pytest.raises(InputError, match="cosine schedule ends with the run"):
        longer = changed(optim__schedule="cosine", train__total_steps=20)
        run_config.agree(path, longer, RECORDS)
