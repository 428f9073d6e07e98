"""Sapiens' input, decoding and stitching beside slow twins in numpy and OpenCV."""

import cv2
import jax
import numpy as np
import pytest

from tests.cues import sapiens_twin
from twohand_jax.cues import sapiens, sapiens_decode
from twohand_jax.cues.sapiens_decode import HAND_CLASSES, HAND_KEYPOINTS, View
from twohand_jax.types import LEFT, RIGHT

SIZE = (1024, 768)
PERSON = np.array([100.0, 40.0, 340.0, 500.0])


def test_keypoint_sets_name_every_joint_once():
    tips = {  # indices of the fingertips, thumb to pinky, right then left
        308: [[21, 25, 29, 33, 37], [42, 46, 50, 54, 58]],
        133: [[116, 120, 124, 128, 132], [95, 99, 103, 107, 111]],
    }
    for count, hands in HAND_KEYPOINTS.items():
        assert hands.shape == (2, 21) and len(np.unique(hands)) == 42
        assert hands.max() < count
        np.testing.assert_array_equal(hands[:, 4::4], tips[count])
    np.testing.assert_array_equal(HAND_KEYPOINTS[308][:, 0], [41, 62])
    np.testing.assert_array_equal(HAND_KEYPOINTS[308][0, 5:9], [28, 27, 26, 25])
    np.testing.assert_array_equal(HAND_KEYPOINTS[133][1], np.arange(91, 112))


def test_classes_of_hands_are_those_of_the_28():
    kept = """Background Apparel Face_Neck Hair Left_Foot Left_Hand Left_Lower_Arm
    Left_Lower_Leg Left_Shoe Left_Sock Left_Upper_Arm Left_Upper_Leg Lower_Clothing
    Right_Foot Right_Hand""".split()
    assert kept.index("Right_Hand") == HAND_CLASSES[28][RIGHT]
    assert kept.index("Left_Hand") == HAND_CLASSES[28][LEFT]


def ends(T, box):
    """Where the corners of a box land."""
    return (T @ np.array([[box[0], box[2]], [box[1], box[3]], [1, 1]])).T


@pytest.mark.parametrize("box", [PERSON, np.array([0.0, 0.0, 640.0, 120.0])])
@pytest.mark.parametrize("margin", [1.0, 1.25])
def test_inputs_reach_over_the_grown_box(box, margin):
    center, extent = (box[:2] + box[2:]) / 2, margin * (box[2:] - box[:2])
    side = max(extent[0] / 3, extent[1] / 4)
    half = side * np.array([3, 4]) / 2
    grown = np.concatenate([center - half, center + half])
    unbiased = sapiens.keypoint_map(box, SIZE, margin=margin)
    np.testing.assert_allclose(ends(unbiased, grown), [[0, 0], [767, 1023]], atol=1e-9)
    area = sapiens.area_map(box, SIZE, margin=margin)
    np.testing.assert_allclose(
        ends(area, grown - 0.5), [[-0.5, -0.5], [767.5, 1023.5]], atol=1e-9
    )
    for T in (unbiased, area):
        assert T[0, 1] == T[1, 0] == 0


def picture(height=60, width=90, seed=0):
    """Smooth, so that OpenCV's fixed-point weights matter little."""
    noise = np.random.default_rng(seed).uniform(0, 255, (height, width, 3))
    smooth = cv2.GaussianBlur(noise, (0, 0), 3)
    low, high = smooth.min(), smooth.max()
    return np.round(255 * (smooth - low) / (high - low)).astype(np.uint8)


def sampled(image, x, y):
    """Bilinear by definition, zero outside."""
    total = np.zeros(image.shape[2])
    for i in (int(np.floor(x)), int(np.floor(x)) + 1):
        for j in (int(np.floor(y)), int(np.floor(y)) + 1):
            if 0 <= i < image.shape[1] and 0 <= j < image.shape[0]:
                total += (1 - abs(x - i)) * (1 - abs(y - j)) * image[j, i]
    return total


def test_cut_is_bilinear_and_black_outside():
    image, size = picture(), (32, 24)
    T = sapiens.keypoint_map(np.array([-20.0, 5, 40, 50]), size, margin=1.25)
    got = sapiens.cut_person(image, T, size)
    want = np.array(
        [
            [
                sampled(image, *((np.array([i, j]) - T[:, 2]) / np.diag(T)))
                for i in range(24)
            ]
            for j in range(32)
        ]
    )
    assert got.dtype == np.uint8 and (want == 0).any()
    assert np.abs(got - want).max() < 4 and np.abs(got - want).mean() < 0.6


