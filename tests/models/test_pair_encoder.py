import jax
import jax.numpy as jnp
import numpy as np
import pytest

from twohand_jax.errors import InputError
from twohand_jax.experiments import pair_encoder
from twohand_jax.models.pair_encoder import PairEncoderConfig

SMALL = PairEncoderConfig(points=778, widths=(8, 16), hidden=8, features=6, outputs=5)
VERTICES = jax.random.normal(jax.random.key(0), (3, 2, 778, 3)) * 0.05


@pytest.fixture(scope="module")
def network():
    found = pair_encoder.network(SMALL)
    return found, found.init(jax.random.key(1))


def test_shapes(network):
    net, variables = network
    (features, numbers), _ = net.apply(variables, VERTICES)
    assert features.shape == (3, 6) and numbers.shape == (3, 5)


def test_the_order_of_the_points_does_not_matter_but_the_side_does(network):
    net, variables = network
    (features, _), _ = net.apply(variables, VERTICES)
    shuffled = jax.random.permutation(jax.random.key(2), VERTICES, axis=2)
    (same, _), _ = net.apply(variables, shuffled)
    (swapped, _), _ = net.apply(variables, VERTICES[:, ::-1])
    np.testing.assert_allclose(same, features, atol=1e-5)
    assert np.abs(np.asarray(swapped - features)).max() > 1e-3


def test_pairs_do_not_influence_each_other(network):
    net, variables = network
    (features, _), _ = net.apply(variables, VERTICES)
    (one, _), _ = net.apply(variables, VERTICES[1:2])
    np.testing.assert_allclose(one[0], features[1], atol=1e-5)


@pytest.mark.slow
def test_points_are_spread_over_all_vertices():
    net = pair_encoder.network(PairEncoderConfig(points=2, widths=(4,), hidden=4))
    variables = net.init(jax.random.key(1))

    def total(vertices):
        return jnp.sum(net.apply(variables, vertices)[0][1])

    seen = jnp.abs(jax.grad(total)(VERTICES)).sum(axis=(0, 1, 3)) > 0
    assert set(np.flatnonzero(seen)) <= {0, 777}


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"points": 0}, "points is 0; it must be at least 1 and at most 778"),
        ({"points": 779}, "points is 779"),
        ({"widths": ()}, r"widths is \(\)"),
        ({"widths": (8, 0)}, r"widths is \(8, 0\)"),
    ],
)
def test_impossible_sizes_are_refused(bad, message):
    with pytest.raises(InputError, match=message):
        PairEncoderConfig(**bad)
