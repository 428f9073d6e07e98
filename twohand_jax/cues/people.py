"""Whose hand is whose: the hands of a picture as people with one or two of them."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from twohand_jax.cues.selection import HandDetection, certainty, long_side
from twohand_jax.mano.joints import CANONICAL, WRIST
from twohand_jax.types import LEFT, RIGHT

# As far as a person's hands and elbows are from each other at most, metres at the scale
# of the hands, and as much larger as the nearer hand looks at most. Elbows tell more
# than hands: in photographs those of one person are up to 0.8 metres apart, and those
# of two whose hands are near each other mostly 0.7 to 1.3.
REACH, ELBOWS, MOST_RATIO = 1.7, 0.9, 2.2
# A forearm goes on behind the wrist as the palm points, so many times as far as the
# middle finger's knuckle is from the wrist.
FOREARM = 2.7
# What it costs a pair, of 1 at most, that its right hand is further to the right by so
# many metres, and its right elbow. One's own hands and those of people seen from behind
# lie like this; but so do the inner hands of two people side by side.
CROSSED, CROSSED_FROM = 0.3, 0.2
# A hand less sure of its side may turn out to be the other one.
UNSURE_SIDE = 0.6
# Lengths of a hand, metres: wrist to knuckles, across the knuckles, along two fingers.
LENGTHS = (
    ((0, 5), 0.093),
    ((0, 9), 0.092),
    ((0, 17), 0.085),
    ((5, 17), 0.062),
    ((5, 6, 7, 8), 0.085),
    ((9, 10, 11, 12), 0.093),
)
# The longer side of the box of a hand, metres.
LONG_SIDE = 0.17


class Person(NamedTuple):
    """A person's hands; None for one that was not found."""

    right: HandDetection | None = None
    left: HandDetection | None = None

    @property
    def hands(self) -> list[HandDetection]:
        """Those that were found, right before left."""
        return [hand for hand in self if hand is not None]


def group_people(
    hands: Sequence[HandDetection], *, unsure: float = UNSURE_SIDE
) -> list[Person]:
    """Hands as people, the surest first.

    A right and a left hand belong together if they are alike in size, near each other,
    and the forearms behind them come from one body. The pairs are chosen such that most
    is gained in all: taking the nearest pair first would join the inner hands of two
    people who stand close, and leave their outer hands alone. Hands stay what they look
    like, right or left; only a hand without a partner that is unsure of its side
    becomes the other hand of another without one.

    Args:
        hands: any number of them, of one picture.
        unsure: probability of its side below which a hand may change it.
    """
    found = _pairs(hands)
    alone = _without(hands, found)
    for hand in sorted(alone, key=lambda one: one.side_score):
        if hand.side_score < unsure and any(one is hand for one in alone):
            other = hand._replace(side=1 - hand.side, side_score=1 - hand.side_score)
            # No two of those left over go together, so that a pair has the changed one.
            pairs = _pairs([other, *(one for one in alone if one is not hand)])
            found += pairs
            alone = _without(alone, [*pairs, Person(hand)] if pairs else [])
    found += [Person(h) if h.side == RIGHT else Person(None, h) for h in alone]
    return sorted(found, key=_certainty, reverse=True)


def _without(
    hands: Sequence[HandDetection], people: Sequence[Person]
) -> list[HandDetection]:
    taken = {id(hand) for person in people for hand in person.hands}
    return [hand for hand in hands if id(hand) not in taken]


def _certainty(person: Person) -> float:
    return sum(map(certainty, person.hands))


def _pairs(hands: Sequence[HandDetection]) -> list[Person]:
    right = [hand for hand in hands if hand.side == RIGHT]
    left = [hand for hand in hands if hand.side == LEFT]
    gain = np.array([[pair_gain(r, other) for other in left] for r in right])
    return [Person(right[r], left[k]) for r, k in best_pairs(gain) if gain[r, k] > 0]


def best_pairs(gain: Float[np.ndarray, "r l"]) -> list[tuple[int, int]]:
    """Rows and columns, each taken once, with the greatest sum of gains."""
    if not gain.size:
        return []
    if min(gain.shape) == 1:
        row, column = divmod(int(gain.argmax()), gain.shape[1])
        return [(row, column)]
    # Takes a while to import, for pictures of several people alone.
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(gain, maximize=True)
    return list(zip(rows.tolist(), columns.tolist(), strict=True))


def pair_gain(right: HandDetection, left: HandDetection) -> float:
    """How well two hands go together: 1 at best, 0 if they cannot be one person's."""
    scales = np.array([pixels_per_metre(right), pixels_per_metre(left)])
    scale = np.sqrt(scales.prod())
    gaps = np.stack([_middle(right) - _middle(left), _elbow(right) - _elbow(left)])
    gaps /= scale
    apart = (np.linalg.norm(gaps, axis=1) / (REACH, ELBOWS)).max()
    size = np.log(scales.max() / scales.min()) / np.log(MOST_RATIO)
    crossed = CROSSED * (gaps[:, 0] > CROSSED_FROM).sum()
    return float(np.clip(1 - apart**2 - size**2 - crossed, 0, 1))


def pixels_per_metre(hand: HandDetection) -> float:
    """The scale of a hand in the picture: that of the least foreshortened length.

    Of a hand without joints that of its box.
    """
    if not _has_joints(hand):
        return max(1.0, long_side(hand.box) / LONG_SIDE)
    points = hand.keypoints[:, :2]
    lengths = [
        np.linalg.norm(np.diff(points[list(joints)], axis=0), axis=1).sum() / metres
        for joints, metres in LENGTHS
    ]
    return max(1.0, *map(float, lengths))


def _middle(hand: HandDetection) -> Float[np.ndarray, "2"]:
    if not _has_joints(hand):
        return hand.box.reshape(2, 2).mean(axis=0)
    return hand.keypoints[:, :2].mean(axis=0)


def _elbow(hand: HandDetection) -> Float[np.ndarray, "2"]:
    """Where the forearm comes from; of a hand without joints its middle."""
    if not _has_joints(hand):
        return _middle(hand)
    wrist, knuckle = hand.keypoints[[WRIST, CANONICAL.MIDDLE_BASE], :2]
    return wrist + FOREARM * (wrist - knuckle)


def _has_joints(hand: HandDetection) -> bool:
    return bool((hand.keypoints[:, 2] > 0).any())
