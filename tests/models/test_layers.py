import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from twohand_jax.models.fusion import Fusion, FusionConfig
from twohand_jax.models.heads import sample, soft_argmax
from twohand_jax.models.layers import BatchNorm, Conv, Standardise, max_pool


def reference_pool(x):
    return jax.lax.reduce_window(
        x,
        -jnp.inf,
        jax.lax.max,
        (1, 3, 3, 1),
        (1, 2, 2, 1),
        [(0, 0), (1, 1), (1, 1), (0, 0)],
    )


@pytest.mark.parametrize("size", [8, 10])
@pytest.mark.slow
def test_max_pool_equals_the_window_reduction_with_its_gradient(size):
    x = jax.random.normal(jax.random.key(0), (2, size, size, 3))
    np.testing.assert_array_equal(max_pool(x), reference_pool(x))
    weights = jax.random.normal(jax.random.key(1), max_pool(x).shape)
    ours = jax.grad(lambda v: jnp.sum(weights * max_pool(v)))(x)
    theirs = jax.grad(lambda v: jnp.sum(weights * reference_pool(v)))(x)
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


@pytest.mark.parametrize("stride", [1, 2])
def test_a_1x1_convolution_is_the_matrix_product(stride):
    x = jax.random.normal(jax.random.key(0), (2, 6, 6, 5))
    conv = Conv(5, 7, 1, stride=stride, rngs=nnx.Rngs(0))
    expected = jax.lax.conv_general_dilated(
        x,
        conv.kernel[...],
        (stride, stride),
        "VALID",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    np.testing.assert_allclose(conv(x), expected, atol=1e-5)


def test_soft_argmax_finds_a_sharp_peak_as_x_y_z():
    logits = jnp.zeros((1, 4, 5, 6, 2)).at[0, 1, 2, 3, 0].set(50.0)
    logits = logits.at[0, 3, 0, 5, 1].set(50.0)
    np.testing.assert_allclose(
        soft_argmax(logits)[0], [[3, 2, 1], [5, 0, 3]], atol=1e-4
    )


def test_sampling_is_bilinear_and_fades_outside():
    features = jnp.arange(12.0).reshape(1, 3, 4, 1)
    cells = jnp.array([[[1.0, 2.0], [1.5, 0.0], [0.0, 0.5], [5.0, 1.0], [3.5, 0.0]]])
    values = sample(features, cells)[0, :, 0]
    np.testing.assert_allclose(values, [9.0, 1.5, 2.0, 0.0, 1.5], atol=1e-6)


@pytest.mark.parametrize("cues", [0, 2])
@pytest.mark.slow
def test_a_fusion_of_any_number_of_cues_has_no_empty_array(cues):
    config = FusionConfig(layers=1, width=8, heads=2, mlp=8)
    layer = Fusion(
        config,
        channels=(4,) * (1 + cues),
        tokens=4,
        outputs=6,
        dtype=jnp.float32,
        rngs=nnx.Rngs(0),
    )
    assert all(leaf.size for leaf in jax.tree.leaves(nnx.state(layer)))
    maps = [jnp.ones((3, 2, 2, 4))] * (1 + cues)
    assert layer(maps, jnp.ones((3, cues), bool)).shape == (3, 2, 2, 6)


def test_batch_norm_keeps_the_variance_of_channels_far_from_zero():
    """Mean over deviation of 1000 in float32, against float64, with its gradient."""
    rng = np.random.default_rng(0)
    x = rng.normal(1000.0, 1.0, (8, 6, 6, 3)).astype(np.float32)
    weights = rng.normal(size=x.shape)

    def weighted(x: jax.Array) -> jax.Array:
        layer = BatchNorm(3, dtype=jnp.float32, rngs=nnx.Rngs(0))
        return jnp.sum(weights * layer(x, use_running_average=False))

    gradient = jax.grad(weighted)(jnp.asarray(x))
    exact, axes = x.astype(float), (0, 1, 2)
    mean, var = exact.mean(axes), exact.var(axes)
    layer = BatchNorm(3, dtype=jnp.float32, rngs=nnx.Rngs(0))
    found = layer(jnp.asarray(x), use_running_average=False)
    gain = 1 / np.sqrt(var + 1e-5)
    rest = (exact - mean) * gain
    np.testing.assert_allclose(found, rest, atol=1e-3)
    count = x.size // 3
    running = 0.9 + 0.1 * var * count / (count - 1)
    np.testing.assert_allclose(layer.var[...], running, rtol=1e-6)
    slope = weights - weights.mean(axes) - rest * (weights * rest).mean(axes)
    np.testing.assert_allclose(gradient, gain * slope, atol=1e-3)


def test_standardised_features_have_mean_0_and_deviation_1_after_a_while():
    layer, rng = Standardise(3), np.random.default_rng(0)
    center, spread = np.array([0.0, 2.0, -5.0]), np.array([0.1, 1.0, 4.0])

    def draw(count: int) -> jax.Array:
        return jnp.asarray(center + spread * rng.normal(size=(count, 3)))

    for _ in range(400):
        layer(draw(16), frozen=False)
    known = layer.mean[...]
    found = np.asarray(layer(draw(2000), frozen=True))
    np.testing.assert_allclose(found.mean(axis=0), 0.0, atol=0.15)
    np.testing.assert_allclose(found.std(axis=0), 1.0, atol=0.15)
    np.testing.assert_array_equal(layer.mean[...], known)
