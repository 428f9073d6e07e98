import jax
import jax.numpy as jnp
import numpy as np
import pytest

from twohand_jax import collision


def _random(batch, count, seed):
    return np.random.default_rng(seed).normal(size=(*batch, count, 3))


@pytest.mark.parametrize("batch", [(), (3,), (2, 1, 4)])
def test_agrees_with_brute_force_in_double(batch):
    first, second = _random(batch, 40, 0), _random(batch, 55, 1)
    table = np.linalg.norm(first[..., :, None, :] - second[..., None, :, :], axis=-1)
    to_second, to_first = jax.jit(collision.nearest)(
        jnp.asarray(first, jnp.float32), jnp.asarray(second, jnp.float32)
    )
    np.testing.assert_array_equal(to_second, table.argmin(-1))
    np.testing.assert_array_equal(to_first, table.argmin(-2))


def test_ties_go_to_the_lowest_index():
    first = jnp.zeros((1, 3))
    second = jnp.array([[2.0, 0, 0], [0, 1.0, 0], [0, -1.0, 0], [1.0, 0, 0]])
    assert int(collision.nearest(first, second)[0][0]) == 1


@pytest.mark.slow
def test_barred_pairs_are_no_neighbours():
    points = jnp.asarray(_random((), 30, 2), jnp.float32)
    itself, _ = collision.nearest(points, points)
    other, _ = collision.nearest(points, points, barred=jnp.eye(30, dtype=bool))
    np.testing.assert_array_equal(itself, np.arange(30))
    assert not np.any(np.asarray(other) == np.arange(30))


def test_nan_stays_in_range():
    index, _ = collision.nearest(jnp.full((4, 3), jnp.nan), jnp.zeros((5, 3)))
    assert np.all((np.asarray(index) >= 0) & (np.asarray(index) < 5))


def test_gather_takes_rows():
    values = jnp.asarray(_random((2,), 6, 3), jnp.float32)
    index = jnp.array([[0, 5], [3, 3]])
    expected = np.stack([values[0][index[0]], values[1][index[1]]])
    np.testing.assert_array_equal(collision.gather(values, index), expected)
