"""Whose hand is whose: by size, by reach, most pairs at once, sides kept."""

import numpy as np
import pytest

from tests.inference.conftest import open_palm
from twohand_jax.cues.people import group_people, pair_gain, pixels_per_metre
from twohand_jax.cues.selection import HandDetection
from twohand_jax.types import LEFT, RIGHT

SCALE = 400.0


def _hand(side, x, *, y=0.0, scale=SCALE, side_score=0.95, score=0.95, turn=0.0):
    """A hand whose middle is at x, y metres (at the usual scale).

    Its fingers point up, or to the right for a turn of 90.
    """
    points = open_palm((0.0, 0.0), 0.158 * scale, 1.0)[:, :2]
    sin, cos = np.sin(np.radians(turn)), np.cos(np.radians(turn))
    points = points @ np.array([[cos, sin], [-sin, cos]]) + [x * SCALE, y * SCALE]
    return HandDetection(
        side=side,
        side_score=side_score,
        score=score,
        keypoints=np.c_[points, np.full(21, score, np.float32)],
        world=np.zeros((21, 3), np.float32),
        box=np.concatenate([points.min(0), points.max(0)]),
    )


def _places(people):
    """Where each person's hands are, metres; None for one that is not there."""
    return [
        tuple(
            hand and round(float(hand.keypoints[:, 0].mean() / SCALE), 2) for hand in p
        )
        for p in people
    ]


def test_the_scale_of_a_hand_does_not_change_with_its_view():
    hand = _hand(RIGHT, 0.0)
    seen = pixels_per_metre(hand)
    assert seen == pytest.approx(SCALE, rel=0.1)
    for squeezed in ([1.0, 0.5, 1.0], [0.3, 1.0, 1.0]):
        foreshortened = hand._replace(keypoints=hand.keypoints * squeezed)
        assert pixels_per_metre(foreshortened) > 0.6 * seen


def test_people_side_by_side_keep_their_own_hands():
    hands = [_hand(RIGHT, 0.0), _hand(LEFT, 0.6), _hand(RIGHT, 0.9), _hand(LEFT, 1.5)]
    assert sorted(_places(group_people(hands))) == [(0.0, 0.6), (0.9, 1.5)]


def test_a_pair_that_is_nearest_does_not_leave_others_alone():
    hands = [_hand(RIGHT, 0.0), _hand(LEFT, 0.8), _hand(RIGHT, 1.0), _hand(LEFT, 1.8)]
    assert sorted(_places(group_people(hands))) == [(0.0, 0.8), (1.0, 1.8)]


@pytest.mark.parametrize(
    ("x", "scale", "together"),
    [(0.8, 1.0, True), (1.2, 1.0, False), (0.4, 1.6, True), (0.4, 2.4, False)],
)
def test_reach_and_size_tell_who_belongs_together(x, scale, together):
    hands = [_hand(RIGHT, 0.0), _hand(LEFT, x, scale=scale * SCALE)]
    found = group_people(hands)
    assert len(found) == (1 if together else 2)
    assert (pair_gain(*hands) > 0) is together


@pytest.mark.parametrize(
    ("x", "turns", "together"),
    [
        (1.4, (-90, 90), True),  # arms spread
        (2.0, (-90, 90), False),
        (0.6, (-90, 90), True),
        (0.6, (90, -90), False),  # from either side
        (0.1, (90, -90), True),  # palm to palm
    ],
)
def test_forearms_come_from_one_body(x, turns, together):
    hands = [_hand(RIGHT, 0.0, turn=turns[0]), _hand(LEFT, x, turn=turns[1])]
    assert len(group_people(hands)) == (1 if together else 2)


def test_inner_hands_of_neighbours_stay_apart():
    """Three of four hands are found; the odd one is the nearer to another's."""
    hands = [_hand(RIGHT, 0.0), _hand(LEFT, 0.5, turn=40), _hand(RIGHT, 0.9, turn=-40)]
    assert sorted(map(str, _places(group_people(hands)))) == [
        "(0.0, 0.5)",
        "(0.9, None)",
    ]


def test_hands_without_joints_go_together_by_their_boxes():
    seen, *others = (_hand(RIGHT, 0.0), _hand(LEFT, 0.5), _hand(LEFT, 2.0))
    hidden = [hand._replace(keypoints=np.zeros((21, 3))) for hand in others]
    assert pixels_per_metre(hidden[0]) == pytest.approx(SCALE, rel=0.2)
    first, second = group_people([seen, *hidden])
    assert first.right is seen and first.left is hidden[0]
    assert second.right is None and second.left is hidden[1]


def test_ones_own_hands_are_a_pair_though_the_right_one_is_on_the_right():
    (person,) = group_people([_hand(LEFT, 0.0), _hand(RIGHT, 0.5)])
    assert person.right is not None and person.left is not None


@pytest.mark.parametrize(("side_score", "count"), [(0.95, 2), (0.65, 2), (0.55, 1)])
def test_two_hands_of_a_side_stay_so_unless_one_is_unsure(side_score, count):
    sure, other = _hand(LEFT, 0.0), _hand(LEFT, 0.4, side_score=side_score)
    found = group_people([sure, other])
    assert len(found) == count
    if count == 1:
        assert found[0].left is sure
        assert found[0].right is not None
        assert found[0].right.side_score == pytest.approx(1 - side_score)


def test_no_hand_is_lost_and_the_surest_people_come_first():
    rng = np.random.default_rng(1)
    hands = [
        _hand(int(side), x, y=y, side_score=sure)
        for side, x, y, sure in zip(
            rng.integers(0, 2, 15),
            *rng.uniform(0, 4, (2, 15)),
            rng.uniform(0.5, 1, 15),
            strict=True,
        )
    ]
    found = group_people(hands)
    places = sorted(tuple(h.box) for p in found for h in p.hands)
    assert places == sorted(tuple(hand.box) for hand in hands)
    sums = [sum(h.score * h.side_score for h in p.hands) for p in found]
    assert sums == sorted(sums, reverse=True)
    assert group_people([]) == []
