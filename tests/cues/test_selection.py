"""Which detections are the same hand, and which hand takes which side."""

import numpy as np
import pytest

from twohand_jax.cues.selection import (
    HandDetection,
    distinct,
    two_hands,
)
from twohand_jax.types import LEFT, RIGHT

SHAPE = np.random.default_rng(0).uniform(0, 100, (21, 2)).astype(np.float32)


def _hand(side, *, at=0.0, size=1.0, side_score=0.9, score=0.9):
    points = SHAPE * size + np.float32(at)
    return HandDetection(
        side=side,
        side_score=side_score,
        score=score,
        keypoints=np.concatenate([points, np.full((21, 1), score, np.float32)], 1),
        world=np.zeros((21, 3), np.float32),
        box=np.concatenate([points.min(0), points.max(0)]),
    )


def test_a_hand_found_twice_stays_once_and_the_surer_wins():
    kept = distinct([_hand(RIGHT, score=0.6), _hand(RIGHT, at=20.0, score=0.9)])
    assert [hand.score for hand in kept] == [0.9]


def test_clasped_hands_of_both_sides_stay():
    assert len(distinct([_hand(RIGHT), _hand(LEFT, at=20.0)])) == 2


def test_an_uncertain_other_side_over_a_hand_is_dropped():
    kept = distinct([_hand(RIGHT), _hand(LEFT, at=20.0, side_score=0.6)])
    assert [hand.side for hand in kept] == [RIGHT]


def test_a_hand_seen_in_a_part_of_a_hand_is_dropped():
    kept = distinct([_hand(RIGHT), _hand(LEFT, at=30.0, size=0.3, score=0.8)])
    assert [hand.side for hand in kept] == [RIGHT]


def test_hands_apart_stay():
    assert len(distinct([_hand(RIGHT), _hand(RIGHT, at=200.0)])) == 2


def test_one_hand_taken_for_both_sides_stays_once():
    kept = distinct([_hand(RIGHT), _hand(LEFT, at=3.0, score=0.8)])
    assert [hand.side for hand in kept] == [RIGHT]


def test_each_side_takes_its_surest_hand():
    found = two_hands(
        [_hand(LEFT, at=5.0, score=0.6), _hand(LEFT), _hand(RIGHT, at=9.0)]
    )
    assert found.present.all()
    np.testing.assert_allclose(found.keypoints[LEFT, :, :2], SHAPE)
    np.testing.assert_allclose(found.keypoints[RIGHT, :, :2], SHAPE + 9)
    np.testing.assert_allclose(found.side_score, 0.9)


@pytest.mark.parametrize(("limit", "taken"), [(1.0, True), (0.8, True), (0.7, False)])
def test_the_less_sure_of_two_left_hands_becomes_the_right_one(limit, taken):
    hands = [_hand(LEFT, side_score=0.75, at=7.0), _hand(LEFT, side_score=0.95)]
    found = two_hands(hands, reassign_below=limit)
    assert found.present.tolist() == [taken, True]
    np.testing.assert_allclose(found.keypoints[LEFT, :, :2], SHAPE)
    assert found.side_score[RIGHT] == pytest.approx(0.25 if taken else 0.0)


def test_nothing_found_is_all_zero():
    found = two_hands([])
    assert not found.present.any()
    assert not found.keypoints.any()
