"""Estimates as evidence: what each number of a hand is trusted for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.diffusion import fakes
from twohand_jax.diffusion import evidence, representation
from twohand_jax.diffusion.ddim import DdimConfig
from twohand_jax.diffusion.evidence import EvidenceConfig
from twohand_jax.diffusion.representation import OTHER, RELATIVE, TRANSLATION
from twohand_jax.errors import InputError
from twohand_jax.models import pair_geometry
from twohand_jax.types import LEFT, RIGHT

MODEL = fakes.hand_model()
SKELETON = pair_geometry.skeleton(MODEL)
STATISTICS = fakes.STATISTICS
SIGHT = jnp.broadcast_to(jnp.array([0.0, 0.0, 1.0]), (4, 3))
SEEN = jnp.ones((4, 21))


@pytest.fixture(scope="module")
def hands():
    """Normalised other hands: true ones, and the same with errors."""
    pairs = representation.pack(MODEL, fakes.hands(4), jnp.full(4, LEFT))
    true = representation.normalise(pairs, STATISTICS)[:, OTHER]
    return true, true + 0.1 * jax.random.normal(jax.random.key(1), true.shape)


def agree(estimate, clean, variance, *, weight=SEEN, **settings):
    config = EvidenceConfig(**settings)
    seen = evidence.gather(SKELETON, STATISTICS, estimate, SIGHT, weight, config=config)
    found = evidence.agreement(SKELETON, STATISTICS, seen, config=config)
    return found(clean, jnp.float32(variance))


def joints(vectors):
    raw = representation.denormalise(vectors, STATISTICS, hand=OTHER)
    return pair_geometry.joints(SKELETON, RIGHT, raw)


def distance_mm(a, b):
    return 1e3 * float(jnp.mean(jnp.linalg.norm(joints(a) - joints(b), axis=-1)))


@pytest.mark.slow
def test_a_sure_prior_is_not_moved_and_an_unsure_one_follows_the_estimate(hands):
    true, estimate = hands
    assert distance_mm(estimate, true) > 5.0
    assert distance_mm(agree(estimate, true, 1e-8), true) < 0.01
    assert distance_mm(agree(estimate, true, 1e4), estimate) < 0.5


def test_between_them_it_is_nearer_to_whom_is_trusted_more(hands):
    true, estimate = hands
    loose = agree(estimate, true, 0.01, joints=0.05, rotation=1.0, across=0.05)
    tight = agree(estimate, true, 0.01, joints=0.003, rotation=0.03, across=0.002)
    assert distance_mm(loose, true) < distance_mm(tight, true)
    assert distance_mm(tight, estimate) < distance_mm(loose, estimate)


def test_joints_that_were_not_seen_are_the_prior_s(hands):
    """The estimate's index finger is elsewhere, but nobody saw it."""
    true, _ = hands
    raw = representation.denormalise(true, STATISTICS, hand=OTHER)
    flat = raw[:, :45] @ MODEL.pose_components[RIGHT]
    bent = flat.at[:, :9].add(0.5)  # three joints of the index finger
    pose = bent @ jnp.linalg.inv(MODEL.pose_components[RIGHT])
    estimate = representation.normalise(
        jnp.stack([raw, raw.at[:, :45].set(pose)], axis=1), STATISTICS
    )[:, OTHER]
    hidden = SEEN.at[:, 6:9].set(0.0)
    assert distance_mm(agree(estimate, true, 1.0), true) > 1.0
    assert distance_mm(agree(estimate, true, 1.0, weight=hidden), true) < 0.3


def test_places_are_trusted_less_along_the_line_of_sight(hands):
    true, _ = hands
    shift = jnp.full(3, 0.02) / STATISTICS.scale[TRANSLATION]
    estimate = true.at[:, TRANSLATION].add(shift)
    found = agree(estimate, true, 0.01, across=0.005, along=0.05)
    moved = (found - true)[:, TRANSLATION] * STATISTICS.scale[TRANSLATION]
    np.testing.assert_allclose(moved[:, 0], moved[:, 1], rtol=1e-4)
    assert np.all(np.asarray(moved[:, 2]) < 0.3 * np.asarray(moved[:, 0]))
    variance = 0.01 * float(STATISTICS.scale[TRANSLATION.start]) ** 2
    wanted = 0.02 * variance / (variance + 0.005**2)
    np.testing.assert_allclose(moved[:, 0], wanted, rtol=1e-3)


def test_what_the_denoiser_knows_and_what_was_seen_come_together(hands):
    """A denoiser that always answers with a hand which the evidence contradicts."""
    true, estimate = hands
    prior = fakes.prior(lambda x, t, condition: jnp.broadcast_to(estimate, x.shape))
    config = EvidenceConfig(joints=0.003, rotation=0.03, across=0.002, along=0.002)
    seen = evidence.gather(SKELETON, STATISTICS, true, SIGHT, SEEN, config=config)
    found = evidence.restore(
        prior,
        true,
        jnp.zeros_like(true),
        config=DdimConfig(steps=5, horizon=80),
        agree=evidence.agreement(SKELETON, STATISTICS, seen, config=config),
        change=lambda clean, step: clean,
    )
    assert 0 < distance_mm(found, estimate) < distance_mm(true, estimate)
    assert 0 < distance_mm(found, true) < distance_mm(true, estimate)


def test_changes_come_after_the_evidence(hands):
    true, estimate = hands
    found = evidence.restore(
        fakes.prior(),
        estimate,
        jnp.zeros_like(true),
        config=DdimConfig(steps=3, horizon=80),
        agree=lambda clean, variance: clean,
        change=lambda clean, step: true,
    )
    np.testing.assert_allclose(found, true, atol=1e-5)


def test_numbers_no_hand_can_have_stay_finite(hands):
    true, _ = hands
    wild = 30.0 * true
    found = agree(wild, true, 0.5)
    assert bool(jnp.isfinite(found).all())
    assert found.shape == (4, RELATIVE.stop)


@pytest.mark.parametrize("name", ["joints", "rotation", "across", "along"])
@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_what_is_no_length_is_refused(name, value):
    with pytest.raises(InputError, match=f"EvidenceConfig.{name} is"):
        EvidenceConfig(**{name: value})
