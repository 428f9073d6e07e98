"""From a detector's list of hands to what the reconstruction starts from."""

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8

from twohand_jax.cues.selection import two_hands
from twohand_jax.inference import hints

Detector = Callable[..., Any]
# MediaPipe puts a fingertip inside the finger, hand models put it at the very end:
# outlines of photographed fingers end 0.3 to 0.4 end-bone lengths further out.
TIP_REACH = 1.3
TIPS = (4, 8, 12, 16, 20)


def detect(
    detector: Detector, image: UInt8[np.ndarray, "h w 3"], known: hints.Hands | None
) -> hints.Hands:
    """What the detector sees: anywhere, or inside given boxes of known sides."""
    if known is None:
        found = two_hands(detector(image))
        hands = hints.nothing()
        score = found.keypoints[:, 0, 2]
    else:
        sides = np.flatnonzero(known.present)
        found = two_hands(detector(image, known.boxes[sides], sides.tolist()))
        hands, score = known, known.score
    for side in np.flatnonzero(found.present):
        hands.keypoints[side] = to_fingertips(found.keypoints[side])
        hands.score[side] = score[side]
        if known is None:
            hands.boxes[side] = hints.box_around(hands.keypoints[side])
    return hands


def to_fingertips(
    keypoints: Float32[np.ndarray, "21 3"],
) -> Float32[np.ndarray, "21 3"]:
    """MediaPipe's keypoints with the tips moved on to where the fingers end."""
    moved = keypoints.copy()
    for tip in TIPS:
        bone = keypoints[tip, :2] - keypoints[tip - 1, :2]
        moved[tip, :2] = keypoints[tip - 1, :2] + TIP_REACH * bone
    return moved