def test_normalisation_is_the_papers():
    pixel = np.array([[[255, 0, 103]]], np.uint8)
    want = [(255 - 123.5) / 58.5, -116.5 / 57, -0.5 / 57.5]
    np.testing.assert_allclose(
        sapiens.normalise_image(pixel)[0, 0], want, rtol=1e-6, atol=1e-6
    )


def gaussians(peaks, shape=(64, 48), spread=6.0, height=0.8):
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    squared = [(columns - x) ** 2 + (rows - y) ** 2 for x, y in peaks]
    return height * np.exp(-np.array(squared) / (2 * spread**2))


@pytest.mark.parametrize("spread", [2.0, 6.0])
@pytest.mark.slow
def test_peaks_between_cells_are_found(spread):
    rng = np.random.default_rng(0)
    peaks = np.stack([rng.uniform(14, 33, 20), rng.uniform(14, 49, 20)], axis=1)
    found = sapiens_decode.refined_peaks(gaussians(peaks, spread=spread))
    assert np.abs(peaks - np.round(peaks)).max() > 0.4
    np.testing.assert_allclose(found, peaks, atol=0.02)


def test_blur_is_opencvs():
    maps = np.random.default_rng(0).uniform(size=(3, 32, 24)).astype(np.float32)
    got = sapiens_decode.blurred(maps)
    want = [sapiens_twin.blurred(one) for one in maps]
    np.testing.assert_allclose(got, want, atol=1e-5)


def test_decoding_agrees_with_the_twin_on_noisy_maps():
    rng = np.random.default_rng(1)
    peaks = np.stack([rng.uniform(2, 45, 30), rng.uniform(2, 61, 30)], axis=1)
    maps = gaussians(peaks, spread=3.0) + rng.uniform(0, 0.05, (30, 64, 48))
    want = np.array([sapiens_twin.peak(one) for one in maps])
    np.testing.assert_allclose(sapiens_decode.refined_peaks(maps), want, atol=2e-3)


@pytest.mark.slow
@pytest.mark.parametrize("batch", [(), (3,), (2, 1, 4)])
def test_peaks_of_any_batch(batch):
    maps = np.random.default_rng(0).uniform(size=(*batch, 20, 16)).astype(np.float32)
    found = np.asarray(sapiens_decode.refined_peaks(maps))
    assert found.shape == (*batch, 2)
    one = sapiens_decode.refined_peaks(maps.reshape(-1, 20, 16)[-1])
    np.testing.assert_allclose(found.reshape(-1, 2)[-1], one, atol=1e-4)


def test_peaks_stay_put_where_there_is_none():
    flat = np.ones((20, 16), np.float32)
    corner = gaussians([(0, 0)], shape=(20, 16))[0]
    found = np.asarray(sapiens_decode.refined_peaks(np.stack([flat, -flat, corner])))
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(found[:2], 0)
    np.testing.assert_allclose(found[2], 0, atol=2.0)


@pytest.mark.parametrize("count", [308, 133])
def test_keypoints_are_ours_in_input_pixels(count):
    x, y = np.arange(count) % 20 + 10, np.arange(count) // 20 + 15
    maps = gaussians(np.stack([x, y], axis=1), spread=2.0).astype(np.float32)
    right_wrist, left_thumb_tip = HAND_KEYPOINTS[count][[RIGHT, LEFT], [0, 4]]
    maps[right_wrist] *= 0.5
    maps[left_thumb_tip] = -1.0
    heat = np.moveaxis(maps, 0, -1)[None]
    found = jax.jit(sapiens_decode.decode_keypoints, static_argnums=1)(heat, (256, 192))
    assert found.shape == (1, 2, 21, 3)
    want = np.array([x[right_wrist] * 191 / 47, y[right_wrist] * 255 / 63, 0.4])
    np.testing.assert_allclose(found[0, RIGHT, 0], want, atol=0.1)
    np.testing.assert_array_equal(found[0, LEFT, 4], 0.0)
    tip = HAND_KEYPOINTS[count][LEFT, 20]
    np.testing.assert_allclose(
        found[0, LEFT, 20, :2], [x[tip] * 191 / 47, y[tip] * 255 / 63], atol=0.1
    )


