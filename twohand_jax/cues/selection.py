"""From detected hands to the two-hand arrays of the library."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32

from twohand_jax.cues.detections import HandDetection, certainty
from twohand_jax.types import LEFT, NUM_JOINTS, RIGHT


class TwoHands(NamedTuple):
    """At most one right and one left hand of a picture; a missing one is all zeros.

    Attributes:
        keypoints: x, y in pixels and score, canonical joint order.
        boxes: tight box of the keypoints, x0, y0, x1, y1 in pixels.
        world: MediaPipe's joints in metres about the hand's centre, picture's axes.
        present: whether the hand was found.
        side_score: probability of the side the hand was given; below one half when
            a hand was given the other side (see `two_hands`).
    """

    keypoints: Float32[np.ndarray, "2 21 3"]
    boxes: Float32[np.ndarray, "2 4"]
    world: Float32[np.ndarray, "2 21 3"]
    present: Bool[np.ndarray, "2"]
    side_score: Float32[np.ndarray, "2"]


def two_hands(
    detections: Sequence[HandDetection], *, reassign_below: float = 1.0
) -> TwoHands:
    """Choose one right and one left hand.

    Of several hands of a side the surest (presence × side) wins. If then the other
    side is free, the runner-up takes it, provided that it is less sure of its own
    side than `reassign_below`: sides are mistaken more often than a picture shows
    two hands of the same side.

    Args:
        reassign_below: 1 gives every runner-up the free side, 0 drops it.
    """
    chosen = _by_side(detections, reassign_below=reassign_below)
    result = TwoHands(
        keypoints=np.zeros((2, NUM_JOINTS, 3), np.float32),
        boxes=np.zeros((2, 4), np.float32),
        world=np.zeros((2, NUM_JOINTS, 3), np.float32),
        present=np.zeros(2, bool),
        side_score=np.zeros(2, np.float32),
    )
    for side, hand in chosen.items():
        result.keypoints[side] = hand.keypoints
        result.boxes[side] = hand.box
        result.world[side] = hand.world
        result.present[side] = True
        right = hand.side_score if hand.side == RIGHT else 1 - hand.side_score
        result.side_score[side] = right if side == RIGHT else 1 - right
    return result


def _by_side(
    detections: Sequence[HandDetection], *, reassign_below: float
) -> dict[int, HandDetection]:
    ranked = sorted(detections, key=certainty, reverse=True)
    chosen: dict[int, HandDetection] = {}
    for hand in ranked:
        chosen.setdefault(hand.side, hand)
    for hand in ranked:
        free = LEFT if hand.side == RIGHT else RIGHT
        is_runner_up = hand is not chosen[hand.side]
        if is_runner_up and free not in chosen and hand.side_score < reassign_below:
            chosen[free] = hand
    return chosen
