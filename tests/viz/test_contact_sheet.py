import numpy as np
import pytest

from twohand_jax.crops.canvas import Window
from twohand_jax.types import Camera
from twohand_jax.viz import contact_sheet
from twohand_jax.viz.contact_sheet import RecordView
from twohand_jax.viz.render import Mesh

WIDTH, HEIGHT, SIZE = 120, 80, 64


def view(**changes) -> RecordView:
    """A grey picture with a bright dot at (70, 30) where everything lies."""
    image = np.full((HEIGHT, WIDTH, 3), 60, np.uint8)
    image[28:33, 68:73] = 255
    base = RecordView(
        image=image,
        box=np.array([[60, 20, 80, 40], [0, 0, 0, 0]], np.float32),
        hand_valid=np.array([True, False]),
        joints_px=np.full((2, 21, 2), [70, 30], np.float32),
        joints_valid=np.zeros((2, 21), bool),
        meshes=(),
        camera=Camera(np.full(2, 100.0), np.array([59.5, 39.5])),
        keypoints=None,
        segmentation=None,
        depth=None,
    )
    return base._replace(**changes)


def panel(found: np.ndarray, number: int) -> np.ndarray:
    start = number * (SIZE + 4)
    return found[:, start : start + SIZE].astype(int)


def test_four_panels_beside_each_other():
    found = contact_sheet.panels(view(), size=SIZE)
    assert found.shape == (SIZE, 4 * SIZE + 3 * 4, 3)
    assert len(contact_sheet.PANELS) == 4


def test_the_window_is_about_the_valid_hands_and_inside_of_the_picture():
    window = contact_sheet.around_hands(view())
    assert window.side == 30
    assert (window.x, window.y) == (55, 15)
    both = view(
        box=np.array([[0, 0, 20, 20], [90, 50, 119, 79]], np.float32),
        hand_valid=np.ones(2, bool),
    )
    window = contact_sheet.around_hands(both)
    # As wide as the picture, in the middle of its height.
    assert window == Window(0, -20, 120)
    nowhere = view(hand_valid=np.zeros(2, bool))
    assert contact_sheet.around_hands(nowhere).side == WIDTH


def test_points_and_pixels_move_alike():
    window = contact_sheet.around_hands(view())
    drawn = window.cut(view().image, SIZE, 1)
    x, y = np.rint(window.move(np.array([70.0, 30.0]), SIZE)).astype(int)
    assert drawn[y, x].min() > 250
    assert drawn[2, 2].max() < 70


def test_what_is_absent_is_said_in_words():
    found = contact_sheet.panels(view(), size=SIZE)
    for number in (1, 2, 3):
        assert (panel(found, number) == contact_sheet.DARK).mean() > 0.5
        assert panel(found, number).max() > 100


def test_labels_are_drawn_in_the_hand_s_colour():
    valid = np.zeros((2, 21), bool)
    valid[0, 5] = True
    plain = panel(contact_sheet.panels(view(), size=SIZE), 0)
    found = panel(contact_sheet.panels(view(joints_valid=valid), size=SIZE), 0)
    y, x = np.argwhere((found != plain).any(axis=-1)).mean(axis=0)
    middle = contact_sheet.around_hands(view()).move(np.array([70.0, 30.0]), SIZE)
    np.testing.assert_allclose([x, y], middle, atol=1)
    red, _, blue = found[round(y), round(x)]
    assert red > blue + 100


def test_the_fit_is_drawn_where_the_camera_sees_it():
    triangle = np.array([[-0.02, -0.02, 1], [0.02, -0.02, 1], [0.0, 0.02, 1]])
    center = np.array([70 - 59.5, 30 - 39.5, 0]) / 100
    mesh = Mesh(triangle + center, np.array([[0, 1, 2], [0, 2, 1]]), (1.0, 0.0, 0.0))
    found = panel(contact_sheet.panels(view(meshes=[mesh]), size=SIZE), 1)
    red = (found[..., 0] > found[..., 2] + 30) & (found[..., 1] < 200)
    y, x = np.argwhere(red).mean(axis=0)
    middle = contact_sheet.around_hands(view()).move(np.array([70.0, 30.0]), SIZE)
    np.testing.assert_allclose([x, y], middle, atol=3)


def test_segmentation_tints_and_depth_is_bright_near():
    labels = np.zeros((HEIGHT, WIDTH), np.uint8)
    depth = np.zeros((HEIGHT, WIDTH), np.float32)
    labels[20:41, 60:70], labels[20:41, 70:81] = 1, 2
    depth[20:41, 60:70], depth[20:41, 70:81] = 0.1, 0.9
    found = contact_sheet.panels(view(segmentation=labels, depth=depth), size=SIZE)
    cues, shade = panel(found, 2), panel(found, 3)
    right, left = (SIZE // 2, SIZE // 2 - 12), (SIZE // 2, SIZE // 2 + 14)
    assert cues[right][0] > cues[right][2] + 50
    assert cues[left][2] > cues[left][0] + 50
    assert shade[right][0] > shade[left][0] > 0
    assert shade[2, 2].max() == 0


@pytest.mark.parametrize("far", [1e9, -1e9])
def test_a_label_that_is_far_off_does_not_break_the_drawing(far):
    points = np.full((2, 21, 2), far, np.float32)
    keypoints = np.full((2, 21, 3), far, np.float32)
    keypoints[..., 2] = 1
    changed = view(
        joints_px=points,
        joints_valid=np.ones((2, 21), bool),
        keypoints=keypoints,
        box=np.array([[far, far, far + 1e6, far + 1e6]] * 2, np.float32),
        hand_valid=np.ones(2, bool),
    )
    assert contact_sheet.panels(changed, size=SIZE).shape[0] == SIZE


def test_the_grid_has_a_tile_for_each_record():
    tiles = [np.full((10, 20, 3), value, np.uint8) for value in (90, 120, 200)]
    sheet = contact_sheet.grid(tiles, columns=2)
    assert sheet.shape == (2 * 16 + 6, 2 * 26 + 6, 3)
    assert (sheet[22:32, 6:26] == 200).all()
    assert (sheet[22:, 32:] == 40).all()  # three tiles on a two by two grid
