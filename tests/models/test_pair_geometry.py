"""Where hands given as vectors are, for the prior's network."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.diffusion import fakes
from tests.inference.priors import random_pairs
from twohand_jax import mano
from twohand_jax.diffusion import representation
from twohand_jax.models import apply, pair_geometry
from twohand_jax.models.denoiser import ResidualDenoiser, ResidualDenoiserConfig
from twohand_jax.types import LEFT, RIGHT

MODEL = mano.load()
SKELETON = pair_geometry.skeleton(MODEL)
MEAN, SCALE = fakes.STATISTICS
POSED = jax.jit(
    lambda pairs: mano.forward(MODEL, representation.unpack_at_origin(MODEL, pairs))
)


@jax.jit
def features_of(clean, condition):
    geometry = pair_geometry.PairGeometry()
    for name, value in SKELETON._asdict().items():
        getattr(geometry, name)[...] = value
    return geometry(clean, condition, MEAN, SCALE)


@pytest.fixture(scope="module")
def pairs():
    pack = jax.jit(representation.pack)
    return pack(MODEL, random_pairs(5), jnp.full(5, LEFT))


@pytest.mark.parametrize("side", [RIGHT, LEFT])
def test_joints_are_those_of_the_hand_model(pairs, side):
    vectors = pairs[:, 1 - side]  # the reference, a left hand, comes first
    found = jax.jit(pair_geometry.joints, static_argnums=1)(SKELETON, side, vectors)
    np.testing.assert_allclose(found, POSED(pairs).joints[:, side], atol=1e-6)


@pytest.mark.slow
def test_the_slopes_lead_out_of_the_other_hand(pairs):
    """Against them, the skeletons' nearness falls."""
    clean, condition = ((pairs[:, k] - MEAN) / SCALE for k in (1, 0))
    clean = clean.at[:, 61:].set(-MEAN[61:] / SCALE[61:])  # in the same place

    def nearness(clean):
        features = features_of(clean, condition)
        kernel = features[:, 1 + 126 : 1 + 126 + 441]
        return jnp.sum(kernel), features

    before, features = nearness(clean)
    assert features.shape == (5, pair_geometry.PairGeometry.width(64))
    slope = features[:, -64:]
    after, _ = nearness(clean - 0.05 * slope)
    assert float(after) < 0.9 * float(before)


@pytest.mark.slow
def test_without_a_condition_only_the_hand_itself_is_seen(pairs):
    clean = (pairs[:, 1] - MEAN) / SCALE
    features = features_of(clean, jnp.zeros_like(clean))
    alone = 1 + 63
    assert np.all(np.asarray(features[:, 0]) == 0)
    assert np.any(np.asarray(features[:, 1:alone]) != 0)
    assert np.all(np.asarray(features[:, alone:]) == 0)


@pytest.mark.parametrize("geometry", [True, False])
@pytest.mark.slow
def test_a_denoiser_begins_at_the_share_that_it_keeps(geometry):
    """Untrained, it adds nothing; gradients reach its blocks after one step."""
    config = ResidualDenoiserConfig(
        width=16, residual_blocks=2, embedding=8, geometry=geometry
    )
    network = apply.network(lambda rngs: ResidualDenoiser(config, rngs=rngs))
    variables = network.init(jax.random.key(0))
    stats = dict(variables.batch_stats) | {"keep": jnp.linspace(1.0, 0.0, 129)}
    variables = variables._replace(batch_stats=stats)
    x = jax.random.normal(jax.random.key(1), (3, 64))
    t = jnp.array([0, 64, 128])
    found, _ = jax.jit(network.apply)(variables, x, t, jnp.ones_like(x))
    np.testing.assert_allclose(found, jnp.array([[1.0], [0.5], [0.0]]) * x, atol=1e-6)