def test_keypoints_go_back_where_their_input_came_from():
    points = np.random.default_rng(0).uniform(50, 400, (2, 21, 2))
    T = sapiens.keypoint_map(PERSON, SIZE, margin=1.25)
    score = np.ones((2, 21, 1))
    score[LEFT, 3] = 0
    seen = np.concatenate([points @ T[:, :2].T + T[:, 2], score], axis=-1)
    placed = sapiens_decode.place_keypoints(View(seen, T, SIZE))
    points[LEFT, 3] = 0
    np.testing.assert_allclose(placed[..., :2], points, atol=1e-4)
    np.testing.assert_array_equal(placed[..., 2:], score)


def scores(seed=0, shape=(32, 24)):
    """Smooth class scores."""
    noise = np.random.default_rng(seed).normal(size=(*shape, 28)).astype(np.float32)
    return cv2.GaussianBlur(noise, (0, 0), 2)


@pytest.mark.parametrize("shape", [(96, 72), (100, 75), (20, 15)])
def test_a_whole_picture_is_interpolated_as_pytorch_does(shape):
    torch = pytest.importorskip("torch")
    values, size = scores()[..., :3], (64, 48)
    whole = np.array([0.0, 0.0, shape[1], shape[0]])
    T = sapiens.area_map(whole, size, margin=1.0)
    got = sapiens_decode.place_map(View(values, T, size), shape)
    planes = torch.tensor(values).permute(2, 0, 1)[None]
    want = torch.nn.functional.interpolate(planes, size=shape, mode="bilinear")
    np.testing.assert_allclose(got, want[0].permute(1, 2, 0), atol=1e-5)
    assert sapiens_decode.inside(View(values, T, size), shape).all()


def test_only_the_box_is_seen():
    T = sapiens.area_map(np.array([30.0, 20, 60, 60]), (64, 48), margin=1.0)
    seen = sapiens_decode.inside(View(np.zeros((1, 1, 1)), T, (64, 48)), (80, 100))
    want = np.zeros((80, 100), bool)
    want[20:60, 30:60] = True
    np.testing.assert_array_equal(seen, want)


def test_labels_are_the_hands_that_win():
    torch = pytest.importorskip("torch")
    values, size, shape = scores(), (64, 48), (128, 96)
    values[..., [5, 14]] += 0.25
    T = sapiens.area_map(np.array([0.0, 0, 96, 128]), size, margin=1.0)
    margins = np.asarray(sapiens_decode.hand_margins(values))
    placed = sapiens_decode.place_map(View(margins, T, size), shape)
    labels = sapiens_decode.hand_labels(placed)
    planes = torch.tensor(values).permute(2, 0, 1)[None]
    full = torch.nn.functional.interpolate(planes, size=shape, mode="bilinear")
    best = full[0].argmax(0).numpy()
    want = np.where(best == 14, 1, np.where(best == 5, 2, 0))
    assert labels.dtype == np.uint8 and set(np.unique(want)) == {0, 1, 2}
    assert (labels == want).mean() > 0.98
    assert (labels == want)[labels > 0].all()
    inner = placed[..., sapiens_decode.FOREGROUND] > 0
    assert (inner == (best > 0)).mean() > 0.98


@pytest.mark.parametrize(("winner", "label"), [(14, 1), (5, 2), (0, 0), (6, 0)])
def test_each_class_has_its_label(winner, label):
    values = np.zeros((2, 2, 28), np.float32)
    values[..., winner] = 1.0
    margins = np.asarray(sapiens_decode.hand_margins(values))
    assert (sapiens_decode.hand_labels(margins) == label).all()
    assert (margins[..., 2] > 0).all() == (winner != 0)


def test_depth_is_spread_over_the_foreground():
    depth = np.random.default_rng(0).uniform(2, 5, (6, 7)).astype(np.float32)
    mask = np.zeros((6, 7), bool)
    mask[1:4, 2:6] = True
    got = sapiens_decode.relative_depth(depth, mask)
    assert got[mask].min() == 0 and got[mask].max() == 1 and (got[~mask] == 0).all()
    order = np.argsort(depth[mask])
    assert (np.diff(got[mask][order]) >= 0).all()
    np.testing.assert_allclose(
        sapiens_decode.relative_depth(3 * depth + 1, mask), got, atol=1e-6
    )
    assert (sapiens_decode.relative_depth(np.ones((6, 7)), mask) == 0).all()
    assert (sapiens_decode.relative_depth(depth, mask & False) == 0).all()
