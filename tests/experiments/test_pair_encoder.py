import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.inference.priors import random_pairs, write_poses
from twohand_jax import experiments, mano
from twohand_jax.cli import main as cli
from twohand_jax.data.poses import PairBatch
from twohand_jax.diffusion import representation
from twohand_jax.errors import InputError
from twohand_jax.evaluation import monitors
from twohand_jax.evaluation.prior.plausibility import TrainedPairEncoder
from twohand_jax.experiments import data, pair_encoder
from twohand_jax.models.apply import Network, Variables

MODEL = mano.load()


@functools.cache
def constants():
    vectors = jnp.asarray(data.pair_vectors(MODEL, random_pairs(8)))
    statistics = representation.compute_statistics(vectors)
    return vectors, pair_encoder.PairEncoderConstants(MODEL, statistics)


def answering(make):
    """A network whose estimate is a function of the surfaces it is shown."""
    return Network(
        init=lambda key: Variables({}, {}),
        apply=lambda variables, seen, train=False: ((None, make(seen)), variables),
    )


def value(make, weight, noise=0.002):
    vectors, known = constants()
    batch = PairBatch(vectors, weight, jnp.arange(len(vectors)))
    compute = pair_encoder.loss(
        answering(make), pair_encoder.PairEncoderLossConfig(noise=noise)
    )
    total, (terms, _) = compute({}, {}, batch, known, jax.random.key(0))
    return float(total), terms["mse"]


@pytest.mark.slow
def test_the_truth_costs_nothing_and_padding_does_not_count():
    vectors, known = constants()
    truth = representation.normalise(vectors, known.statistics).reshape(-1, 128)
    ones = jnp.ones(len(truth))
    assert value(lambda seen: truth, ones)[0] == 0.0
    wrong = truth.at[0].add(1.0)
    assert value(lambda seen: wrong, ones)[0] == pytest.approx(1 / len(truth))
    assert value(lambda seen: wrong, ones.at[0].set(0.0))[0] == 0.0


@pytest.mark.parametrize("noise", [0.0, 0.003])
def test_surfaces_are_those_of_the_prior_frame_with_noise(noise):
    vectors, _ = constants()
    clean = pair_encoder.surfaces(MODEL, vectors)
    np.testing.assert_allclose(
        mano.forward(MODEL, representation.unpack_at_origin(MODEL, vectors)).vertices,
        clean,
    )
    shown = []

    def look(seen):
        shown.append(seen)
        return jnp.zeros((len(seen), 128))

    value(look, jnp.ones(len(vectors)), noise=noise)
    assert float(jnp.std(shown[0] - clean)) == pytest.approx(noise, rel=0.02, abs=1e-9)


def test_the_mean_leaves_everything_unexplained():
    vectors, known = constants()
    mean = answering(lambda seen: jnp.zeros((len(seen), 128)))
    found = monitors.pair_errors(
        mean, Variables({}, {}), vectors=np.asarray(vectors), constants=known
    )
    assert found["unexplained"] == pytest.approx(1.0, abs=0.05)


def test_another_hand_model_is_refused(tmp_path):
    from tests.inference.priors import config

    settings = config("pair_encoder.py", {})
    settings["loss"]["hand"] = "mano-1.2"
    with pytest.raises(InputError, match="'mano-1.2'.*'open-hand-1'"):
        experiments.run(experiments.parse(settings))


@pytest.mark.slow
def test_the_command_trains_a_network_that_loads(tmp_path):
    poses, workdir = write_poses(tmp_path / "poses", 32), tmp_path / "work"
    changes = (
        f"data.train='{poses}'",
        f"data.test='{poses}'",
        "model.widths=(8,)",
        "model.features=4",
        "train.batch_size=16",
        "train.total_steps=4",
        "train.log_every=2",
    )
    words = [word for change in changes for word in ("--set", change)]
    command = [
        "train",
        "--config",
        "configs/pair_encoder.py",
        "--workdir",
        str(workdir),
    ]
    assert cli.main([*command, *words]) == 0
    assert TrainedPairEncoder.load(workdir / "model")(random_pairs(3)).shape == (3, 4)
    assert "eval/unexplained" in (workdir / "metrics.jsonl").read_text()
