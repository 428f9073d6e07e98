"""Which of Sapiens' keypoints and classes are those of hands (METHOD §3)."""

import numpy as np

from twohand_jax.types import LEFT, RIGHT


def _fingers(wrist: int, bases: tuple[int, ...], step: int) -> list[int]:
    """A wrist, and four joints of each finger counted from its base."""
    return [wrist, *(base + step * joint for base in bases for joint in range(4))]


# Keypoint set by its length: index of our 21 joints, right hand first. The 308 list
# fingers from the tip down; the 133 are COCO-WholeBody's, the left hand first.
HAND_KEYPOINTS = {
    308: np.array(
        [_fingers(41, (24, 28, 32, 36, 40), -1), _fingers(62, (45, 49, 53, 57, 61), -1)]
    ),
    133: np.array([np.arange(112, 133), np.arange(91, 112)]),
}
# Number of classes: the class of the right and of the left hand.
HAND_CLASSES = {28: {RIGHT: 14, LEFT: 5}}
BACKGROUND = 0
