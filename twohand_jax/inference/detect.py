"""From a detector's answer to what the reconstruction starts from."""

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from twohand_jax.cues import sides
from twohand_jax.cues.mediapipe_cues import to_fingertips
from twohand_jax.cues.onnx_detector import HandBoxes
from twohand_jax.cues.selection import two_hands
from twohand_jax.inference import hints

Detector = Callable[..., Any]


def detect(
    detector: Detector, image: UInt8[np.ndarray, "h w 3"], known: hints.Hands | None
) -> hints.Hands:
    """What MediaPipe sees: anywhere, or inside given boxes of known sides."""
    if known is None:
        found = two_hands(detector(image))
        hands = hints.nothing()
        score = found.keypoints[:, 0, 2]
    else:
        present = np.flatnonzero(known.present)
        found = two_hands(detector(image, known.boxes[present], present.tolist()))
        hands, score = known, known.score
    for side in np.flatnonzero(found.present):
        hands.keypoints[side] = to_fingertips(found.keypoints[side])
        hands.score[side] = score[side]
        if known is None:
            hands.boxes[side] = hints.box_around(hands.keypoints[side])
    return hands


def of_boxes(found: HandBoxes, evidence: Float[np.ndarray, "n 2"]) -> hints.Hands:
    """The right and the left hand among a detector's boxes, without keypoints.

    Args:
        found: the boxes.
        evidence: for right and left of each box (``cues.sides``).
    """
    hands = hints.nothing()
    for side, box in enumerate(sides.choose(found, evidence)):
        if box != sides.NONE:
            hands.boxes[side] = found.boxes[box]
            hands.score[side] = found.scores[box]
    return hands
