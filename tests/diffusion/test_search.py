import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.diffusion import fakes
from twohand_jax.diffusion import representation, search
from twohand_jax.diffusion.guidance import line_of_sight, pair_context
from twohand_jax.diffusion.representation import OTHER, TRANSLATION
from twohand_jax.diffusion.search import SearchConfig
from twohand_jax.errors import InputError
from twohand_jax.types import LEFT, RIGHT

SIGHT = jnp.array([[0.0, 0.0, 1.0], [0.6, 0.8, 0.0]])


def knows(home):
    """A denoiser that is sure where the other hand's middle base is, raw metres."""
    target = (home - fakes.STATISTICS.mean[TRANSLATION]) / fakes.STATISTICS.scale[
        TRANSLATION
    ]

    def denoise(x, t, condition):
        return x.at[..., TRANSLATION].set(target)

    return denoise


def find(denoise, pair, config):
    return search.along_sight(
        denoise, fakes.SCHEDULE, fakes.STATISTICS, pair, SIGHT, config=config
    )


@pytest.fixture
def pair():
    return jnp.zeros((2, 2, 64)).at[:, OTHER, TRANSLATION].set(0.05)


def test_the_place_that_the_prior_knows_is_found_along_the_sight(pair):
    # Both hands are known 50 mm on along their own line of sight.
    home = pair[:, OTHER, TRANSLATION] + 0.05 * SIGHT
    loose = SearchConfig(spread=10.0)
    np.testing.assert_allclose(find(knows(home), pair, loose), 0.05, atol=1e-6)


def test_a_tighter_spread_stays_nearer(pair):
    home = pair[:, OTHER, TRANSLATION] + 0.05 * SIGHT
    shifts = [
        np.abs(find(knows(home), pair, SearchConfig(spread=spread)))
        for spread in (0.002, 0.02, 10.0)
    ]
    assert (shifts[0] < shifts[1]).all() and (shifts[1] <= shifts[2]).all()


def test_a_hand_where_the_prior_knows_it_is_not_moved(pair):
    found = find(knows(pair[0, OTHER, TRANSLATION]), pair, SearchConfig())
    np.testing.assert_allclose(found, 0.0, atol=1e-6)


@pytest.mark.parametrize("reference", [RIGHT, LEFT])
def test_the_line_of_sight_is_the_ray_to_the_hand_in_the_prior_frame(reference):
    prediction = fakes.estimate(fakes.hands(3, seed=4))
    sides = jnp.full(3, reference)
    frame = representation.pair_frame(fakes.hand_model(), prediction.mano, sides)
    sight = line_of_sight(pair_context(prediction, sides, frame))
    base = prediction.geometry.joints[:, 1 - reference, 9]
    ray = base / jnp.linalg.norm(base, axis=-1, keepdims=True)
    ends = representation.to_prior(
        jnp.stack([base, base + 0.1 * ray], axis=1), sides, frame
    )
    np.testing.assert_allclose((ends[:, 1] - ends[:, 0]) / 0.1, sight, atol=1e-5)
    np.testing.assert_allclose(jnp.linalg.norm(sight, axis=-1), 1.0, atol=1e-6)


@pytest.mark.parametrize(
    "wrong", [{"reach": -0.1}, {"spread": 0.0}, {"places": 0}, {"levels": ()}]
)
def test_a_search_that_compares_nothing_is_refused(wrong):
    with pytest.raises(InputError, match="SearchConfig|at least one"):
        SearchConfig(**wrong)


def test_the_search_is_the_same_under_jit(pair):
    home = pair[:, OTHER, TRANSLATION] + 0.05 * SIGHT
    plain = find(knows(home), pair, SearchConfig())
    compiled = jax.jit(lambda p: find(knows(home), p, SearchConfig()))(pair)
    np.testing.assert_allclose(plain, compiled, atol=1e-6)
