"""Extractors without a network, for tests: they paint what they are told."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from twohand_jax.types import NO_CUES, Cues


@dataclasses.dataclass
class Painter:
    """Keypoints at the box's corners, labels in the boxes, depth falling to the right.

    ``asked`` holds the picture shapes of every call.
    """

    name: str = "painter"
    version: str = "1"
    makes: tuple[str, ...] = ("keypoints", "segmentation", "depth")
    score: float = 0.5
    asked: list[list[tuple[int, ...]]] = dataclasses.field(default_factory=list)

    def __call__(
        self, images: Sequence[np.ndarray], boxes: np.ndarray, valid: np.ndarray
    ) -> list[Cues]:
        self.asked.append([image.shape for image in images])
        triples = zip(images, boxes, valid, strict=True)
        return [self._one(*each) for each in triples]

    def _one(self, image: np.ndarray, boxes: np.ndarray, valid: np.ndarray) -> Cues:
        height, width = image.shape[:2]
        keypoints = np.zeros((2, 21, 3), np.float32)
        labels = np.zeros((height, width), np.uint8)
        for side in np.flatnonzero(valid):
            x0, y0, x1, y1 = boxes[side].astype(int)
            keypoints[side] = (x0, y0, self.score)
            keypoints[side, 1:, :2] = (x1, y1)
            labels[max(y0, 0) : y1 + 1, max(x0, 0) : x1 + 1] = side + 1
        depth = np.broadcast_to(np.linspace(0, 1, width), (height, width))
        cues = NO_CUES.put("keypoints", keypoints).put("segmentation", labels)
        cues = cues.put("depth", (depth * (labels > 0)).astype(np.float32))
        return cues.only(self.makes)
