"""The MediaPipe keypoint source on the demo picture."""

import sys

import numpy as np
import pytest

from twohand_jax.cues.mediapipe import MediaPipeHands
from twohand_jax.cues.people import group_people
from twohand_jax.cues.selection import two_hands
from twohand_jax.errors import InputError
from twohand_jax.types import LEFT, RIGHT

INDEX_TIP, THUMB_TIP, WRIST = 8, 4, 0
# Read off the picture: tips of the index fingers and thumbs, pixels.
INDEX_TIPS = {LEFT: (219, 110), RIGHT: (638, 214)}
THUMB_TIPS = {LEFT: (358, 322), RIGHT: (612, 315)}


def _found(hands, image):
    return two_hands(hands(image))


def test_demo_picture_shows_a_right_and_a_left_hand(hands, demo_image):
    found = hands(demo_image)
    assert sorted(hand.side for hand in found) == [RIGHT, LEFT]
    for hand in found:
        assert hand.score > 0.9
        assert hand.side_score > 0.5
        assert np.all(hand.keypoints[:, :2] > 0)
        assert np.all(hand.keypoints[:, :2] < [960, 640])


@pytest.mark.parametrize("side", [RIGHT, LEFT])
def test_fingertips_lie_where_the_picture_shows_them(hands, demo_image, side):
    points = _found(hands, demo_image).keypoints[side, :, :2]
    assert np.linalg.norm(points[INDEX_TIP] - INDEX_TIPS[side]) < 25
    assert np.linalg.norm(points[THUMB_TIP] - THUMB_TIPS[side]) < 25


def test_mirrored_picture_swaps_the_sides(hands, demo_image):
    found = _found(hands, demo_image)
    mirrored = _found(hands, np.ascontiguousarray(demo_image[:, ::-1]))
    swapped = mirrored.keypoints[::-1, :, :2].copy()
    swapped[..., 0] = demo_image.shape[1] - 1 - swapped[..., 0]
    error = np.linalg.norm(swapped - found.keypoints[..., :2], axis=-1)
    assert error.mean() < 6
    assert error.max() < 15


@pytest.mark.parametrize("turns", [1, 2])
def test_turned_picture_turns_the_keypoints(hands, demo_image, turns):
    found = _found(hands, demo_image)
    turned = _found(hands, np.ascontiguousarray(np.rot90(demo_image, turns)))
    points = turned.keypoints[..., :2]
    height, width = demo_image.shape[:2]
    if turns == 2:
        back = np.array([width - 1, height - 1]) - points
    else:
        back = np.stack([width - 1 - points[..., 1], points[..., 0]], axis=-1)
    error = np.linalg.norm(back - found.keypoints[..., :2], axis=-1)
    assert error.mean() < 6


def test_world_joints_have_the_size_of_a_hand(hands, demo_image):
    world = _found(hands, demo_image).world
    palm = np.linalg.norm(world[:, 9] - world[:, WRIST], axis=-1)
    assert np.all((palm > 0.06) & (palm < 0.12))
    up = world[:, INDEX_TIP, 1] - world[:, WRIST, 1]
    assert np.all(up < -0.05)


def test_world_joints_turn_and_mirror_with_the_picture(hands, demo_image):
    world = _found(hands, demo_image).world
    # A quarter turn to the left takes x, y to y, -x; a mirror swaps the hands.
    turned = _found(hands, np.ascontiguousarray(np.rot90(demo_image))).world
    back = np.stack([-turned[..., 1], turned[..., 0], turned[..., 2]], axis=-1)
    mirrored = _found(hands, np.ascontiguousarray(demo_image[:, ::-1])).world
    swapped = mirrored[::-1] * [-1, 1, 1]
    for seen in (back, swapped):
        assert np.linalg.norm(seen - world, axis=-1).mean() < 0.006


def test_boxes_replace_the_search(hands, demo_image):
    free = _found(hands, demo_image)
    boxes = free.boxes + np.array([-10, -10, 10, 10], np.float32)
    given = hands(demo_image, boxes, sides=[RIGHT, LEFT])
    assert [hand.side for hand in given] == [RIGHT, LEFT]
    for hand in given:
        error = np.linalg.norm(hand.keypoints - free.keypoints[hand.side], axis=-1)
        assert error.mean() < 8


def test_a_box_without_a_hand_gives_none(hands, demo_image):
    assert hands(demo_image, np.array([[420.0, 20.0, 560.0, 120.0]])) == []


@pytest.mark.slow
def test_a_doubtful_hand_is_kept_where_a_box_tells_of_it_only(demo_image):
    certain = MediaPipeHands(num_threads=1, sure=1.0)
    assert certain(demo_image) == []
    known = MediaPipeHands(num_threads=1)(demo_image)
    told = certain(demo_image, np.stack([hand.box for hand in known]))
    assert [hand.side for hand in told] == [hand.side for hand in known]


def test_small_hands_are_found_in_tiles(hands, demo_image):
    large = np.full((4 * 640, 4 * 960, 3), 128, np.uint8)
    large[1000:1640, 500:1460] = demo_image
    points = _found(hands, large).keypoints[..., :2] - [500, 1000]
    error = np.linalg.norm(
        points - _found(hands, demo_image).keypoints[..., :2], axis=-1
    )
    assert error.mean() < 6


def test_hands_of_several_people_are_found_and_paired(demo_image):
    height, width = 640, 960
    wide = np.full((2 * height, 3 * width, 3), 128, np.uint8)
    wide[:height, :width] = wide[-height:, -width:] = demo_image
    hands = MediaPipeHands(num_threads=1, max_hands=8)
    people = group_people(hands(wide))
    assert [len(person.hands) for person in people] == [2, 2]
    for person in people:
        places = [hand.box[0] < 1.5 * width for hand in person.hands]
        assert places[0] == places[1]
    (pair,) = group_people(hands.limited(2)(wide))
    assert len(pair.hands) == 2, "the surest pair, not the surest two hands"


def test_one_hand_leaves_the_other_zero(hands, demo_image):
    alone = _found(hands, np.ascontiguousarray(demo_image[:, :480]))
    assert alone.present.tolist() == [False, True]
    assert not alone.keypoints[RIGHT].any()


@pytest.mark.parametrize("value", [0, 255])
def test_a_picture_without_hands_gives_none(hands, value):
    found = _found(hands, np.full((60, 90, 3), value, np.uint8))
    assert not found.present.any()


@pytest.mark.parametrize(
    ("shape", "dtype"), [((8, 8), np.uint8), ((8, 8, 4), np.uint8), ((8, 8, 3), float)]
)
def test_other_pictures_are_refused(hands, shape, dtype):
    with pytest.raises(InputError, match="uint8"):
        hands(np.zeros(shape, dtype))


@pytest.mark.parametrize(
    ("boxes", "sides", "message"),
    [
        ([1.0, 2.0, 3.0, 4.0], None, r"\(n, 4\)"),
        ([[5.0, 5.0, 5.0, 9.0]], None, "x1 > x0"),
        ([[1.0, 1.0, 5.0, 9.0]], [2], "one side"),
        ([[1.0, 1.0, 5.0, 9.0]], [0, 1], "one side"),
    ],
)
def test_wrong_boxes_are_refused(hands, demo_image, boxes, sides, message):
    with pytest.raises(InputError, match=message):
        hands(demo_image, np.array(boxes), sides)


def test_missing_runtime_is_said_with_the_install_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    with pytest.raises(InputError, match="pip install ai-edge-litert"):
        MediaPipeHands()
