"""The canvas covers the crops, keeps pixels where T says, and never grows."""

import numpy as np
import pytest
from twohand_jax.inference.crops import cut_canvas, cut_map

BOTH = np.array([True, True])


def gradient(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 250 / width, y * 250 / height, x * 0], -1).astype(np.uint8)


@pytest.mark.parametrize(
    ("height", "width"), [(382, 720), (3000, 2000), (60, 50), (100, 4000)]
)
def test_canvas_pixels_are_the_pictures(height: int, width: int) -> None:
    image = gradient(height, width)
    boxes = np.array([[0.1, 0.1, 0.4, 0.6], [0.5, 0.3, 0.95, 0.9]])
    boxes = boxes * [width, height, width, height]
    canvas, T = cut_canvas(image, boxes, BOTH, size=512, crop_size=128, crop_scale=2.0)
    assert canvas.shape == (512, 512, 3) and T.dtype == np.float32
    assert T[0, 0] <= 1.0 and T[1, 1] <= 1.0
    for box in boxes:
        middle = (box[:2] + box[2:]) / 2
        x, y = np.round(T[:, :2] @ middle + T[:, 2]).astype(int)
        expected = middle * 250 / [width, height]
        step = 250 / np.array([width, height]) / T[[0, 1], [0, 1]]
        assert (np.abs(canvas[y, x, :2] - expected) <= step + 2).all()


def test_absent_hand_does_not_widen_the_canvas() -> None:
    image = gradient(800, 800)
    boxes = np.array([[300.0, 300, 400, 400], [0, 0, 0, 0]])
    _, T = cut_canvas(
        image, boxes, np.array([True, False]), size=512, crop_size=256, crop_scale=2.0
    )
    corner = T[:, :2] @ [249, 249] + T[:, 2]
    np.testing.assert_allclose(corner, 0, atol=1.1)


def test_hand_partly_outside_the_picture() -> None:
    image = gradient(200, 200)
    boxes = np.array([[-50.0, -50, 60, 60], [180, 180, 260, 260]])
    canvas, T = cut_canvas(image, boxes, BOTH, size=256, crop_size=128, crop_scale=2.0)
    assert canvas.any() and np.isfinite(T).all()


def test_fine_detail_is_averaged_not_aliased() -> None:
    image = np.zeros((4000, 4000, 3), np.uint8)
    image[::2] = 255  # lines of one pixel
    boxes = np.tile([500.0, 500, 3500, 3500], (2, 1))
    canvas, T = cut_canvas(image, boxes, BOTH, size=512, crop_size=128, crop_scale=2.0)
    covered = canvas[20:150, 20:150]
    assert covered.std() < 12
    assert T[0, 0] * 3000 * 2.0 == pytest.approx(256, rel=0.1)


@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_maps_lie_on_the_canvas_as_the_picture_does(kind) -> None:
    image = np.zeros((300, 400, 3), np.uint8)
    labels = np.zeros((300, 400), kind)
    image[100:160, 120:200], labels[100:160, 120:200] = 255, 2
    boxes = np.array([[100.0, 90, 180, 170], [150, 80, 230, 180]])
    canvas, T = cut_canvas(image, boxes, BOTH, size=256, crop_size=64, crop_scale=2.0)
    laid = cut_map(labels, T, size=256)
    assert laid.dtype == kind and set(np.unique(laid)) == {0, 2}, "labels never mix"
    half = canvas[..., 0] > 127
    assert ((laid > 0) != half).sum() <= np.sqrt(half.sum()) * 4
    edge = np.full((300, 400), 3, kind)
    low, high = T[:, 2] + T[:, :2] @ [-1, -1], T[:, 2] + T[:, :2] @ [400, 300]
    laid = cut_map(edge, T, size=256)
    rows, columns = np.nonzero(laid)
    assert (columns > low[0]).all() and (columns < high[0]).all()
    assert (rows > low[1]).all() and (rows < high[1]).all()
