import cv2
import numpy as np
import pytest

from twohand_jax.pipelines.synthetic.labels import (
    CueNoise,
    noisy_depth,
    noisy_keypoints,
    noisy_segmentation,
)

SIZE = 256
QUIET = CueNoise(dropout=0, finger_swap=0, hand_swap=0, hand_missing=0)
BOX = np.array([[20.0, 40, 120, 130], [130, 60, 230, 150]])
BOTH = np.array([True, True])
JOINTS = np.random.default_rng(9).uniform(60, 110, (2, 21, 2)) + [[[0, 0]], [[100, 0]]]


def _keypoints(
    seed: int, hidden: np.ndarray | None = None, **changes: object
) -> np.ndarray:
    options: dict = {"shown": BOTH, "noise": QUIET, "joints_px": JOINTS} | changes
    hidden = np.zeros((2, 21), bool) if hidden is None else hidden
    rng = np.random.default_rng(seed)
    return noisy_keypoints(rng, box=BOX, hidden=hidden, size=SIZE, **options)


def _labels() -> np.ndarray:
    labels = np.zeros((SIZE, SIZE), np.uint8)
    cv2.circle(labels, (80, 120), 45, 1, -1)
    cv2.circle(labels, (160, 130), 50, 2, -1)
    return labels


def test_the_same_seed_gives_the_same_keypoints() -> None:
    np.testing.assert_array_equal(_keypoints(3), _keypoints(3))
    assert not np.array_equal(_keypoints(3), _keypoints(4))


def test_error_is_a_few_percent_of_the_box_and_larger_where_hidden() -> None:
    hidden = np.zeros((2, 21), bool)
    hidden[:, ::2] = True
    found = np.stack([_keypoints(seed, hidden) for seed in range(300)])
    error = np.linalg.norm(found[..., :2] - JOINTS, axis=-1) / 100
    seen, behind = error[:, ~hidden].mean(), error[:, hidden].mean()
    assert 0.015 < seen < 0.05
    assert 1.6 < behind / seen < 3.0
    assert found[:, ~hidden, 2].min() >= 0.7 > found[:, hidden, 2].max()


def test_absent_hands_and_lost_joints_are_zero() -> None:
    found = _keypoints(0, shown=np.array([True, False]))
    assert found[0, :, 2].all() and not found[1].any()
    noise = CueNoise(dropout=0.5, finger_swap=0, hand_swap=0, hand_missing=0)
    lost = np.stack([_keypoints(seed, noise=noise) for seed in range(50)])
    assert 0.4 < (lost[..., 2] == 0).mean() < 0.6
    assert not lost[lost[..., 2] == 0].any()


def test_joints_outside_have_less_score() -> None:
    found = _keypoints(0, joints_px=JOINTS + 300)
    assert found[..., 2].max() <= 0.5


def test_swaps_exchange_whole_fingers_or_hands() -> None:
    fingers = CueNoise(dropout=0, finger_swap=1, hand_swap=0, hand_missing=0)
    found, plain = _keypoints(1, noise=fingers), None
    moved = (np.linalg.norm(found[0, :, :2] - JOINTS[0], axis=-1) > 15).sum()
    assert 4 <= moved <= 8
    hands = CueNoise(dropout=0, finger_swap=0, hand_swap=1, hand_missing=0)
    plain, swapped = _keypoints(1), _keypoints(1, noise=hands)
    np.testing.assert_array_equal(swapped, plain[::-1])


@pytest.mark.parametrize("seed", range(8))
def test_labels_change_along_their_boundary_only(seed: int) -> None:
    labels = _labels()
    noisy = noisy_segmentation(
        np.random.default_rng(seed), labels, noise=CueNoise(clean=0.0)
    )
    assert noisy.dtype == np.uint8 and set(np.unique(noisy)) <= {0, 1, 2}
    kernel = np.ones((13, 13), np.uint8)
    band = cv2.dilate(labels, kernel) != cv2.erode(labels, kernel)
    assert (noisy == labels)[~band].all()
    overlap = ((noisy > 0) & (labels > 0)).sum() / ((noisy > 0) | (labels > 0)).sum()
    assert 0.9 < overlap < 1.0


def test_clean_maps_are_exact() -> None:
    labels, noise = _labels(), CueNoise(clean=1.0)
    rng = np.random.default_rng(0)
    assert noisy_segmentation(rng, labels, noise=noise) is labels
    depth_m = np.where(labels > 0, 0.5 + np.arange(SIZE) / 1000, 0.0)
    relative = noisy_depth(rng, depth_m, labels, noise=noise)
    inside = depth_m[labels > 0]
    expected = (inside - inside.min()) / (inside.max() - inside.min())
    np.testing.assert_allclose(relative[labels > 0], expected, atol=1e-5)


def test_depth_errors_are_millimetres_and_smooth() -> None:
    labels = _labels()
    depth_m = np.where(labels > 0, 0.5 + np.arange(SIZE) / 1000, 0.0)
    noise = CueNoise(clean=0.0)
    relative = noisy_depth(np.random.default_rng(0), depth_m, labels, noise=noise)
    assert relative.min() == 0.0 and relative.max() == 1.0
    assert not relative[labels == 0].any()
    found, inside = relative[labels == 1], depth_m[labels == 1]
    slope, offset = np.polyfit(found, inside, 1)
    residual = slope * found + offset - inside
    assert 0.001 < residual.std() < 0.01
    steps = np.abs(np.diff(relative * slope, axis=1))[:, :][labels[:, 1:] == 1]
    assert np.median(steps) < 0.003


def test_a_picture_without_hands_has_no_depth() -> None:
    empty = np.zeros((SIZE, SIZE))
    rng = np.random.default_rng(0)
    found = noisy_depth(rng, empty, empty.astype(np.uint8), noise=CueNoise())
    assert not found.any()
