"""The region about both hands, and the hands' places in it."""

import jax.numpy as jnp
import numpy as np
import pytest

from twohand_jax.crops import region
from twohand_jax.crops.canvas import Window
from twohand_jax.crops.region import RegionConfig
from twohand_jax.errors import InputError
from twohand_jax.geometry import affine

BATCHES = [(), (3,), (2, 1, 4)]


def random_boxes(shape=(), seed=0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    low = rng.uniform(0, 200, (*shape, 2, 2))
    return np.concatenate([low, low + rng.uniform(20, 120, low.shape)], -1).astype(
        np.float32
    )


@pytest.mark.parametrize("shape", BATCHES)
def test_the_square_is_about_both_hands(shape):
    boxes = random_boxes(shape)
    valid = np.ones((*shape, 2), bool)
    square = region.region_square(boxes, valid, scale=1.5)
    low, high = boxes[..., :2].min(axis=-2), boxes[..., 2:].max(axis=-2)
    np.testing.assert_allclose((square[..., :2] + square[..., 2:]), low + high, 1e-4)
    side = 1.5 * (high - low).max(axis=-1)
    np.testing.assert_allclose(square[..., 2] - square[..., 0], side, 1e-4)
    np.testing.assert_allclose(square[..., 3] - square[..., 1], side, 1e-4)


@pytest.mark.parametrize("hand", [0, 1])
def test_a_hand_that_is_not_there_does_not_count(hand):
    boxes, valid = random_boxes(), np.arange(2) == hand
    other = boxes.copy()
    other[1 - hand] = 1e4
    np.testing.assert_array_equal(
        region.region_square(boxes, valid, scale=1.2),
        region.region_square(other, valid, scale=1.2),
    )


@pytest.mark.parametrize("shape", BATCHES)
def test_places_are_bells_over_the_boxes_right_first(shape):
    box = jnp.array([[2.0, 4.0, 10.0, 8.0], [9.0, 9.0, 13.0, 15.0]])
    boxes = jnp.broadcast_to(box, (*shape, 2, 4))
    places = region.place_maps(boxes, jnp.ones((*shape, 2), bool), size=16)
    assert places.shape == (*shape, 16, 16, 2)
    edge = np.exp(-0.5)
    np.testing.assert_allclose(places[..., 6, 6, 0], 1.0)
    np.testing.assert_allclose(places[..., 6, 10, 0], edge, 1e-6)
    np.testing.assert_allclose(places[..., 8, 6, 0], edge, 1e-6)
    np.testing.assert_allclose(places[..., 12, 11, 1], 1.0)
    np.testing.assert_allclose(places[..., 15, 13, 1], edge**2, 1e-6)


def test_an_unknown_hand_has_no_place():
    boxes = jnp.zeros((2, 4)).at[1].set(jnp.array([2.0, 2.0, 6.0, 6.0]))
    places = region.place_maps(boxes, jnp.array([False, True]), size=8)
    assert not places[..., 0].any()
    assert places[..., 1].max() == 1.0


@pytest.mark.parametrize("fields", [{"crop_size": 0}, {"crop_scale": 0.9}])
def test_a_region_that_cannot_be_cut_is_refused(fields):
    with pytest.raises(InputError, match="at least 1"):
        RegionConfig(**fields)


@pytest.mark.parametrize("seed", range(4))
def test_the_window_is_the_square_in_whole_pixels(seed):
    boxes, valid = random_boxes(seed=seed), np.ones(2, bool)
    window = region.place_window(boxes, valid, scale=1.5)
    square = np.asarray(region.region_square(boxes, valid, scale=1.5))
    assert abs(window.side - (square[2] - square[0])) <= 0.5
    middle = np.array([window.x, window.y]) + (window.side - 1) / 2
    assert np.abs(middle - (square[:2] + square[2:]) / 2).max() <= 0.51


def test_boxes_in_the_window_are_those_in_the_crop_of_training():
    boxes, window = random_boxes(), Window(-3, 7, 130)
    end = window.side - 1
    edges = np.array([-3.0, 7.0, -3.0 + end, 7.0 + end], np.float32)
    pixels = edges + np.array([-0.5, -0.5, 0.5, 0.5], np.float32)
    T = affine.crop(pixels, size=192)
    wanted = affine.apply(T, boxes.reshape(4, 2)).reshape(2, 4)
    found = region.boxes_in_window(boxes, window, size=192)
    np.testing.assert_allclose(found, wanted, atol=1e-3)


@pytest.mark.parametrize(
    "window",
    [
        Window(0, 0, 12),
        Window(-5, 3, 12),
        Window(20, 15, 12),
        Window(40, 2, 12),
        Window(2, -30, 12),
        Window(-10, -10, 60),
    ],
)
def test_what_is_cut_at_its_size_is_put_back_where_it_was(window):
    image = np.random.default_rng(0).integers(1, 255, (24, 30, 3)).astype(np.uint8)
    piece = region.cut_window(image, window, size=window.side)
    back = region.paste_window(piece[..., 0], window, 24, 30)
    y, x = np.mgrid[:24, :30]
    inside = (x >= window.x) & (x < window.x + window.side)
    inside &= (y >= window.y) & (y < window.y + window.side)
    np.testing.assert_array_equal(back, np.where(inside, image[..., 0], 0))


def test_maps_are_enlarged_about_pixel_middles():
    ramp = np.tile(np.arange(8, dtype=np.float32)[None, :, None], (8, 1, 1))
    fine = region.enlarge_maps(ramp, Window(0, 0, 32))
    wanted = (np.arange(32) + 0.5) / 4 - 0.5
    np.testing.assert_allclose(fine[5, 2:-2, 0], wanted[2:-2], atol=1e-5)
