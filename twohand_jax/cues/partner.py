"""The other hand of a pair, where the palm detector sees one palm only.

Of clasped hands the palm detector finds the one in front. The landmark network finds
the other one as well, once it is shown a region that holds it, so regions about the
known hand are tried. Most of what it then says is the known hand again, or a part of
it taken for a hand of the other side; a true partner has a wrist of its own.
"""

from collections.abc import Callable, Iterator

import numpy as np

from twohand_jax.cues.palm import (
    Landmarks,
    Pyramid,
    Region,
    find_landmarks,
    region_rotation,
    sharpen,
    tracking_region,
)
from twohand_jax.cues.selection import (
    HandDetection,
    certainty,
    detection,
    joint_distance,
    long_side,
)
from twohand_jax.mano.joints import WRIST
from twohand_jax.types import RIGHT

Network = Callable[[np.ndarray], list[np.ndarray]]

# Where partners were found in photographs of clasped hands: regions below, beside and
# above a left hand that points up, by so much of their side, each in four ways up.
SHIFT = 0.35
TOWARDS = ((0.0, 1.0), (-1.0, 0.0), (-0.7, -0.7), (0.0, -1.0))
QUARTERS = 4
# What a partner has at least: presence in a first look and in a closer one, probability
# of its side, and, of the known hand's longer side, the distance of both wrists and the
# mean distance of all joints. Parts of one hand that look like another have their
# wrists up to 0.7 away.
FIRST, PRESENCE, SIDE = 0.3, 0.6, 0.6
WRISTS, JOINTS = 0.72, 0.35
RATIO = 1.7  # of both hands' sizes at most
CLEAR = 0.95  # certainty after which no other region is tried


def find_partner(
    network: Network, image: Pyramid, hand: HandDetection
) -> HandDetection | None:
    """The other hand of someone whose one hand is known, if it is near that one.

    Args:
        network: MediaPipe's landmark network.
        image: the picture.
        hand: the known hand, with its joints.
    """
    best: HandDetection | None = None
    for region in _regions(hand):
        first = find_landmarks(network, image, region)
        if first.presence < FIRST or not _may_be(hand, first):
            continue
        found = detection(sharpen(network, image, first))
        if is_partner(hand, found) and (
            best is None or certainty(found) > certainty(best)
        ):
            best = found
            if certainty(best) >= CLEAR:
                break
    return best


def is_partner(hand: HandDetection, other: HandDetection) -> bool:
    """Whether a detection is a hand of its own, of the other side, beside a hand."""
    size = long_side(hand.box)
    ratio = long_side(other.box) / max(size, 1e-6)
    return (
        other.side != hand.side
        and other.score >= PRESENCE
        and other.side_score >= SIDE
        and joint_distance(hand, other) >= JOINTS * size
        and _wrists(hand, other.keypoints[WRIST, :2]) >= WRISTS * size
        and 1 / RATIO <= ratio <= RATIO
    )


def _may_be(hand: HandDetection, first: Landmarks) -> bool:
    """Whether a closer look is worth it: the wrist is not the known hand's."""
    return _wrists(hand, first.points[WRIST]) >= 0.5 * WRISTS * long_side(hand.box)


def _wrists(hand: HandDetection, wrist: np.ndarray) -> float:
    return float(np.linalg.norm(wrist - hand.keypoints[WRIST, :2]))


def _regions(hand: HandDetection) -> Iterator[Region]:
    about = tracking_region(hand.keypoints[:, :2].astype(np.float64))
    axes, sign = region_rotation(about.angle), -1.0 if hand.side == RIGHT else 1.0
    for x, y in TOWARDS:
        center = about.center + SHIFT * about.size * (axes @ np.array([sign * x, y]))
        for quarter in range(QUARTERS):
            angle = about.angle + sign * quarter * np.pi / 2
            yield Region(center, about.size, angle)
