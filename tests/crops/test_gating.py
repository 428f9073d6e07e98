"""Overlap, segmentation and depth pictures on small cases."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from twohand_jax.crops import drawing

_overlaps = jax.jit(drawing.overlaps)
_segmentation_image = jax.jit(drawing.segmentation_image)
_depth_image = jax.jit(drawing.depth_image)
LABELS = jnp.array([[0, 1, 1], [2, 2, 0]])


@pytest.mark.parametrize(
    ("left", "present", "expected"),
    [
        ([5, 5, 20, 20], [True, True], True),
        ([10, 0, 20, 10], [True, True], False),
        ([30, 30, 40, 40], [True, True], False),
        ([5, 5, 20, 20], [True, False], False),
    ],
)
def test_overlap(left, present, expected):
    boxes = jnp.array([[0.0, 0.0, 10.0, 10.0], left])
    assert bool(_overlaps(boxes, jnp.array(present))) == expected


@pytest.mark.parametrize("batch", [(), (3,), (2, 1, 4)])
def test_any_leading_batch(batch):
    boxes = jnp.broadcast_to(
        jnp.array([[0.0, 0, 10, 10], [5, 5, 20, 20]]), (*batch, 2, 4)
    )
    flags = _overlaps(boxes, jnp.ones((*batch, 2), bool))
    assert flags.shape == batch and bool(flags.all())
    labels = jnp.broadcast_to(LABELS, (*batch, 2, 3))
    image = _segmentation_image(labels, jnp.ones(batch, int), flags)
    assert image.shape == (*batch, 2, 3, 3)
    assert _depth_image(labels * 1.0, labels).shape == (*batch, 2, 3, 3)


@pytest.mark.parametrize(
    ("hand", "overlap", "right", "left"),
    [(0, False, 1.0, 0.5), (1, False, 0.5, 1.0), (0, True, 1, 1), (1, True, 1, 1)],
)
def test_segmentation_shows_own_and_other_hand(hand, overlap, right, left):
    image = _segmentation_image(LABELS, hand, jnp.asarray(overlap))
    expected = np.array([[0, right, right], [left, left, 0]])
    np.testing.assert_allclose(image, np.repeat(expected[..., None], 3, axis=-1))


def test_depth_ignores_the_background_scale_and_offset():
    depth = jnp.array([[9.0, 0.2, 0.4], [0.6, 0.3, -9.0]])
    image = _depth_image(depth, LABELS)
    assert image[0, 0].max() == 0 and image[1, 2].max() == 0
    assert image[0, 1, 0] == pytest.approx(1.0)
    assert image[1, 0, 0] == pytest.approx(0.1)
    np.testing.assert_allclose(image, _depth_image(depth * 7 + 3, LABELS), atol=1e-5)


@pytest.mark.parametrize("labels", [LABELS, jnp.zeros_like(LABELS)])
def test_flat_or_absent_depth_is_finite(labels):
    image = _depth_image(jnp.full((2, 3), 0.7), labels)
    np.testing.assert_array_equal(image[..., 0], labels > 0)
