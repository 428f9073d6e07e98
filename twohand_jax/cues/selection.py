"""Deciding which detections are the same hand, and which hand is right or left."""

import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float32, Int, UInt8

from twohand_jax.cues.onnx_detector import UNKNOWN_SIDE, HandBoxes
from twohand_jax.cues.palm import Landmarks
from twohand_jax.types import LEFT, NUM_JOINTS, RIGHT, Cues


class HandDetection(NamedTuple):
    """One detected hand of a picture.

    Attributes:
        side: anatomical side in a picture that is not mirrored; 0 right, 1 left.
        side_score: probability of that side.
        score: probability that this is a hand.
        keypoints: x and y of 21 joints in pixels, and the hand's score for each.
        world: 21 joints about the hand's centre, metres; x right, y down, z forward.
        box: x0, y0, x1, y1 of the keypoints' box, pixels.
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


# Boxes that share more than this of their union are of one hand, also of both sides.
SAME_BOX = 0.75


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
            is_same = joint_distance(hand, one) < limit or _iou(hand, one) > SAME_BOX
            if is_same or _is_part(hand, one):
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


def joint_distance(first: HandDetection, second: HandDetection) -> float:
    """Mean distance of both hands' joints, pixels."""
    gap = (first.keypoints - second.keypoints)[:, :2]
    return float(np.linalg.norm(gap, axis=1).mean())


def _shared(hand: HandDetection, of: HandDetection) -> float:
    low = np.maximum(hand.box[:2], of.box[:2])
    return float(np.prod(np.maximum(np.minimum(hand.box[2:], of.box[2:]) - low, 0)))


def _area(hand: HandDetection) -> float:
    return float(np.prod(hand.box[2:] - hand.box[:2]))


def _iou(hand: HandDetection, of: HandDetection) -> float:
    shared = _shared(hand, of)
    return shared / max(_area(hand) + _area(of) - shared, 1e-9)


def _is_part(hand: HandDetection, of: HandDetection) -> bool:
    """Whether a hand lies mostly inside another and is not clearly one of its own.

    Clearly means: of the other side, at least half as large, and sure of its side.
    """
    own, whole = _area(hand), _area(of)
    is_own = hand.side != of.side and own >= 0.5 * whole and hand.side_score >= 0.9
    return _shared(hand, of) > 0.5 * own and not is_own


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

    If several hands have the same side, the most certain one (presence × side) wins. If
    the other side is free, the runner-up takes it, unless the probability of its own
    side is at least ``reassign_below``: a wrong side is more frequent than two hands of
    the same side in a picture.

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


def hidden_hand(side: int) -> HandDetection:
    """A hand of which nothing is known but its side; its box is to be put in."""
    nothing = np.zeros((NUM_JOINTS, 3), np.float32)
    return HandDetection(side, 0.5, 0.0, nothing, nothing, np.zeros(4, np.float32))


NO_BOX = -1
# Least mean score of a hand's joints, and share of a box's pixels, that tell its side.
MIN_JOINTS, MIN_PIXELS = 0.15, 0.05
# The surest boxes that are asked for a right and a left hand.
MOST_BOXES = 8


def sides_from_keypoints(
    boxes: Float[np.ndarray, "n 4"], keypoints: Float[np.ndarray, "2 21 3"]
) -> Float[np.ndarray, "n 2"]:
    """Sum of the scores of each hand's joints in each box, per joint of the hand.

    0 where it is so little that the hand is elsewhere, or not in the picture at all.
    """
    score = np.clip(keypoints[None, ..., 2], 0.0, 1.0)
    points = keypoints[None, ..., :2]
    low, high = boxes[:, None, None, :2], boxes[:, None, None, 2:]
    inside = ((points >= low) & (points <= high)).all(axis=-1)
    seen = (score * inside).mean(axis=-1)
    return np.where(seen >= MIN_JOINTS, seen, 0.0)


