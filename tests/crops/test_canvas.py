import cv2
import numpy as np
import pytest

from twohand_jax.crops import canvas
from twohand_jax.crops.canvas import CanvasConfig, Window

BOTH = np.array([True, True])


def _apply(T: np.ndarray, points: np.ndarray) -> np.ndarray:
    return points @ T[:, :2].T + T[:, 2]


def test_a_picture_that_fits_is_taken_unchanged() -> None:
    image = np.random.default_rng(0).integers(0, 256, (50, 64, 3), dtype=np.uint8)
    window = canvas.place_canvas(
        50, 64, np.zeros((2, 4)), ~BOTH, config=CanvasConfig(size=64)
    )
    out = np.full((64, 64, 3), 9, np.uint8)
    canvas.cut_canvas(image, window, out, nearest=False)
    np.testing.assert_array_equal(out[:50], image)
    assert not out[50:].any()
    np.testing.assert_array_equal(window.T_canvas_image(64), np.eye(2, 3))


@pytest.mark.parametrize("seed", range(12))
def test_a_dot_is_found_where_the_affine_says(seed: int) -> None:
    rng = np.random.default_rng(seed)
    height, width = rng.integers(200, 900, 2)
    dot = rng.uniform(60, np.array([width, height]) - 60)
    rows, columns = np.indices((height, width))
    blob = np.exp(-((columns - dot[0]) ** 2 + (rows - dot[1]) ** 2) / (2 * 6.0**2))
    image = np.repeat(np.uint8(250 * blob)[..., None], 3, axis=-1)
    box = np.array([[*(dot - 20), *(dot + 25)], [*(dot - 50), *(dot - 10)]])
    config = CanvasConfig(size=128)
    window = canvas.place_canvas(height, width, box, BOTH, config=config)
    out = np.zeros((128, 128, 3), np.uint8)
    canvas.cut_canvas(image, window, out, nearest=False)
    weight = out[..., 0].astype(float)
    found = [np.sum(weight * axis) / weight.sum() for axis in np.indices((128, 128))]
    expected = _apply(window.T_canvas_image(128), dot[None])[0]
    np.testing.assert_allclose(found[::-1], expected, atol=0.1)


def test_labels_and_pictures_lie_on_each_other() -> None:
    labels = np.zeros((300, 400), np.uint8)
    cv2.circle(labels, (250, 140), 40, 2, -1)
    window = Window(70, -10, 320)
    seen, smooth = np.zeros((128, 128), np.uint8), np.zeros((128, 128), np.uint8)
    canvas.cut_canvas(labels, window, seen, nearest=True)
    canvas.cut_canvas(np.uint8(labels > 0) * 200, window, smooth, nearest=False)
    assert set(np.unique(seen)) == {0, 2}
    assert np.mean((seen > 0) != (smooth > 100)) < 0.004


@pytest.mark.parametrize("seed", range(20))
def test_the_window_covers_both_crops_inside_of_the_picture(seed: int) -> None:
    rng = np.random.default_rng(seed)
    height, width = (int(side) for side in rng.integers(300, 2000, 2))
    low = rng.uniform(-30, [[width - 60, height - 60]], (2, 2))
    box = np.concatenate([low, low + rng.uniform(20, 300, (2, 2))], axis=-1)
    config = CanvasConfig(size=256)
    window = canvas.place_canvas(height, width, box, BOTH, config=config)
    assert window.side >= config.size
    corners = []
    for x0, y0, x1, y1 in box:
        half = max(x1 - x0, y1 - y0) / 2 * config.crop_scale * config.room
        middle = np.array([(x0 + x1) / 2, (y0 + y1) / 2])
        corners += [middle - half, middle + half]
    inside = np.clip(corners, 0, [width - 1, height - 1])
    moved = _apply(window.T_canvas_image(256), inside)
    assert moved.min() >= -0.51 and moved.max() <= 255.51


def test_hands_far_from_the_rest_keep_their_resolution() -> None:
    box = np.array([[900.0, 500, 940, 545], [0, 0, 0, 0]])
    valid = np.array([True, False])
    window = canvas.place_canvas(1200, 1600, box, valid, config=CanvasConfig(size=256))
    assert window.side == 256
    assert window.T_canvas_image(256)[0, 0] == 1.0


def test_depth_is_not_mixed_with_the_background() -> None:
    depth = np.zeros((600, 600), np.float32)
    depth[100:400, 200:500] = 0.75
    out = np.zeros((128, 128), np.float32)
    canvas.cut_canvas(depth, Window(0, 0, 600), out, nearest=True)
    assert set(np.unique(out)) == {0.0, 0.75}
