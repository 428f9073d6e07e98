import jax
import jax.numpy as jnp
import numpy as np
import pytest

from twohand_jax.models import depthwise
from twohand_jax.models.depthwise import depthwise as convolve

CASES = [(3, 1), (3, 2), (5, 1), (5, 2)]
SIZES = [(8, 8), (7, 10), (1, 20)]


def grouped(x, kernel, stride):
    return jax.lax.conv_general_dilated(
        x,
        kernel[:, :, None],
        (stride, stride),
        "SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=x.shape[-1],
    )


def drawn(size, kernel):
    keys = jax.random.split(jax.random.key(0))
    x = jax.random.normal(keys[0], (2, *size, 6))
    return x, jax.random.normal(keys[1], (kernel, kernel, 6))


@pytest.mark.parametrize(("kernel", "stride"), CASES)
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.slow
def test_it_is_the_grouped_convolution_with_its_gradients(kernel, stride, size):
    given = drawn(size, kernel)
    found, back = jax.vjp(lambda *a: convolve(*a, stride), *given)
    expected, back_too = jax.vjp(lambda *a: grouped(*a, stride), *given)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    dy = jax.random.normal(jax.random.key(1), expected.shape)
    for ours, theirs in zip(back(dy), back_too(dy), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=5e-5)


@pytest.mark.parametrize(("kernel", "stride"), CASES)
def test_both_ways_to_the_kernels_gradient_agree(kernel, stride):
    x, _ = drawn((7, 33), kernel)
    dy = jax.random.normal(jax.random.key(1), (2, -(-7 // stride), -(-33 // stride), 6))
    one, other = (
        f(x, dy, size=kernel, stride=stride)
        for f in (depthwise.kernel_gradient, depthwise.kernel_gradient_by_rows)
    )
    np.testing.assert_allclose(one, other, atol=5e-5)


def test_half_precision_has_sums_in_single_and_gradients_in_half():
    x, kernel = (a.astype(jnp.bfloat16) for a in drawn((8, 8), 3))
    y, back = jax.vjp(lambda *a: convolve(*a, 2), x, kernel)
    assert y.dtype == jnp.float32
    assert {g.dtype for g in back(jnp.ones_like(y))} == {jnp.dtype("bfloat16")}
