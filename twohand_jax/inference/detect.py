"""From a detector's list of hands to what the reconstruction starts from."""

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import UInt8

from twohand_jax.cues.selection import two_hands
from twohand_jax.inference import hints

Detector = Callable[..., Any]


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
        hands.keypoints[side] = found.keypoints[side]
        hands.score[side] = score[side]
        if known is None:
            hands.boxes[side] = hints.box_around(found.keypoints[side])
    return hands
