import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.diffusion import fakes
from twohand_jax.diffusion.guidance import GuidanceConfig, by_energy, step_sizes
from twohand_jax.diffusion.representation import TRANSLATION, Statistics
from twohand_jax.errors import InputError

DEFAULT = GuidanceConfig()
OTHERS = TRANSLATION.start


def test_step_sizes_of_the_paper():
    sizes = np.asarray(step_sizes(42, fakes.STATISTICS, "variance", config=DEFAULT))
    np.testing.assert_allclose(sizes[0], 0.093, rtol=2e-3)
    np.testing.assert_allclose(sizes[1:, -1] / sizes[:-1, -1], 1 / 0.9, rtol=1e-5)
    np.testing.assert_allclose(sizes[-1, TRANSLATION], 7.0)
    np.testing.assert_allclose(sizes[-1, :OTHERS], 0.7, rtol=1e-6)
    np.testing.assert_allclose(sizes[-2, :OTHERS], 6.3, rtol=1e-6)


def test_raw_steps_do_not_depend_on_the_kind_of_statistics():
    """One descent step moves a raw vector as far with either normalisation."""
    std = fakes.STATISTICS
    variance = Statistics(std.mean, std.scale**2)
    raw = jax.random.normal(jax.random.key(0), (64,))
    moves = []
    for statistics, kind in ((std, "std"), (variance, "variance")):

        def energy(clean, statistics=statistics):
            return jnp.sum(jnp.sin(clean * statistics.scale + statistics.mean))

        sizes = step_sizes(3, statistics, kind, config=DEFAULT)
        clean = (raw - statistics.mean) / statistics.scale
        moved = by_energy(energy, sizes)(clean, jnp.array(1))
        moves.append((moved - clean) * statistics.scale)
    np.testing.assert_allclose(moves[0], moves[1], rtol=2e-3, atol=1e-6)


def test_a_step_descends_each_sample_alone():
    sizes = jnp.full((1, 64), 0.1)
    clean = jax.random.normal(jax.random.key(0), (3, 64))

    def energy(x):
        return jnp.sum(x**2, axis=-1)

    moved = by_energy(energy, sizes)(clean, jnp.array(0))
    np.testing.assert_allclose(moved, 0.8 * clean, rtol=1e-5)
    broken = by_energy(energy, sizes)(clean.at[1].set(jnp.nan), jnp.array(0))
    np.testing.assert_array_equal(broken[::2], moved[::2])


def test_the_limit_shortens_and_keeps_the_direction():
    sizes = jnp.ones((1, 64))
    direction = jax.random.normal(jax.random.key(0), (64,))
    start = jnp.zeros(64)

    def moved(scale, limit):
        change = by_energy(lambda x: scale * jnp.dot(x, direction), sizes, limit=limit)
        return change(start, jnp.array(0))

    long = moved(1e6, 0.5)
    np.testing.assert_allclose(jnp.linalg.norm(long), 0.5, rtol=1e-5)
    np.testing.assert_allclose(
        long / 0.5, -direction / jnp.linalg.norm(direction), rtol=1e-4, atol=1e-6
    )
    np.testing.assert_allclose(moved(1e-4, 0.5), moved(1e-4, None))
    np.testing.assert_array_equal(moved(0.0, 0.5), start)


@pytest.mark.parametrize(
    "settings",
    [
        {"last": -1.0},
        {"last": float("inf")},
        {"others_at_last": -0.1},
        {"ratio": 0.0},
        {"ratio": 1.5},
        {"limit": 0.0},
    ],
)
def test_impossible_step_sizes_are_refused(settings):
    with pytest.raises(InputError, match=next(iter(settings))):
        GuidanceConfig(**settings)


def test_unknown_or_short_statistics_are_refused():
    with pytest.raises(InputError, match="'iqr'"):
        step_sizes(5, fakes.STATISTICS, "iqr", config=DEFAULT)
    short = Statistics(jnp.zeros(61), jnp.ones(61))
    with pytest.raises(InputError, match=r"\(61,\)"):
        step_sizes(5, short, "std", config=DEFAULT)
