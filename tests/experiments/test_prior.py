"""The prior's loss, with networks that answer what a test can foresee."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.diffusion import fakes
from twohand_jax.data.poses import PairBatch
from twohand_jax.diffusion import representation, schedule
from twohand_jax.errors import InputError
from twohand_jax.experiments import prior
from twohand_jax.experiments.prior import PriorConstants, PriorLossConfig
from twohand_jax.models.apply import Network
from twohand_jax.types import LEFT

COUNT = 32
NOISE = schedule.cosine(9)


@pytest.fixture(scope="module")
def batch():
    vectors = jax.random.normal(jax.random.key(5), (COUNT, 2, 64))
    raw = representation.denormalise(vectors, fakes.STATISTICS)
    weight = jnp.ones(COUNT).at[0].set(0.0)
    return PairBatch(raw, weight, jnp.arange(COUNT))


def evaluate(batch, answer, params=None, **settings):
    """Loss and terms of a network that answers ``answer(params, x, condition)``."""

    def apply(variables, x, t, condition, *, train):
        return answer(variables.params, x, condition), variables

    compute = prior.loss(Network(lambda key: None, apply), PriorLossConfig(**settings))
    constants = PriorConstants(fakes.hand_model(), fakes.STATISTICS, NOISE)

    def total(params):
        found, (terms, _) = compute(params, {}, batch, constants, jax.random.key(1))
        return found, terms

    return total(params), jax.grad(lambda given: total(given)[0])


def nothing(params, x, condition):
    return jnp.zeros_like(x)


def test_the_error_is_that_of_the_other_hand_over_rows_with_weight(batch):
    (total, terms), _ = evaluate(batch, nothing)
    other = representation.normalise(batch.vectors, fakes.STATISTICS)[1:, 1]
    np.testing.assert_allclose(total, jnp.mean(other**2), rtol=1e-5)
    np.testing.assert_allclose(terms["mse"].value(), total, rtol=1e-6)


def test_velocities_weigh_errors_by_the_noise_s_variance(batch):
    (total, _), _ = evaluate(batch, nothing, weighting="velocity", floor=0.2)
    t = prior.antithetic(jax.random.split(jax.random.key(1), 4)[0], COUNT, 9)
    variance = np.maximum(1.0 - np.asarray(NOISE.alphas_cumprod)[t], 0.2)
    other = representation.normalise(batch.vectors, fakes.STATISTICS)[:, 1]
    wanted = (jnp.mean(other**2, axis=-1) / variance)[1:]
    np.testing.assert_allclose(total, jnp.mean(wanted), rtol=1e-5)


def test_some_samples_go_without_their_condition(batch):
    """Each answer of 100 says that there was no condition."""

    def blind(params, x, condition):
        return jnp.where((condition == 0).all(-1, keepdims=True), 100.0, x * 0)

    for share, least, most in ((0.0, 0.0, 0.1), (0.5, 0.2, 0.8), (1.0, 0.99, 1.1)):
        (total, _), _ = evaluate(batch, blind, unconditional=share)
        assert least <= float(total) / 1e4 <= most


def test_the_anchor_is_denoised_without_condition_and_without_its_placement(batch):
    """METHOD §5: the reference hand's last nine numbers are out of the loss."""

    def answer(params, x, condition):
        alone = (condition == 0).all(-1, keepdims=True)
        return jnp.where(alone, params, 0.0) * jnp.ones_like(x)

    config = {"branch": "anchor", "unconditional": 0.0}
    (total, terms), gradient = evaluate(batch, answer, jnp.zeros(64), **config)
    reference, other = jnp.moveaxis(
        representation.normalise(batch.vectors, fakes.STATISTICS)[1:], 1, 0
    )
    np.testing.assert_allclose(
        terms["alone"].value(), jnp.mean(reference[:, :55] ** 2), rtol=1e-5
    )
    wanted = jnp.mean(reference[:, :55] ** 2) + jnp.mean(other**2)
    np.testing.assert_allclose(total, wanted, rtol=1e-5)
    slope = gradient(jnp.zeros(64))
    np.testing.assert_allclose(slope[:55], -2 * reference[:, :55].mean(0) / 55, 1e-3)
    assert np.all(np.asarray(slope[55:]) == 0.0)


def test_the_anchor_s_branch_and_a_share_exclude_each_other():
    with pytest.raises(InputError, match="unconditional is 0.2.*'anchor'"):
        PriorLossConfig(branch="anchor", unconditional=0.2)


@pytest.fixture(scope="module")
def clasped():
    """Pairs that run into each other, as the data would have them."""
    model = fakes.hand_model()
    hands = fakes.clasped(COUNT, gap=0.02)
    vectors = representation.pack(model, hands, jnp.full(COUNT, LEFT))
    return PairBatch(vectors, jnp.ones(COUNT), jnp.arange(COUNT))


def test_the_depth_of_the_estimate_in_the_reference_is_part_of_the_loss(clasped):
    """The answer is the truth moved by ``params`` metres out of the palm."""
    truth = representation.normalise(clasped.vectors, fakes.STATISTICS)[:, 1]
    away = jnp.zeros(64).at[62].set(1 / fakes.STATISTICS.scale[62])

    def moved(params, x, condition):
        return truth + params * away

    losses = [
        evaluate(clasped, moved, params, collision=1.0, unconditional=0.0)[0][1]
        for params in (0.0, 0.1)
    ]
    inside, outside = (float(terms["collision"].value()) for terms in losses)
    assert inside > 10 * outside


def test_only_rows_with_weight_and_condition_count_as_collisions(clasped):
    truth = representation.normalise(clasped.vectors, fakes.STATISTICS)[:, 1]
    (_, terms), _ = evaluate(
        clasped, lambda params, x, condition: truth, collision=1.0, unconditional=1.0
    )
    assert terms["collision"].count == 0
