"""The segdepth network: its resolutions, its statistics and what it refuses."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from twohand_jax.errors import InputError
from twohand_jax.models import apply
from twohand_jax.models.segdepth import SegDepthConfig, SegDepthNetwork

SMALL = SegDepthConfig(widths=(4, 6, 8), depths=(1, 1, 2))


@functools.cache
def small():
    """The network, its function and weights whose batch norms are not the identity."""
    net = apply.network(lambda rngs: SegDepthNetwork(SMALL, rngs=rngs))
    variables = jax.jit(net.init)(jax.random.key(0))
    return net, jax.jit(net.apply, static_argnames="train"), variables


def regions(count: int, height: int = 16, width: int = 24) -> jax.Array:
    return jax.random.normal(jax.random.key(1), (count, height, width, 5))


@pytest.mark.slow
def test_maps_have_half_of_the_regions_resolution():
    _, run, variables = small()
    maps, _ = run(variables, regions(2))
    assert maps.logits.shape == (2, 8, 12, 3)
    assert maps.depth.shape == (2, 8, 12)


def test_each_picture_is_told_on_its_own():
    _, run, variables = small()
    both, kept = run(variables, regions(2))
    alone, _ = run(variables, regions(2)[1:])
    for whole, one in zip(both, alone, strict=True):
        np.testing.assert_allclose(whole[1], one[0], atol=1e-5)
    jax.tree.map(np.testing.assert_array_equal, kept, variables)


def test_training_observes_the_batch():
    _, run, variables = small()
    _, updated = run(variables, 3.0 + regions(2), train=True)
    assert not np.allclose(
        updated.batch_stats["stem_norm"]["mean"],
        variables.batch_stats["stem_norm"]["mean"],
    )


def test_a_pixel_reaches_far_cells_and_near_cells_most():
    net, _, variables = small()

    def one(region):
        return net.apply(variables, region)[0].logits[0, 2, 3].sum()

    slope = jnp.abs(jax.jit(jax.grad(one))(regions(1)))[0].sum(axis=-1)
    assert slope[4:6, 6:8].mean() > 2 * slope.mean()
    assert (slope[-2:, -2:] > 0).all()


def test_a_region_of_the_wrong_size_is_refused():
    net, _, variables = small()
    with pytest.raises(InputError, match="12 x 24 pixels.*multiple of 8"):
        net.apply(variables, regions(1, height=12))


@pytest.mark.parametrize(
    ("widths", "depths"),
    [((4, 8), (1,)), ((), ()), ((4, 0), (1, 1)), ((4,), (-1,)), ((4, 4), (0, 0))],
)
def test_sizes_that_make_no_network_are_refused(widths, depths):
    with pytest.raises(InputError, match=r"(widths|depths) is \("):
        SegDepthConfig(widths=widths, depths=depths)


def test_the_shipped_sizes_fit_into_ten_megabytes_of_half_precision():
    net = apply.network(lambda rngs: SegDepthNetwork(SegDepthConfig(), rngs=rngs))
    weights = sum(leaf.size for leaf in jax.tree.leaves(apply.shapes(net)))
    assert 1e6 < weights < 5e6
