"""Boxes: construction, growth and overlap."""

import jax.numpy as jnp
import numpy as np
import pytest

from twohand_jax.geometry import boxes

BOX = np.array([10.0, 20.0, 30.0, 60.0], np.float32)


@pytest.mark.parametrize("batch", [(), (3,), (2, 1, 4)])
def test_any_leading_batch(batch):
    points = np.random.default_rng(0).normal(size=(*batch, 5, 2)).astype(np.float32)
    box = boxes.from_points(points)
    expected = np.concatenate([points.min(-2), points.max(-2)], axis=-1)
    np.testing.assert_array_equal(box, expected)
    squared = boxes.square(box)
    for result, shape in (
        (squared, (4,)),
        (boxes.scale(box, 2.0), (4,)),
        (boxes.union(box, squared), (4,)),
        (boxes.center(box), (2,)),
        (boxes.size(box), (2,)),
        (boxes.area(box), ()),
        (boxes.iou(box, squared), ()),
    ):
        assert result.shape == (*batch, *shape)


def test_from_points_uses_valid_points_only():
    points = np.array([[0, 0], [4, 2], [100, -100]], np.float32)
    box = boxes.from_points(points, np.array([True, True, False]))
    np.testing.assert_array_equal(box, [0, 0, 4, 2])
    nothing = boxes.from_points(points, np.zeros(3, bool))
    np.testing.assert_array_equal(nothing, np.zeros(4))


@pytest.mark.parametrize("xp", [np, jnp])
def test_a_hand_box_is_one_and_a_fifth_of_the_joints(xp):
    points = xp.array([[[10.0, 20], [30, 60]], [[5.0, 5.0], [5.0, 5.0]]])
    box = boxes.around_joints(points)
    assert isinstance(box, type(points)) and box.dtype == points.dtype
    np.testing.assert_allclose(box, [[8, 16, 32, 64], [5, 5, 5, 5]])
    valid = xp.array([[True, False], [False, False]])
    grown = boxes.around_joints(points, valid, scale=1.5, least=2.0)
    np.testing.assert_allclose(grown, [[8.5, 18.5, 11.5, 21.5], [0, 0, 0, 0]])


def test_host_arrays_stay_host_arrays_of_their_type():
    box, other = np.array([[0.0, 0, 4, 2]]), np.array([[2.0, 0, 4, 2]])
    for result, expected in (
        (boxes.square(box), [[0, -1, 4, 3]]),
        (boxes.union(box, other), box),
        (boxes.area(box), [8]),
        (boxes.iou(box, other), [0.5]),
    ):
        assert isinstance(result, np.ndarray) and result.dtype == np.float64
        np.testing.assert_array_equal(result, expected)


def test_center_and_size_describe_the_box():
    np.testing.assert_array_equal(boxes.center(BOX), [20, 40])
    np.testing.assert_array_equal(boxes.size(BOX), [20, 40])
    again = boxes.from_center(boxes.center(BOX), boxes.size(BOX))
    np.testing.assert_array_equal(again, BOX)
    inverted = np.array([5, 5, 1, 1], np.float32)
    np.testing.assert_array_equal(boxes.size(inverted), [0, 0])


def test_scale_and_square_keep_the_centre():
    np.testing.assert_array_equal(boxes.scale(BOX, 2.0), [0, 0, 40, 80])
    np.testing.assert_array_equal(boxes.square(BOX), [0, 20, 40, 60])
    np.testing.assert_array_equal(boxes.square(boxes.square(BOX)), boxes.square(BOX))


def test_union_holds_both():
    other = np.array([0, 30, 15, 90], np.float32)
    np.testing.assert_array_equal(boxes.union(BOX, other), [0, 20, 30, 90])


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        ([10, 20, 30, 60], 1.0),
        ([10, 20, 30, 40], 0.5),
        ([20, 20, 40, 60], 1 / 3),
        ([30, 20, 50, 60], 0.0),  # edges touch
        ([100, 100, 110, 110], 0.0),
        ([0, 0, 0, 0], 0.0),
    ],
)
def test_iou(other, expected):
    other = np.asarray(other, np.float32)
    np.testing.assert_allclose(boxes.iou(BOX, other), expected, rtol=1e-6)
    np.testing.assert_allclose(boxes.iou(other, BOX), expected, rtol=1e-6)


