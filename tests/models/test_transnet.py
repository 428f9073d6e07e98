import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from twohand_jax.models.resnet import ResNetConfig
from twohand_jax.models.transnet import TransNet, TransNetConfig, place_joints

CONFIG = TransNetConfig(
    grid=12, depth=10, sigma=1.3, resnet=ResNetConfig(depths=(1, 1), width=4)
)


def explicit_first_layer(net, joints):
    """Builds the 3D Gaussian maps and convolves them, as the original does."""
    z, y, x = jnp.meshgrid(
        jnp.arange(CONFIG.depth), *[jnp.arange(CONFIG.grid)] * 2, indexing="ij"
    )
    cells = jnp.stack([x, y, z], axis=-1)
    flat = joints.reshape(joints.shape[0], -1, 3)
    squared = jnp.sum((cells - flat[:, :, None, None, None]) ** 2, axis=-1)
    maps = CONFIG.amplitude * jnp.exp(-squared / (2 * CONFIG.sigma**2))
    maps = maps.reshape(joints.shape[0], -1, CONFIG.grid, CONFIG.grid)
    return jax.lax.conv_general_dilated(
        jnp.moveaxis(maps, 1, -1),
        net.kernel[...],
        (1, 1),
        [(1, 1)] * 2,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


@pytest.mark.slow
def test_the_separable_first_layer_equals_the_convolution_of_heat_maps():
    net = TransNet(CONFIG, dtype=jnp.float32, rngs=nnx.Rngs(0))
    key = jax.random.key(1)
    joints = jax.random.uniform(key, (3, 2, 21, 3), minval=-1.0, maxval=13.0)
    expected = explicit_first_layer(net, joints)
    scale = jnp.abs(expected).max()
    np.testing.assert_allclose(net._first(joints) / scale, expected / scale, atol=1e-5)


@pytest.mark.slow
def test_joints_of_both_hands_lie_in_one_square_over_the_picture():
    joints = jax.random.uniform(jax.random.key(0), (1, 2, 21, 3), maxval=8.0)
    right = jnp.array([[0.5, 0.0, 10.0], [0.0, 0.5, 20.0]])
    left = jnp.array([[-0.5, 0.0, 150.0], [0.0, 0.5, 20.0]])
    T = jnp.stack([right, left])[None]
    placed = place_joints(joints, T, cell_px=16.0, cells=8, grid=64, depth=32)
    crop_px = np.asarray(joints[0, ..., :2]) * 16
    image = np.stack(
        [(crop_px[0] - [10, 20]) / 0.5, (crop_px[1] - [150, 20]) / [-0.5, 0.5]]
    )
    low, high = image.min(axis=1), image.max(axis=1)
    grown_low, grown_high = low - 0.1 * (high - low), high + 0.1 * (high - low)
    low, high = grown_low.min(axis=0), grown_high.max(axis=0)
    side = (high - low).max()
    corner = (low + high) / 2 - side / 2
    np.testing.assert_allclose(
        placed[0, ..., :2], (image - corner) / side * 64, atol=1e-3
    )
    np.testing.assert_allclose(placed[..., 2], joints[..., 2] * 4, atol=1e-5)
