"""The segmentation cue on small cases: pictures, gating and mirroring."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from twohand_jax.crops.motion import motion
from twohand_jax.crops.segmentation import SEGMENTATION, segmentation_image

_segmentation_image = jax.jit(segmentation_image)
LABELS = jnp.array([[0, 1, 1], [2, 2, 0]])


@pytest.mark.parametrize("batch", [(), (3,), (2, 1, 4)])
def test_any_leading_batch(batch):
    labels = jnp.broadcast_to(LABELS, (*batch, 2, 3))
    image = _segmentation_image(labels, jnp.ones(batch, int), jnp.ones(batch, bool))
    assert image.shape == (*batch, 2, 3, 3)


@pytest.mark.parametrize(
    ("hand", "overlap", "right", "left"),
    [(0, False, 1.0, 0.5), (1, False, 0.5, 1.0), (0, True, 1, 1), (1, True, 1, 1)],
)
def test_segmentation_shows_own_and_other_hand(hand, overlap, right, left):
    image = _segmentation_image(LABELS, hand, jnp.asarray(overlap))
    expected = np.array([[0, right, right], [left, left, 0]])
    np.testing.assert_allclose(image, np.repeat(expected[..., None], 3, axis=-1))


def test_labels_change_sides_where_the_picture_is_mirrored():
    mirror = jnp.array([True, False])
    move = motion(mirror, jnp.zeros(2), jnp.zeros((2, 2)))
    labels = jnp.broadcast_to(LABELS, (2, 2, 3)).astype(jnp.uint8)
    moved = SEGMENTATION.move(labels, move)
    assert moved.dtype == jnp.uint8
    np.testing.assert_array_equal(moved[0], [[0, 2, 2], [1, 1, 0]])
    np.testing.assert_array_equal(moved[1], LABELS)
