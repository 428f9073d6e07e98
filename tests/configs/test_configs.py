import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from twohand_jax import experiments
from twohand_jax.cli import common, main
from twohand_jax.errors import InputError
from twohand_jax.train import optim, state, step

FOLDER = Path(__file__).parents[2] / "configs"
ARGUMENTS = {  # of the files that take one
    "paper.py": ("baseline",),
    "prior.py": ("apart", "paper"),
}
EXPERIMENTS = [
    f"{path.name}:{argument}" if argument else path.name
    for path in sorted(FOLDER.glob("*.py"))
    for argument in ("", *ARGUMENTS.get(path.name, ()))
]


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name == "tiny.py" else pytest.mark.slow)
        for name in EXPERIMENTS
    ],
)
@pytest.mark.slow
def test_every_config_builds_and_abstractly_runs_one_step(name):
    config = common.load_config(str(FOLDER / name), []).to_dict()
    outline = experiments.outline(experiments.parse(json.loads(json.dumps(config))))
    optimizer = optim.optimizer(outline.optim)
    key = jax.random.key(0)
    start = jax.eval_shape(lambda k: state.create(outline.network, optimizer, k), key)
    advance = step.make(outline.loss, optimizer, ema_decay=outline.optim.ema_decay)
    number = jax.ShapeDtypeStruct((), jnp.int32)
    after, metrics = jax.eval_shape(
        advance, start, outline.batch, outline.constants, key, number
    )
    same = jax.tree.map(
        lambda a, b: (a.shape, a.dtype) == (b.shape, b.dtype), start, after
    )
    assert all(jax.tree.leaves(same))
    assert all(value.shape == () for value in metrics.values())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("modle.width=3", "no section 'modle'"),
        ("model.widht=3", "no field 'widht'"),
        ("train.batch_size='many'", "expected int"),
        ("train.batch_size", "must read section.field=value"),
        ("model.crop_size=96", "cells is 4, but image .* makes 6"),
        ("model.crop_size=64 crop.crop_size=96", "they must be equal"),
    ],
)
def test_a_wrong_change_is_named(change, message):
    with pytest.raises(InputError, match=message):
        experiments.parse(common.load_config(str(FOLDER / "tiny.py"), change.split()))


def test_a_change_reaches_the_object():
    config = common.load_config(str(FOLDER / "tiny.py"), ["optim.learning_rate=0.5"])
    assert experiments.parse(config).optim.learning_rate == 0.5
    assert experiments.parse(config.to_dict()) == experiments.parse(config)


def test_a_missing_config_file_is_named():
    with pytest.raises(InputError, match="no config file nowhere.py.*config: ablation"):
        common.load_config("nowhere.py", [])


def test_a_shipped_config_has_a_name_everywhere(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("tiny", "prior:paper"):
        file = name.replace(":", ".py:") if ":" in name else f"{name}.py"
        wanted = common.load_config(str(FOLDER / file), [])
        assert common.load_config(name, []).to_dict() == wanted.to_dict()
    with pytest.raises(SystemExit) as end:
        main.main(["train", "--list-configs"])
    listed = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()]
    assert end.value.code == 0
    assert {name for name, _ in listed} == {path.stem for path in FOLDER.glob("*.py")}


def test_schedules_reach_their_documented_values():
    cosine = optim.schedule(
        optim.OptimConfig(
            learning_rate=1.0, schedule="cosine", total_steps=110, warmup_steps=10
        )
    )
    np.testing.assert_allclose(
        [cosine(0), cosine(5), cosine(10), cosine(60), cosine(110)],
        [0.0, 0.5, 1.0, 0.5, 0.0],
        atol=1e-6,
    )
    steps = optim.schedule(
        optim.OptimConfig(learning_rate=1.0, milestones=(4,), warmup_steps=2)
    )
    np.testing.assert_allclose([steps(1), steps(3), steps(5)], [0.5, 1.0, 0.1])
    with pytest.raises(ValueError, match="constant, step or cosine"):
        optim.schedule(optim.OptimConfig(schedule="square"))
