import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from twohand_jax import build, mano
from twohand_jax.cli import configs
from twohand_jax.errors import InputError
from twohand_jax.train import optim, state, step
from twohand_jax.types import Batch, Camera, Cues, Targets

FOLDER = Path(__file__).parents[2] / "configs"
FILES = sorted(path.name for path in FOLDER.glob("*.py"))


def abstract_batch(size, canvas):
    """A batch of shapes only."""

    def floats(*shape):
        return jax.ShapeDtypeStruct((size, *shape), jnp.float32)

    def flags(*shape):
        return jax.ShapeDtypeStruct((size, *shape), jnp.bool_)

    targets = Targets(
        camera=Camera(floats(2), floats(2)),
        camera_valid=flags(),
        box=floats(2, 4),
        hand_valid=flags(2),
        joints_2d=floats(2, 21, 2),
        joints_2d_valid=flags(2, 21),
        joints_3d=floats(2, 21, 3),
        joints_3d_valid=flags(2, 21),
        mano=jax.eval_shape(functools.partial(mano.zeros, size)),
        mano_valid=flags(2),
        rel_trans=floats(3),
        rel_trans_valid=flags(),
    )
    label = jax.ShapeDtypeStruct((size, canvas, canvas), jnp.uint8)
    cues = Cues(floats(2, 21, 3), label, floats(canvas, canvas), *[flags()] * 3)
    return Batch(
        canvas=jax.ShapeDtypeStruct((size, canvas, canvas, 3), jnp.uint8),
        T_canvas_image=floats(2, 3),
        cues=cues,
        targets=targets,
        weight=floats(),
        record=jax.ShapeDtypeStruct((size,), jnp.int32),
    )


@pytest.mark.parametrize("name", FILES)
def test_every_config_builds_and_abstractly_runs_one_step(name):
    experiment = build.experiment(configs.load(str(FOLDER / name), []))
    network = build.regressor(experiment.model)
    optimizer = optim.optimizer(experiment.optim)
    key = jax.random.key(0)
    start = jax.eval_shape(lambda k: state.create(network, optimizer, k), key)
    batch = abstract_batch(experiment.train.batch_size, experiment.data.canvas_size)
    advance = step.make(network, optimizer, build.step_config(experiment))
    after, metrics = jax.eval_shape(advance, start, batch, mano.load(), key)
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
        ("model.crop_size=96", "they must be equal"),
    ],
)
def test_a_wrong_change_is_named(change, message):
    with pytest.raises(InputError, match=message):
        build.experiment(configs.load(str(FOLDER / "tiny.py"), [change]))


def test_a_change_reaches_the_object():
    config = configs.load(str(FOLDER / "tiny.py"), ["optim.learning_rate=0.5"])
    assert build.experiment(config).optim.learning_rate == 0.5
    assert build.experiment(config.to_dict()) == build.experiment(config)


def test_a_missing_config_file_is_named():
    with pytest.raises(InputError, match="no config file nowhere.py"):
        configs.load("nowhere.py", [])


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
