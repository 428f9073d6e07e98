"""Which of the boxes a detector found is the right hand, and which the left one.

A detector that tells hands only leaves that to what knows sides: keypoints or a label
map of a network that saw the whole person, else the look of each hand alone.
"""

import itertools
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from twohand_jax.cues.detections import HandDetection, certainty
from twohand_jax.cues.onnx_detector import HandBoxes
from twohand_jax.types import LEFT, RIGHT, Cues

NONE = -1
# Least mean score of a hand's joints, and share of a box's pixels, that tell its side.
MIN_JOINTS, MIN_PIXELS = 0.15, 0.05
# The surest boxes that are asked for a right and a left hand.
MOST_BOXES = 8


def of_keypoints(
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


def of_labels(
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


def of_appearance(
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


def of_cues(boxes: Float[np.ndarray, "n 4"], cues: Cues) -> Float[np.ndarray, "n 2"]:
    """What keypoints say, and where they say nothing the label map."""
    evidence = np.zeros((len(boxes), 2))
    if cues.has_keypoints:
        evidence = of_keypoints(boxes, np.asarray(cues.keypoints))
    if cues.has_segmentation:
        labels = of_labels(boxes, np.asarray(cues.segmentation))
        evidence = np.where(silent(evidence)[:, None], labels, evidence)
    return evidence


def silent(evidence: Float[np.ndarray, "n 2"]) -> Bool[np.ndarray, "n"]:
    """Which boxes the evidence says nothing about."""
    return evidence.max(axis=1, initial=0.0) <= 0


def choose(
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
    numbers = [NONE, *range(min(len(found.scores), MOST_BOXES))]
    best, most = (NONE, NONE), 0.0
    for pair in itertools.product(numbers, numbers):
        if pair[0] == pair[1]:
            continue
        total = sum(weight[box, side] for side, box in enumerate(pair) if box >= 0)
        if total > most:
            best, most = pair, total
    return np.array(best)
