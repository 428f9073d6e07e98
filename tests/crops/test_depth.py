"""The depth cue on small cases."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from twohand_jax.crops.depth import depth_image

_depth_image = jax.jit(depth_image)
LABELS = jnp.array([[0, 1, 1], [2, 2, 0]])


@pytest.mark.parametrize("batch", [(), (3,), (2, 1, 4)])
def test_any_leading_batch(batch):
    labels = jnp.broadcast_to(LABELS, (*batch, 2, 3))
    assert _depth_image(labels * 1.0, labels > 0).shape == (*batch, 2, 3, 3)


def test_depth_ignores_the_background_scale_and_offset():
    depth = jnp.array([[9.0, 0.2, 0.4], [0.6, 0.3, -9.0]])
    image = _depth_image(depth, LABELS > 0)
    assert image[0, 0].max() == 0 and image[1, 2].max() == 0
    assert image[0, 1, 0] == pytest.approx(1.0)
    assert image[1, 0, 0] == pytest.approx(0.1)
    other = _depth_image(depth * 7 + 3, LABELS > 0)
    np.testing.assert_allclose(image, other, atol=1e-5)


@pytest.mark.parametrize("labels", [LABELS, jnp.zeros_like(LABELS)])
def test_flat_or_absent_depth_is_finite(labels):
    image = _depth_image(jnp.full((2, 3), 0.7), labels > 0)
    np.testing.assert_array_equal(image[..., 0], labels > 0)
