"""The canvas covers the crops, keeps pixels where T says, and never grows."""

import cv2
import numpy as np
import pytest

from twohand_jax.crops import canvas
from twohand_jax.crops.canvas import TRAINING_ROOM, CanvasConfig, Window
from twohand_jax.crops.inputs import CropConfig
from twohand_jax.errors import InputError

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


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
def test_maps_and_pictures_lie_on_each_other(kind: type) -> None:
    labels = np.zeros((300, 400), kind)
    labels[100:180, 210:290][_disc(80)] = 2
    window = Window(70, -10, 320)
    seen, smooth = np.zeros((128, 128), kind), np.zeros((128, 128), np.uint8)
    canvas.cut_canvas(labels, window, seen, nearest=True)
    canvas.cut_canvas(np.uint8(labels > 0) * 200, window, smooth, nearest=False)
    assert set(np.unique(seen)) == {0, 2}, "labels never mix"
    assert np.mean((seen > 0) != (smooth > 100)) < 0.004


def _disc(side: int) -> np.ndarray:
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)).astype(bool)


@pytest.mark.parametrize("nearest", [True, False])
def test_nothing_lies_outside_of_the_picture(nearest: bool) -> None:
    window = Window(-40, 20, 512)
    out = np.full((128, 128), 9, np.uint8)
    image = np.full((300, 400), 3, np.uint8)
    canvas.cut_canvas(image, window, out, nearest=nearest)
    low, high = _apply(window.T_canvas_image(128), np.array([[-1, -1], [400, 300]]))
    rows, columns = np.nonzero(out)
    assert (columns > low[0]).all() and (columns < high[0]).all()
    assert (rows > low[1]).all() and (rows < high[1]).all()
    assert (out[2:68, 12:108] == 3).all()


@pytest.mark.parametrize("room", [1.0, TRAINING_ROOM])
@pytest.mark.parametrize("seed", range(20))
def test_the_window_covers_both_crops_inside_of_the_picture(
    seed: int, room: float
) -> None:
    rng = np.random.default_rng(seed)
    height, width = (int(side) for side in rng.integers(300, 2000, 2))
    low = rng.uniform(-30, [[width - 60, height - 60]], (2, 2))
    box = np.concatenate([low, low + rng.uniform(20, 300, (2, 2))], axis=-1)
    config = CanvasConfig(size=256, room=room)
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


def _gradient(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 250 / width, y * 250 / height, x * 0], -1).astype(np.uint8)


@pytest.mark.parametrize(
    ("height", "width"), [(382, 720), (3000, 2000), (60, 50), (100, 4000)]
)
def test_canvas_pixels_are_the_pictures(height: int, width: int) -> None:
    boxes = np.array([[-0.1, 0.1, 0.4, 0.6], [0.5, 0.3, 1.05, 0.9]])
    boxes = boxes * [width, height, width, height]
    config = CanvasConfig(crop_size=128)
    window = canvas.place_canvas(height, width, boxes, BOTH, config=config)
    out, T = np.zeros((512, 512, 3), np.uint8), window.T_canvas_image(512)
    canvas.cut_canvas(_gradient(height, width), window, out, nearest=False)
    assert T.dtype == np.float32 and (T[[0, 1], [0, 1]] <= 1.0).all()
    for box in boxes:
        middle = (box[:2] + box[2:]) / 2
        x, y = np.round(_apply(T, middle)).astype(int)
        expected = middle * 250 / [width, height]
        step = 250 / np.array([width, height]) / T[[0, 1], [0, 1]]
        assert (np.abs(out[y, x, :2] - expected) <= step + 2).all()


@pytest.mark.parametrize("sides", [(288, 288), (600, 288)], ids=str)
def test_a_hand_nine_times_as_large_as_its_crop_is_shrunk(sides) -> None:
    """The crop is bilinear; without the shrinking it would alias."""
    config = CanvasConfig(crop_size=64)
    box = np.array([[0, 0, 100, side] for side in sides], np.float32)
    window = canvas.place_canvas(500, 400, box, BOTH, config=config)
    T = window.T_canvas_image(512)
    shown = 288 * config.crop_scale * T[0, 0]
    assert shown == pytest.approx(config.finest * config.crop_size, rel=0.01)
    lines = np.zeros((500, 400, 3), np.uint8)
    lines[::2] = 240
    out = np.zeros((512, 512, 3), np.uint8)
    canvas.cut_canvas(lines, window, out, nearest=False)
    low, high = np.rint(_apply(T, np.array([[0, 0], [399, 499]]))).astype(int)
    inside = out[low[1] + 1 : high[1], low[0] + 1 : high[0]]
    assert inside.size and np.abs(inside.astype(int) - 120).max() < 45
    canvas.cut_canvas(_gradient(500, 400), window, out, nearest=False)
    x, y = np.rint(_apply(T, np.array([200.0, 250.0]))).astype(int)
    np.testing.assert_allclose(out[y, x, :2], 125, atol=3)


@pytest.mark.parametrize(
    ("box", "valid"),
    [
        ([[0, 0, 90, 96], [0, 0, 300, 400]], [True, True]),
        ([[0, 0, 90, 96], [0, 0, 300, 400]], [True, False]),
        ([[0, 0, 300, 400], [0, 0, 300, 400]], [False, False]),
    ],
    ids=["the smaller counts", "absent hands do not count", "no hand"],
)
def test_a_picture_of_hands_that_are_not_too_fine_is_unchanged(box, valid) -> None:
    """96 pixels twice are three times a crop of 64."""
    config = CanvasConfig(crop_size=64)
    window = canvas.place_canvas(
        500, 400, np.array(box), np.array(valid), config=config
    )
    assert window == Window(0, 0, 512) and window.is_unchanged(512)


@pytest.mark.parametrize("name", ["size", "crop_size", "crop_scale", "room", "finest"])
@pytest.mark.parametrize("value", [0, -1, float("inf"), float("nan")])
def test_sizes_that_no_canvas_has_are_refused(name: str, value: float) -> None:
    with pytest.raises(InputError, match=rf"CanvasConfig\.{name} is .*must be"):
        CanvasConfig(**{name: value})


def test_the_canvas_of_crops_is_of_their_sizes() -> None:
    crop = CropConfig(crop_size=96, crop_scale=1.3)
    made = crop.canvas(size=300, room=TRAINING_ROOM)
    assert made == CanvasConfig(
        size=300, crop_size=96, crop_scale=1.3, room=TRAINING_ROOM
    )