def test_iou_of_two_empty_boxes_is_zero():
    assert boxes.iou(np.zeros(4), np.zeros(4)) == 0


@pytest.mark.parametrize(
    ("left", "present", "expected"),
    [
        ([5, 5, 20, 20], [True, True], True),
        ([10, 0, 20, 10], [True, True], False),
        ([30, 30, 40, 40], [True, True], False),
        ([5, 5, 20, 20], [True, False], False),
    ],
)
@pytest.mark.parametrize("batch", [(), (3,), (2, 1, 4)])
def test_overlap_is_of_two_hands_that_are_there(left, present, expected, batch):
    both = np.array([[0, 0, 10, 10], left], np.float32)
    found = boxes.overlap(
        np.broadcast_to(both, (*batch, 2, 4)), np.broadcast_to(present, (*batch, 2))
    )
    assert found.shape == batch
    assert (np.asarray(found) == expected).all()


def corners(box, angle):
    """A turned box's corners, one by one."""
    middle, extent = boxes.center(box), boxes.size(box)
    signs = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) / 2
    c, s = np.cos(angle), np.sin(angle)
    return middle + (signs * extent) @ np.array([[c, -s], [s, c]]).T


@pytest.mark.parametrize("batch", [(), (3,), (2, 1, 4)])
def test_the_box_about_a_turned_one_holds_its_corners(batch):
    rng = np.random.default_rng(0)
    low = rng.uniform(0, 50, (*batch, 2))
    box = np.concatenate([low, low + rng.uniform(5, 40, (*batch, 2))], axis=-1)
    angle = rng.uniform(-4, 4, batch)
    found = boxes.around_turned(box, angle)
    for index in np.ndindex(batch):
        expected = boxes.from_points(corners(box[index], angle[index]))
        np.testing.assert_allclose(found[index], expected, atol=1e-9)


def test_a_turned_box_is_the_tight_one_of_turned_joints():
    points = np.random.default_rng(0).normal(size=(2, 21, 2)) * 40
    angle = np.array([0.6, -2.0])
    found = boxes.around_joints(points, scale=1.0, angle=angle)
    for row in range(2):
        edges = corners(found[row], angle[row])
        along = edges[1] - edges[0], edges[3] - edges[0]
        for way in along:
            share = (points[row] - edges[0]) @ way / (way @ way)
            np.testing.assert_allclose([share.min(), share.max()], [0, 1], atol=1e-9)
    upright = boxes.around_joints(points, angle=np.zeros(2))
    np.testing.assert_allclose(upright, boxes.around_joints(points))


def test_overlap_of_turned_boxes_is_that_of_their_areas():
    """By points strewn over the first box of each pair."""
    rng = np.random.default_rng(0)
    low = rng.uniform(0, 40, (200, 2, 2))
    both = np.concatenate([low, low + rng.uniform(8, 30, (200, 2, 2))], axis=-1)
    angle = rng.uniform(-4, 4, (200, 2))
    found = boxes.overlap(both, np.ones((200, 2), bool), angle=angle)
    axis = np.linspace(0, 1, 60)
    share = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    shared = np.zeros(200)
    for row in range(200):
        first, second = (corners(both[row, k], angle[row, k]) for k in (0, 1))
        points = first[0] + share @ (first[[1, 3]] - first[0])
        ways = second[[1, 3]] - second[0]
        place = (points - second[0]) @ ways.T / np.sum(ways**2, axis=-1)
        shared[row] = np.all((place > 0) & (place < 1), axis=-1).mean()
    sure = (shared == 0) | (shared > 0.005)
    assert (found == (shared > 0))[sure].mean() > 0.98 and 0.2 < found.mean() < 0.9
    assert found[shared > 0].all()
    flat = boxes.overlap(both, np.ones((200, 2), bool), angle=np.zeros((200, 2)))
    np.testing.assert_array_equal(flat, boxes.overlap(both, np.ones((200, 2), bool)))
