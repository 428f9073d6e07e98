"""Anchors, suppression and regions against laws and hand-made cases."""

import numpy as np
import pytest

from twohand_jax.cues.palm import (
    Palm,
    Region,
    anchor_centers,
    box_iou,
    cut_region,
    find_landmarks,
    from_picture,
    hand_region,
    pointing_angle,
    pyramid,
    suppress,
    tiles,
    to_picture,
)


def test_anchors_cover_two_grids():
    anchors = anchor_centers()
    assert anchors.shape == (2016, 2)
    np.testing.assert_allclose(
        anchors[:3], np.array([[0.5, 0.5], [0.5, 0.5], [1.5, 0.5]]) / 24
    )
    coarse = anchors[24 * 24 * 2 :]
    np.testing.assert_allclose(coarse[5], [0.5 / 12, 0.5 / 12])
    np.testing.assert_allclose(coarse[6], [1.5 / 12, 0.5 / 12])
    np.testing.assert_allclose(anchors.mean(axis=0), 0.5)


def test_suppression_averages_overlapping_boxes_by_score():
    values = np.zeros((3, 9, 2))
    values[:, 0] = [[0.2, 0.2], [0.22, 0.2], [0.8, 0.8]]
    values[:, 1] = 0.1
    scores = np.array([0.9, 0.3, 0.6])
    kept = suppress(scores, values, max_overlap=0.3)
    assert [score for score, _ in kept] == [0.9, 0.6]
    np.testing.assert_allclose(kept[0][1][0], [0.205, 0.2])
    np.testing.assert_allclose(kept[1][1][0], [0.8, 0.8])


def test_suppression_of_nothing():
    assert suppress(np.zeros(0), np.zeros((0, 9, 2)), max_overlap=0.3) == []


def test_box_iou():
    box = np.array([0.0, 0.0, 2.0, 2.0])
    others = np.array(
        [[0.0, 0.0, 2.0, 2.0], [1.0, 0.0, 3.0, 2.0], [5.0, 5.0, 6.0, 6.0]]
    )
    np.testing.assert_allclose(box_iou(box, others), [1, 1 / 3, 0])


@pytest.mark.parametrize("angle", [0.0, 0.5, np.pi / 2, -2.0])
def test_hand_region_lies_towards_the_fingers(angle):
    up = np.array([np.sin(angle), -np.cos(angle)])
    points = np.tile([100.0, 50.0], (7, 1))
    points[2] += 30 * up
    region = hand_region(Palm(1.0, np.array([100.0, 50.0]), 40.0, points))
    assert pointing_angle(up) == pytest.approx(angle)
    assert region.angle == pytest.approx(angle)
    assert region.size == pytest.approx(104)
    np.testing.assert_allclose(region.center, [100, 50] + 20 * up)
    above = from_picture(region.center + 10 * up, region)
    assert above[1] < 0.5
    assert above[0] == pytest.approx(0.5)


def test_region_maps_are_inverse():
    region = Region(np.array([30.0, -4.0]), 17.0, 0.7)
    points = np.random.default_rng(0).uniform(-50, 50, (2, 5, 2))
    np.testing.assert_allclose(to_picture(from_picture(points, region), region), points)


def test_cut_of_an_upright_square_copies_its_pixels():
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    region = Region(np.array([19.5, 14.5]), 16.0, 0.0)
    crop = cut_region(image, region, side=16)
    np.testing.assert_allclose(crop, image[7:23, 12:28] / 255, atol=1e-6)


def test_cut_agrees_with_the_point_map():
    image = np.zeros((64, 64, 3), np.uint8)
    image[20, 40] = 255
    region = Region(np.array([35.0, 25.0]), 40.0, np.pi / 2)
    crop = cut_region(image, region, side=40)[..., 0]
    y, x = np.unravel_index(crop.argmax(), crop.shape)
    expected = from_picture(np.array([40.0, 20.0]), region) * 40 - 0.5
    assert np.abs(expected - [x, y]).max() <= 0.5


@pytest.mark.parametrize("size", [500.0, 1700.0, 5000.0])
def test_large_pictures_are_cut_from_their_halves(size):
    y, x = np.mgrid[:1801, :2403].astype(np.float32)
    waves = [np.sin(x / 150), np.cos(y / 130), np.sin((x + y) / 170)]
    image = (127 + 120 * np.stack(waves, axis=-1)).astype(np.uint8)
    region = Region(np.array([1200.0, 800.0]), size, 0.6)
    halves = pyramid(image)
    assert [max(one.shape) for one in halves.levels] == [2403, 1202, 601, 300]
    seen = cut_region(halves, region, side=64)
    np.testing.assert_allclose(seen, cut_region(image, region, side=64), atol=0.03)
    small = pyramid(image[:900, :1200])
    assert len(small.levels) == 1
    np.testing.assert_array_equal(
        cut_region(small, region, side=64),
        cut_region(image[:900, :1200], region, side=64),
    )


def _dot_finder(crop):
    """A landmark network that takes the crop's brightest spot for every joint."""
    side = len(crop)
    y, x = np.unravel_index(crop.sum(axis=-1).argmax(), (side, side))
    point = np.array([x + 0.5, y + 0.5, 0.0])
    world = point / side - [0.5, 0.5, 0.0] + [0.0, 0.0, 0.25]
    pixels, world = np.tile(point, 21), np.tile(world, 21)
    return [pixels, np.ones(1), np.full(1, 0.75), world]


@pytest.mark.parametrize("mirrored_too", [False, True])
@pytest.mark.parametrize("angle", [0.0, 0.6, np.pi / 2, -2.5])
def test_world_joints_lie_in_the_picture_s_axes(angle, mirrored_too):
    image = np.zeros((200, 200, 3), np.uint8)
    image[58:63, 118:123] = 255  # about (120, 60)
    region = Region(np.array([100.0, 90.0]), 112.0, angle)
    found = find_landmarks(_dot_finder, image, region, mirrored_too=mirrored_too)
    expected = np.tile([20.0, -30.0], (21, 1))
    np.testing.assert_allclose(found.points - region.center, expected, atol=3)
    np.testing.assert_allclose(found.world[:, :2] * region.size, expected, atol=3)
    np.testing.assert_allclose(found.world[:, 2], 0.25)
    assert found.right == (0.5 if mirrored_too else 0.75)


def test_tiles_cover_the_picture():
    covered = np.zeros((90, 200), bool)
    for tile in tiles(90, 200, 0.33):
        x0, y0 = np.maximum(np.floor(tile.center - tile.size / 2), 0).astype(int)
        x1, y1 = np.ceil(tile.center + tile.size / 2).astype(int)
        covered[y0 : y1 + 1, x0 : x1 + 1] = True
    assert covered.all()