def sides_from_labels(
    boxes: Float[np.ndarray, "n 4"], labels: UInt8[np.ndarray, "h w"]
) -> Float[np.ndarray, "n 2"]:
    """Share of each hand's label among the hand pixels of each box."""
    evidence = np.zeros((len(boxes), 2))
    for row, box in zip(evidence, boxes, strict=True):
        x0, y0 = np.maximum(np.ceil(box[:2]), 0).astype(int)
        x1, y1 = np.maximum(np.floor(box[2:]), -1).astype(int) + 1
        piece = labels[y0:y1, x0:x1]
        counts = np.array([(piece == side + 1).sum() for side in (RIGHT, LEFT)])
        if counts.sum() >= MIN_PIXELS * max(piece.size, 1):
            row[:] = counts / max(counts.sum(), 1)
    return evidence


def sides_from_appearance(
    boxes: Float[np.ndarray, "n 4"],
    image: UInt8[np.ndarray, "h w 3"],
    detector: Callable[..., Sequence[HandDetection]],
) -> Float[np.ndarray, "n 2"]:
    """What the hand in each box is taken for by its look; 0 where none is seen.

    Args:
        boxes: in pixels.
        image: the picture.
        detector: of hands inside given boxes, such as ``MediaPipeHands``.
    """
    evidence = np.zeros((len(boxes), 2))
    for row, box in zip(evidence, boxes, strict=True):
        for found in detector(image, box[None]):
            sure = certainty(found)
            row[found.side], row[1 - found.side] = sure, max(found.score - sure, 0.0)
    return evidence


def sides_from_cues(
    boxes: Float[np.ndarray, "n 4"], cues: Cues
) -> Float[np.ndarray, "n 2"]:
    """What keypoints say, and where they say nothing the label map."""
    evidence = np.zeros((len(boxes), 2))
    if cues.has("keypoints"):
        points = np.asarray(cues.values["keypoints"])
        evidence = sides_from_keypoints(boxes, points)
    if cues.has("segmentation"):
        labels = sides_from_labels(boxes, np.asarray(cues.values["segmentation"]))
        evidence = np.where(sides_unknown(evidence)[:, None], labels, evidence)
    return evidence


def sides_unknown(evidence: Float[np.ndarray, "n 2"]) -> Bool[np.ndarray, "n"]:
    """Which boxes the evidence says nothing about."""
    return evidence.max(axis=1, initial=0.0) <= 0


def known_sides(
    found: HandBoxes, evidence: Float[np.ndarray, "n 2"]
) -> tuple[Int[np.ndarray, "n"], Float[np.ndarray, "n"]]:
    """Each box's side, -1 where nothing tells it, and how sure that is (0.5 then).

    Args:
        found: the boxes; sides that the detector knows count as certain.
        evidence: for right and left.
    """
    share = evidence.max(axis=1) / np.maximum(evidence.sum(axis=1), 1e-9)
    sides = np.where(sides_unknown(evidence), UNKNOWN_SIDE, evidence.argmax(axis=1))
    is_certain = found.sides >= 0
    sides = np.where(is_certain, found.sides, sides)
    sure = np.where(sides < 0, 0.5, share)
    return sides, np.where(is_certain, 1.0, sure)


def choose_sides(
    found: HandBoxes, evidence: Float[np.ndarray, "n 2"]
) -> Int[np.ndarray, "2"]:
    """The box of the right and of the left hand, -1 where there is none.

    Of all pairs of boxes the one with the most evidence times score wins, so that of
    two boxes that both look like right hands the less sure one becomes the left. Boxes
    without any evidence are surer to be a hand than to be either; they take what is
    free.

    Args:
        found: the boxes; sides that the detector knows count as certain.
        evidence: for right and left.
    """
    known = found.sides[:, None] == np.array([RIGHT, LEFT])
    weight = np.where((found.sides >= 0)[:, None], known, evidence)
    forbidden = (found.sides >= 0)[:, None] & ~known
    weight = (weight + 1e-3) * found.scores[:, None]
    weight[forbidden] = -np.inf
    numbers = [NO_BOX, *range(min(len(found.scores), MOST_BOXES))]
    best, most = (NO_BOX, NO_BOX), 0.0
    for pair in itertools.product(numbers, numbers):
        if pair[0] == pair[1]:
            continue
        total = sum(weight[box, side] for side, box in enumerate(pair) if box >= 0)
        if total > most:
            best, most = pair, total
    return np.array(best)
