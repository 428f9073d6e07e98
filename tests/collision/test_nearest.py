import jax
import jax.numpy as jnp
import numpy as np
import pytest

from twohand_jax import collision


def _random(batch, count, seed):
    return np.random.default_rng(seed).normal(size=(*batch, count, 3))


@pytest.fixture(params=["cpu", "gpu"])
def search(request, monkeypatch):
    """The search as on the CPU, and as it is elsewhere."""
    monkeypatch.setattr(jax, "default_backend", lambda: request.param)
    return jax.jit(lambda *points, **options: collision.nearest(*points, **options))


@pytest.mark.parametrize("batch", [(), (3,), (2, 1, 4)])
def test_agrees_with_brute_force_in_double(search, batch):
    first, second = _random(batch, 40, 0), _random(batch, 55, 1)
    table = np.linalg.norm(first[..., :, None, :] - second[..., None, :, :], axis=-1)
    to_second, to_first = search(
        jnp.asarray(first, jnp.float32), jnp.asarray(second, jnp.float32)
    )
    np.testing.assert_array_equal(to_second, table.argmin(-1))
    np.testing.assert_array_equal(to_first, table.argmin(-2))


@pytest.mark.parametrize(
    ("batch", "counts"), [((), (40, 55)), ((3,), (55, 40)), ((2, 1, 4), (16, 1))]
)
def test_squared_distances_are_those_of_the_table_in_double(batch, counts):
    first, second = (
        _random(batch, count, seed).astype(np.float32)
        for seed, count in enumerate(counts)
    )
    gaps = first[..., :, None, :].astype(float) - second[..., None, :, :]
    table = (gaps**2).sum(axis=-1)
    there, back = jax.jit(collision.squared_distances)(first, second)
    np.testing.assert_allclose(there, table.min(axis=-1), rtol=1e-6)
    np.testing.assert_allclose(back, table.min(axis=-2), rtol=1e-6)


def test_what_is_no_number_is_infinitely_far_and_nobodys_neighbour():
    first = jnp.zeros((3, 3)).at[1].set(jnp.nan)
    there, back = collision.squared_distances(first, jnp.ones((2, 3)))
    np.testing.assert_array_equal(there, [3.0, np.inf, 3.0])
    np.testing.assert_array_equal(back, [3.0, 3.0])


def test_ties_go_to_the_lowest_index(search):
    first = jnp.zeros((1, 3))
    second = jnp.array([[2.0, 0, 0], [0, 1.0, 0], [0, -1.0, 0], [1.0, 0, 0]])
    assert int(search(first, second)[0][0]) == 1


def test_barred_pairs_are_no_neighbours(search):
    first, second = _random((2,), 20, 2), _random((2,), 37, 3)
    barred = np.random.default_rng(4).random((20, 37)) < 0.5
    table = np.linalg.norm(first[:, :, None] - second[:, None], axis=-1)
    table = np.where(barred, np.inf, table)
    to_second, to_first = search(
        jnp.asarray(first, jnp.float32),
        jnp.asarray(second, jnp.float32),
        barred=jnp.asarray(barred),
    )
    np.testing.assert_array_equal(to_second, table.argmin(-1))
    np.testing.assert_array_equal(to_first, table.argmin(-2))


def test_nan_stays_in_range(search):
    found = search(jnp.full((4, 3), jnp.nan), jnp.zeros((5, 3)))
    for index, count in zip(found, (5, 4), strict=True):
        assert np.all((np.asarray(index) >= 0) & (np.asarray(index) < count))


def test_gather_takes_rows():
    values = jnp.asarray(_random((2,), 6, 3), jnp.float32)
    index = jnp.array([[0, 5], [3, 3]])
    expected = np.stack([values[0][index[0]], values[1][index[1]]])
    np.testing.assert_array_equal(collision.gather(values, index), expected)
