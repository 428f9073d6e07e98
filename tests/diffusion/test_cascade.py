import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.diffusion import fakes
from tests.inference.priors import random_pairs
from twohand_jax import mano
from twohand_jax.diffusion import cascade, representation, schedule
from twohand_jax.diffusion.cascade import Collision, SampleConfig
from twohand_jax.diffusion.ddim import DdimConfig, PriorParts
from twohand_jax.diffusion.guidance import GuidanceConfig
from twohand_jax.diffusion.representation import (
    OTHER,
    REFERENCE,
    RELATIVE,
    Statistics,
)
from twohand_jax.types import LEFT, RIGHT, HandGeometry

MODEL = mano.load()
RNG = np.random.default_rng(3)
STATISTICS = Statistics(
    mean=jnp.asarray(RNG.normal(0, 0.1, 64), jnp.float32),
    scale=jnp.asarray(RNG.uniform(0.1, 0.3, 64), jnp.float32),
)
FEW = DdimConfig(steps=3)


def prior(denoise):
    return PriorParts(
        denoise=denoise,
        statistics=STATISTICS,
        schedule=schedule.linear(),
        hand_model=MODEL.name,
    )


FORWARD = jax.jit(mano.forward)
UNPACK = jax.jit(representation.unpack_at_origin)


@functools.cache
def vectors(count):
    pack = jax.jit(representation.pack)
    return pack(MODEL, random_pairs(count), jnp.full(count, LEFT))


def test_the_second_hand_is_denoised_given_the_first_ones_normalised_vector():
    """A denoiser that answers with its condition shows what it was given."""
    given = prior(lambda x, t, condition: condition)
    first = vectors(4)[:, REFERENCE]
    key = jax.random.key(0)
    drawn = cascade.draw_second(given, MODEL, key, first, config=SampleConfig(ddim=FEW))
    condition = representation.normalise(first, STATISTICS, hand=REFERENCE)
    expected = representation.denormalise(condition, STATISTICS, hand=OTHER)
    np.testing.assert_allclose(drawn, expected, atol=1e-6)


def test_the_first_hand_is_drawn_without_condition_and_becomes_the_reference():
    given = prior(lambda x, t, condition: condition)
    pairs = cascade.draw_pairs(
        given, MODEL, jax.random.key(0), 3, config=SampleConfig(ddim=FEW)
    )
    alone = cascade.as_reference(jnp.broadcast_to(STATISTICS.mean, (3, 64)))
    np.testing.assert_allclose(pairs[:, REFERENCE], alone, atol=1e-6)


def test_the_released_sampler_starts_both_hands_from_the_same_noise():
    """Without a condition's influence the same noise gives the same pose and shape."""
    own = prior(lambda x, t, condition: 0.5 * x)
    preset = dataclasses.replace(cascade.PRESETS["interhandgen"], energy=None)
    pairs = cascade.draw_pairs(own, MODEL, jax.random.key(0), 4, config=preset)
    np.testing.assert_array_equal(
        pairs[:, OTHER, : RELATIVE.start], pairs[:, REFERENCE, : RELATIVE.start]
    )


def test_first_and_second_hand_come_from_different_noise():
    """A denoiser that answers with the noisy vector keeps the noise."""
    echo = prior(lambda x, t, condition: x)
    pairs = cascade.draw_pairs(
        echo, MODEL, jax.random.key(0), 8, config=SampleConfig(ddim=FEW)
    )
    pose = np.asarray(pairs[..., representation.POSE])
    assert abs(np.corrcoef(pose[:, 0].ravel(), pose[:, 1].ravel())[0, 1]) < 0.3


@pytest.mark.slow
def test_a_hand_drawn_alone_becomes_its_mirror_image_at_the_origin():
    pairs = vectors(5)
    first = cascade.as_reference(pairs[:, OTHER])
    both = UNPACK(MODEL, jnp.stack([first, first], axis=1))
    geometry = FORWARD(MODEL, both)
    mirrored = geometry.vertices[:, RIGHT] * jnp.array([-1.0, 1.0, 1.0])
    np.testing.assert_allclose(geometry.vertices[:, LEFT], mirrored, atol=1e-6)
    np.testing.assert_allclose(geometry.joints[:, LEFT, 9], 0.0, atol=1e-6)
    np.testing.assert_allclose(both.global_orient, 0.0, atol=1e-6)
    kept = slice(0, representation.ROTATION.start)
    np.testing.assert_array_equal(first[:, kept], pairs[:, OTHER, kept])


@pytest.mark.slow
@pytest.mark.parametrize("batch", [(), (2, 1, 4)])
def test_an_energy_of_vectors_sees_the_pair_in_the_prior_frame(batch):
    pairs = vectors(8)[: int(np.prod(batch))].reshape(*batch, 2, 64)
    normal = representation.normalise(pairs, STATISTICS)

    def spread(model, pair: HandGeometry):
        assert pair.vertices.shape == (*batch, 2, 778, 3)
        weights = jnp.arange(1.0, 3.0)[:, None]
        return jnp.sum(weights * pair.joints[..., 8, :] ** 2, axis=(-2, -1))

    @jax.jit
    def energy(first, second):
        return cascade.vectors_of(spread, MODEL, STATISTICS, first)(second)

    seen = FORWARD(MODEL, UNPACK(MODEL, pairs))
    np.testing.assert_allclose(
        energy(pairs[..., REFERENCE, :], normal[..., OTHER, :]),
        spread(MODEL, seen),
        rtol=1e-4,
        atol=1e-7,
    )


def test_the_built_in_energy_is_zero_for_hands_apart_and_not_for_clasped_ones():
    params = fakes.clasped(2)
    params = params._replace(transl=params.transl.at[0, RIGHT, 0].add(1.0))
    found = jax.jit(Collision())(MODEL, FORWARD(MODEL, params))
    assert found[0] == 0.0
    assert found[1] > 0.0


def index_tips(model, pair):
    """Squared distance of the index fingertips, in a unit of 5 cm."""
    offset = (pair.joints[..., RIGHT, 8, :] - pair.joints[..., LEFT, 8, :]) / 0.05
    return jnp.sum(offset**2, axis=-1)


@pytest.mark.slow
def test_guidance_lowers_an_energy_and_the_limit_holds():
    """A denoiser that knows the answer is steered away from it."""
    pairs = vectors(6)
    target = representation.normalise(pairs, STATISTICS)[:, OTHER]
    stubborn = prior(lambda x, t, condition: target)
    first, key = pairs[:, REFERENCE], jax.random.key(0)

    @functools.partial(jax.jit, static_argnums=0)
    def drawn(config):
        found = cascade.draw_second(stubborn, MODEL, key, first, config=config)
        normal = representation.normalise(found, STATISTICS, hand=OTHER)
        energy = cascade.vectors_of(index_tips, MODEL, STATISTICS, first)
        return energy(normal), normal

    def draw(config):
        energy, normal = drawn(config)
        return np.asarray(energy), np.linalg.norm(normal - target, axis=-1)

    free, still = draw(SampleConfig(ddim=FEW))
    np.testing.assert_allclose(still, 0.0, atol=1e-5)
    guidance = GuidanceConfig(last=0.5, limit=0.25)
    guided, moved = draw(SampleConfig(ddim=FEW, energy=index_tips, guidance=guidance))
    assert (guided < free).all()
    assert (moved <= 0.25 + 1e-4).all()
