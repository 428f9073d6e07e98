import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import twohand_jax
from tests.inference.priors import random_pairs, write_features, write_prior
from tests.programs import forward
from twohand_jax import assets
from twohand_jax.diffusion.cascade import Collision, SampleConfig
from twohand_jax.diffusion.ddim import DdimConfig
from twohand_jax.errors import InputError
from twohand_jax.inference.prior import Prior
from twohand_jax.types import LEFT, RIGHT

FEW = SampleConfig(ddim=DdimConfig(steps=2))


@pytest.fixture(scope="module")
def prior(tmp_path_factory):
    return Prior.load(write_prior(tmp_path_factory.mktemp("prior")))


def test_the_prior_is_part_of_the_public_face():
    assert twohand_jax.Prior is Prior


def test_the_key_decides_the_samples(prior):
    first = prior.sample(jax.random.key(1), 4, config=FEW)
    again = prior.sample(jax.random.key(1), 4, config=FEW)
    other = prior.sample(jax.random.key(2), 4, config=FEW)
    jax.tree.map(np.testing.assert_array_equal, first, again)
    assert np.abs(np.asarray(first.betas - other.betas)).min(axis=(1, 2)).max() > 0
    assert first.hand_pose.shape == (4, 2, 15, 3)


def test_references_alternate_and_lie_at_the_origin(prior):
    params = prior.sample(jax.random.key(1), 4, config=FEW)
    joints = forward(prior.model, params).joints
    for number, side in enumerate((RIGHT, LEFT, RIGHT, LEFT)):
        np.testing.assert_allclose(joints[number, side, 9], 0.0, atol=1e-6)
        np.testing.assert_allclose(params.global_orient[number, side], 0.0, atol=1e-6)
        assert np.linalg.norm(joints[number, 1 - side, 9]) > 1e-3


@pytest.mark.parametrize("batch", [(), (3,), (2, 1, 4)])
@pytest.mark.slow
def test_a_second_hand_leaves_the_first_as_it_is(prior, batch):
    params = random_pairs(*batch)
    sides = np.random.default_rng(0).integers(0, 2, batch)
    drawn = prior.sample_second(jax.random.key(3), params, sides, config=FEW)
    kept = np.arange(2) == sides[..., None]
    for old, new in zip(params, drawn, strict=True):
        np.testing.assert_array_equal(old[kept], np.asarray(new)[kept])
        assert np.isfinite(new).all()
        assert (old[~kept] != np.asarray(new)[~kept]).any()


def test_a_second_hand_does_not_depend_on_the_one_it_replaces(prior):
    params, strangers = random_pairs(2), random_pairs(2, seed=9)
    sides = jnp.array([RIGHT, LEFT])
    kept = np.arange(2) == np.asarray(sides)[:, None]
    changed = jax.tree.map(
        lambda a, b: np.where(kept.reshape(kept.shape + (1,) * (a.ndim - 2)), a, b),
        params,
        strangers,
    )
    key = jax.random.key(3)
    first = prior.sample_second(key, params, sides, config=FEW)
    second = prior.sample_second(key, changed, sides, config=FEW)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), first, second
    )


def test_a_second_hand_goes_along_with_the_first(prior):
    """Moving the reference in the camera moves the pair, rigidly."""
    params, shift = random_pairs(3), np.array([0.1, -0.2, 0.3], np.float32)
    moved = params._replace(transl=params.transl + shift)
    sides, key = jnp.array([RIGHT, LEFT, LEFT]), jax.random.key(3)
    here = prior.sample_second(key, params, sides, config=FEW)
    there = prior.sample_second(key, moved, sides, config=FEW)
    np.testing.assert_allclose(there.transl, here.transl + shift, atol=1e-5)


@pytest.mark.slow
def test_guided_samples_are_finite_and_reproducible(prior):
    walk = dataclasses.replace(FEW, energy=Collision())
    params = prior.sample(jax.random.key(1), 2, config=walk)
    again = prior.sample(
        jax.random.key(1), 2, config=dataclasses.replace(FEW, energy=Collision())
    )
    assert all(np.isfinite(leaf).all() for leaf in params)
    jax.tree.map(np.testing.assert_array_equal, params, again)


@pytest.mark.slow
def test_denoise_is_a_function_of_the_variables(prior):
    x = jax.random.normal(jax.random.key(0), (2, 3, 64))
    none = jnp.zeros((2, 3, 64))
    found = prior.denoise(prior.variables, x, jnp.int32(5), none)
    one = prior.denoise(prior.variables, x[1, 2], jnp.int32(5), none[1, 2])
    np.testing.assert_allclose(found[1, 2], one, atol=1e-5)
    zero = jax.tree.map(jnp.zeros_like, prior.variables)
    np.testing.assert_array_equal(prior.denoise(zero, x, jnp.int32(5), none), 0.0)


def test_a_prior_of_another_hand_model_is_refused_with_both_names(tmp_path):
    source = write_prior(tmp_path / "prior", hand="mano-1.2")
    with pytest.raises(InputError, match="'mano-1.2'.*'open-hand-1'"):
        Prior.load(source)


def test_a_directory_of_another_kind_is_refused(tmp_path):
    source = write_features(tmp_path / "features")
    with pytest.raises(InputError, match="experiment 'pair_encoder'.*'prior'"):
        Prior.load(source)


def test_an_installation_without_prior_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(assets, "PRIOR", tmp_path / "nothing")
    with pytest.raises(InputError, match="ships no prior"):
        Prior.load()


@pytest.mark.parametrize("count", [0, -3])
def test_no_samples_are_refused(prior, count):
    with pytest.raises(InputError, match="at least 1"):
        prior.sample(jax.random.key(0), count)


def test_a_prior_first_used_inside_a_trace_is_whole_afterwards(tmp_path):
    fresh = Prior.load(write_prior(tmp_path / "prior"))
    x, none = jnp.ones((2, 64)), jnp.zeros((2, 64))
    traced = jax.jit(lambda x: fresh.parts.denoise(x, jnp.int32(3), none))(x)
    steps = jax.jit(lambda x: x + fresh.schedule.betas.sum())(x)
    plain = fresh.parts.denoise(x, jnp.int32(3), none)
    np.testing.assert_allclose(traced, plain, atol=1e-5)
    assert not any(
        isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(fresh.parts)
    )
    np.testing.assert_allclose(steps[0, 0], 1 + fresh.schedule.betas.sum(), rtol=1e-6)


@pytest.mark.slow
def test_a_prior_is_an_argument_of_jit(prior):
    key = jax.random.key(1)
    closed = jax.jit(lambda key: prior.sample(key, 2, config=FEW))(key)
    given = jax.jit(lambda prior, key: prior.sample(key, 2, config=FEW))(prior, key)
    plain = prior.sample(key, 2, config=FEW)
    for found in (closed, given):
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4), found, plain
        )
    doubled = jax.tree.map(lambda leaf: 2 * leaf, prior)
    assert doubled.settings == prior.settings and doubled.network is prior.network
