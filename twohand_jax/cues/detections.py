"""Hands found in a picture: the record, and which of them are the same hand."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32

from twohand_jax.cues.landmarks import Landmarks
from twohand_jax.types import LEFT, RIGHT


class HandDetection(NamedTuple):
    """One hand of a picture.

    Attributes:
        side: 0 right, 1 left: the anatomical side in a picture that is not mirrored.
        side_score: probability of that side.
        score: probability that this is a hand at all.
        keypoints: 21 joints x, y in pixels and a score (the hand's).
        world: 21 joints, metres, about the hand's centre; x right, y down, z forward.
        box: x0, y0, x1, y1 about the keypoints, pixels.
    """

    side: int
    side_score: float
    score: float
    keypoints: Float32[np.ndarray, "21 3"]
    world: Float32[np.ndarray, "21 3"]
    box: Float32[np.ndarray, "4"]


def detection(hand: Landmarks, side: int | None = None) -> HandDetection:
    """Landmarks as a hand of a given side, or of the likelier one."""
    if side is None:
        side = RIGHT if hand.right >= 0.5 else LEFT
    points = hand.points.astype(np.float32)
    score = np.full((21, 1), hand.presence, np.float32)
    return HandDetection(
        side=side,
        side_score=hand.right if side == RIGHT else 1 - hand.right,
        score=hand.presence,
        keypoints=np.concatenate([points, score], axis=1),
        world=hand.world.astype(np.float32),
        box=np.concatenate([points.min(axis=0), points.max(axis=0)]),
    )


def distinct(
    hands: list[HandDetection], *, same: float = 0.5, other: float = 0.15
) -> list[HandDetection]:
    """Drop hands found twice and hands seen in a part of a hand; the surer stays.

    Args:
        same: mean joint distance, in hand sizes, below which two hands of the same
            side are one.
        other: the same for a right and a left hand. It is smaller because clasped
            hands do lie over each other.
    """
    kept: list[HandDetection] = []
    for hand in sorted(hands, key=certainty, reverse=True):
        for one in kept:
            limit = same if hand.side == one.side else other
            limit *= long_side(hand.box)
            if _distance(hand, one) < limit or _is_part(hand, one):
                break
        else:
            kept.append(hand)
    return kept


def certainty(hand: HandDetection) -> float:
    """Probability that it is a hand, and of the side it is given."""
    return hand.score * hand.side_score


def long_side(box: Float[np.ndarray, "4"]) -> float:
    """The longer side of a box."""
    return float((box[2:] - box[:2]).max())


def _distance(first: HandDetection, second: HandDetection) -> float:
    gap = (first.keypoints - second.keypoints)[:, :2]
    return float(np.linalg.norm(gap, axis=1).mean())


def _is_part(hand: HandDetection, of: HandDetection) -> bool:
    """Whether a hand lies mostly inside another and is not clearly one of its own.

    Clearly means: of the other side, at least half as large, and sure of its side.
    """
    low = np.maximum(hand.box[:2], of.box[:2])
    shared = float(np.prod(np.maximum(np.minimum(hand.box[2:], of.box[2:]) - low, 0)))
    own, whole = (float(np.prod(one.box[2:] - one.box[:2])) for one in (hand, of))
    is_own = hand.side != of.side and own >= 0.5 * whole and hand.side_score >= 0.8
    return shared > 0.5 * own and not is_own


def best_of_each_side_first(hands: list[HandDetection]) -> list[HandDetection]:
    """Order hands by side and certainty: the surest two come first."""
    ranked = sorted(hands, key=certainty, reverse=True)
    sides = [[hand for hand in ranked if hand.side == side] for side in (RIGHT, LEFT)]
    place = {id(hand): rank for side in sides for rank, hand in enumerate(side)}
    return sorted(ranked, key=lambda hand: place[id(hand)])
