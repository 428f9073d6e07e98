"""Hands followed through a video by MediaPipe's networks, on the demo picture."""

import numpy as np
import pytest
from PIL import Image

from twohand_jax import assets
from twohand_jax.cues.mediapipe import MediaPipeHands
from twohand_jax.cues.selection import HandDetection


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    return np.array(Image.open(assets.REGRESSOR.parent / "demo.jpg").convert("RGB"))


@pytest.fixture(scope="module")
def detector() -> MediaPipeHands:
    return MediaPipeHands()


@pytest.fixture(scope="module")
def found(detector: MediaPipeHands, picture: np.ndarray) -> list[HandDetection]:
    return detector(picture)


def test_hands_are_found_where_they_moved(detector, picture, found) -> None:
    moved = np.roll(picture, 12, axis=1)
    hands = detector.follow(moved, found, is_searched=False)
    assert sorted(hand.side for hand in hands) == [0, 1]
    for hand in hands:
        (before,) = [one for one in found if one.side == hand.side]
        shift = hand.keypoints[:, :2] - before.keypoints[:, :2]
        assert np.abs(shift - [12, 0]).mean() < 6


def test_a_side_is_that_of_the_frames_before(detector, picture, found) -> None:
    wrong = [
        hand._replace(side=1 - hand.side, side_score=np.float32(0.99)) for hand in found
    ]
    hands = detector.follow(picture, wrong, is_searched=False)
    sides = {hand.side: hand for hand in hands}
    for one in wrong:  # one frame does not change it, but counts against it
        assert sides[one.side].side_score < 0.95


def test_lost_hands_are_looked_for(detector, picture, found) -> None:
    elsewhere = found[0].keypoints.copy()
    elsewhere[:, :2] = elsewhere[:, :2] * 0.2 + 5
    lost = found[0]._replace(keypoints=elsewhere)
    hands = detector.follow(picture, [lost, found[1]], is_searched=False)
    assert sorted(hand.side for hand in hands) == [0, 1]
    assert not detector.follow(np.zeros_like(picture), found, is_searched=False)
