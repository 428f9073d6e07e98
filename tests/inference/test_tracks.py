"""Hands of frames become people: sides are voted, gaps bridged, strays dropped."""

import numpy as np

from tests.inference.conftest import open_palm
from twohand_jax.inference.tracks import SeenHands, Tracks, track

RATE = 30.0
FRAMES = 40


def seen(hands: list[tuple[int, int, np.ndarray]]) -> SeenHands:
    """Of (frame, side, keypoints)."""
    hands = sorted(hands, key=lambda hand: hand[0])
    return SeenHands(
        np.array([hand[0] for hand in hands]),
        np.array([hand[1] for hand in hands]),
        np.ones(len(hands)),
        np.stack([hand[2] for hand in hands]),
    )


def pair(
    frame: int, *, x: float = 200.0, speed: float = 2.0
) -> list[tuple[int, int, np.ndarray]]:
    """A person's right hand, and the left one on its right."""
    at = x + speed * frame
    right, left = open_palm((at, 120), 90, 1), open_palm((at + 140, 130), 90, -1)
    return [(frame, 0, right), (frame, 1, left)]


def followed(hands: list[tuple[int, int, np.ndarray]], frames: int = FRAMES) -> Tracks:
    return track(seen(hands), frames, 1 / RATE)


def test_two_people_keep_their_hands() -> None:
    hands = [
        hand
        for frame in range(FRAMES)
        for hand in [*pair(frame), *pair(frame, x=900, speed=-3)][:: (-1) ** frame]
    ]
    found = followed(hands)
    assert found.row.shape == (FRAMES, 2, 2)
    table = seen(hands)
    for person in range(2):
        for side in range(2):
            rows = found.row[:, person, side]
            np.testing.assert_array_equal(table.frame[rows], np.arange(FRAMES))
            assert set(table.side[rows]) == {side}
            x = table.keypoints[rows, 0, 0]
            assert np.abs(np.diff(x)).max() < 5  # never another person's


def test_a_hand_that_looks_like_the_other_one_for_a_frame_is_bridged() -> None:
    hands = [hand for frame in range(FRAMES) for hand in pair(frame)]
    flipped = [(f, 1 - s if f == 17 and s == 0 else s, k) for f, s, k in hands]
    found = followed(flipped)
    assert found.row.shape[1] == 1
    assert np.argwhere(found.bridged).tolist() == [[17, 0, 0]]
    assert found.row[17, 0, 0] == -1
    assert found.present.all()


def test_short_gaps_are_bridged_and_long_ones_are_not() -> None:
    frames = [*range(10), *range(15, 25), *range(60, 80)]
    hands = [hand for frame in frames for hand in pair(frame, speed=0.5)]
    found = followed(hands, frames=80)
    assert found.row.shape[1] == 1  # who comes back is the same person
    there = found.present[:, 0].all(axis=1)
    np.testing.assert_array_equal(np.flatnonzero(there), [*range(25), *range(60, 80)])
    np.testing.assert_array_equal(
        np.flatnonzero(found.bridged[:, 0, 0]), np.arange(10, 15)
    )


def test_one_hand_that_comes_back_joins_the_other() -> None:
    hands = [hand for frame in range(80) for hand in pair(frame, speed=0.5)]
    away = [hand for hand in hands if hand[1] == 1 or not 30 <= hand[0] < 60]
    found = followed(away, frames=80)
    assert found.row.shape[1] == 1
    assert found.present[:, 0, 1].all()
    np.testing.assert_array_equal(
        np.flatnonzero(~found.present[:, 0, 0]), np.arange(30, 60)
    )


def test_hands_of_a_few_frames_are_dropped() -> None:
    hands = [hand for frame in range(FRAMES) for hand in pair(frame)]
    hands += [(frame, 0, open_palm((900, 400), 60, 1)) for frame in (8, 9)]
    assert followed(hands).row.shape[1] == 1


def test_nobody() -> None:
    empty = SeenHands(*(np.zeros(s) for s in ((0,), (0,), (0,), (0, 21, 3))))
    found = track(empty, 5, 1 / RATE)
    assert found.row.shape == (5, 0, 2)
