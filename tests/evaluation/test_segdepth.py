"""Scores of label and depth maps."""

import numpy as np
import pytest

from twohand_jax.evaluation.segdepth import SegDepthScores, depth_scores


def maps(seed=0):
    rng = np.random.default_rng(seed)
    labels = np.zeros((20, 20), int)
    labels[2:10, 3:12], labels[8:18, 10:18] = 1, 2
    return labels, rng.uniform(0.1, 0.9, labels.shape), labels > 0


def scores(change) -> dict[str, float]:
    labels, depth, measured = maps()
    total = SegDepthScores()
    total.add(*change(labels, depth), labels, depth, measured)
    return total.values()


def test_the_truth_is_perfect_in_any_unit_of_depth():
    assert scores(lambda labels, depth: (labels, 7 * depth - 3)) == pytest.approx(
        {
            "iou_right": 1,
            "iou_left": 1,
            "iou_hands": 1,
            "wrong_side": 0,
            "depth_error": 0,
            "depth_rank": 1,
        },
        abs=1e-9,
    )


def test_exchanged_sides_are_hands_still():
    found = scores(lambda labels, depth: (np.where(labels > 0, 3 - labels, 0), -depth))
    assert found["iou_right"] == found["iou_left"] == 0
    assert found["iou_hands"] == found["wrong_side"] == 1
    assert found["depth_rank"] == pytest.approx(-1)
    assert found["depth_error"] > 0.4


def test_half_of_a_hand_is_half_of_its_pixels():
    def half(labels, depth):
        kept = np.arange(20)[:, None] < 6
        return np.where((labels == 2) | kept, labels, 0), depth

    found = scores(half)
    right = np.sum(maps()[0] == 1)
    kept = np.sum(maps()[0][:6] == 1)
    assert found["iou_right"] == pytest.approx(kept / right)
    assert found["iou_left"] == 1


def test_pixels_of_all_pictures_are_pooled():
    labels, depth, measured = maps()
    total = SegDepthScores()
    total.add(labels, depth, labels, depth, measured)
    total.add(0 * labels, depth, labels, depth, measured)
    assert total.values()["iou_hands"] == 0.5
    assert SegDepthScores().values()["iou_hands"] == 0


def test_a_constant_depth_ranks_nothing():
    truth = np.linspace(0, 1, 50)
    error, rank = depth_scores(np.ones(50), truth)
    assert rank == 0 and error > 0.2


def test_a_few_stray_depths_do_not_set_the_range():
    truth = np.linspace(0, 1, 500)
    stray = truth.copy()
    stray[-3:] = 50.0
    assert depth_scores(stray, truth)[0] < 0.02
