"""MediaPipe's landmark network as a cue extractor: keypoints inside given boxes."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Float32, UInt8

from twohand_jax.cues.extraction import no_cues
from twohand_jax.cues.mediapipe import MediaPipeHands
from twohand_jax.cues.selection import two_hands
from twohand_jax.types import Cues

# MediaPipe puts a fingertip inside the finger, hand models put it at the very end:
# outlines of photographed fingers end 0.3 to 0.4 end-bone lengths further out.
TIP_REACH = 1.3
TIPS = (4, 8, 12, 16, 20)


class MediaPipeCues:
    """Keypoints by MediaPipe (an ``extraction.Extractor``).

    Attributes:
        hands: the networks.
    """

    name = "mediapipe_hand_landmark_full"
    version = "1"
    makes = ("keypoints",)

    def __init__(self, hands: MediaPipeHands | None = None) -> None:
        """Take loaded networks, or load them."""
        self.hands = MediaPipeHands() if hands is None else hands

    def __call__(
        self,
        images: Sequence[UInt8[np.ndarray, "h w 3"]],
        boxes: Float[np.ndarray, "n 2 4"],
        valid: Bool[np.ndarray, "n 2"],
    ) -> list[Cues]:
        """See ``extraction.Extractor``; the boxes' sides are believed."""
        return [self._one(*each) for each in zip(images, boxes, valid, strict=True)]

    def _one(
        self,
        image: UInt8[np.ndarray, "h w 3"],
        boxes: Float[np.ndarray, "2 4"],
        valid: Bool[np.ndarray, "2"],
    ) -> Cues:
        cues = no_cues(*image.shape[:2])
        sides = np.flatnonzero(valid)
        if not len(sides):
            return cues
        found = two_hands(self.hands(image, boxes[sides], sides.tolist()))
        for side in np.flatnonzero(found.present):
            cues.keypoints[side] = to_fingertips(found.keypoints[side])
        return cues._replace(has_keypoints=np.asarray(found.present.any()))


def to_fingertips(
    keypoints: Float32[np.ndarray, "21 3"],
) -> Float32[np.ndarray, "21 3"]:
    """MediaPipe's keypoints with the tips moved on to where the fingers end."""
    moved = keypoints.copy()
    for tip in TIPS:
        bone = keypoints[tip, :2] - keypoints[tip - 1, :2]
        moved[tip, :2] = keypoints[tip - 1, :2] + TIP_REACH * bone
    return moved
