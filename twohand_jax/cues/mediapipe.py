"""Hands of a photograph with MediaPipe's networks: find, place 21 joints, tell sides.

A palm detector looks at the whole picture, then, while fewer hands are known than
wanted, at a padded picture (hands that fill it) and at overlapping tiles (small
hands). Each palm gives a rotated region for the landmark network, whose answer gives
the region for a second, sharper look. Where hand boxes are given, the landmark
network also tries each box at eight rotations, so it needs no palm.
"""

import itertools
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, UInt8

from twohand_jax.cues.detections import (
    HandDetection,
    best_of_each_side_first,
    certainty,
    detection,
    distinct,
    long_side,
)
from twohand_jax.cues.landmarks import Landmarks, find_landmarks, sharpen
from twohand_jax.cues.litert import load_network
from twohand_jax.cues.palm import (
    MIDDLE_BASE,
    WRIST,
    Palm,
    box_iou,
    detect_palms,
    hand_region,
)
from twohand_jax.cues.regions import Region, tiles, whole_picture
from twohand_jax.errors import InputError
from twohand_jax.types import LEFT, RIGHT

PADDING = 1.5
TILE_PARTS = (0.67, 0.5, 0.33)
BOX_ROTATIONS = 8
BOX_MARGIN, PALM_MARGIN = 1.5, 2.0
MIN_BOX_IOU = 0.2


class MediaPipeHands:
    """MediaPipe's palm and landmark networks as a function of a picture.

    Attributes:
        max_hands: the search ends, and the list is cut, at this many hands.
        palm_score: least palm score in the whole picture; half of it suffices in
            tiles and boxes, where the landmark network has the last word.
        presence: least probability that a region holds a hand.
    """

    def __init__(
        self,
        *,
        max_hands: int = 2,
        palm_score: float = 0.5,
        presence: float = 0.5,
        num_threads: int = 2,
    ) -> None:
        """Load both networks, on `num_threads` threads each."""
        self.max_hands = max_hands
        self.palm_score = palm_score
        self.presence = presence
        self._palms = load_network("palm_detection_full", num_threads=num_threads)
        self._joints = load_network("hand_landmark_full", num_threads=num_threads)

    def __call__(
        self,
        image: UInt8[np.ndarray, "h w 3"],
        boxes: Float[np.ndarray, "n 4"] | None = None,
        sides: Sequence[int] | None = None,
    ) -> list[HandDetection]:
        """Hands of an RGB picture, best of each side first.

        Args:
            image: uint8 RGB.
            boxes: x0, y0, x1, y1 of the hands, pixels; then only these are looked
                at, one hand each at most, in their order.
            sides: anatomical side (0 right, 1 left) of each box; the picture decides
                when left out.
        """
        _check(image, boxes, sides)
        if boxes is None:
            return self._search(image)
        known: Sequence[int | None] = (
            sides if sides is not None else [None] * len(boxes)
        )
        pairs = zip(np.asarray(boxes, np.float64), known, strict=True)
        found = [self._inside(image, box, side) for box, side in pairs]
        return [hand for hand in found if hand is not None]

    def _search(self, image: UInt8[np.ndarray, "h w 3"]) -> list[HandDetection]:
        height, width = image.shape[:2]
        whole = whole_picture(height, width)
        padded = whole._replace(size=whole.size * PADDING)
        stages = [[padded], *(tiles(height, width, part) for part in TILE_PARTS)]
        hands = self._look(image, whole, [], min_score=self.palm_score)
        for region in itertools.chain.from_iterable(stages):
            largest = max((long_side(hand.box) for hand in hands), default=0.0)
            if len(hands) >= self.max_hands or region.size < largest:
                break
            hands = self._look(image, region, hands, min_score=self.palm_score / 2)
        return best_of_each_side_first(hands)[: self.max_hands]

    def _look(
        self,
        image: UInt8[np.ndarray, "h w 3"],
        region: Region,
        known: list[HandDetection],
        *,
        min_score: float,
    ) -> list[HandDetection]:
        """The known hands and those newly found in a region."""
        hands = list(known)
        for palm in detect_palms(self._palms, image, region, min_score=min_score):
            if any(_is_palm_of(palm, hand) for hand in hands):
                continue
            found = find_landmarks(self._joints, image, hand_region(palm))
            if found.presence >= self.presence:
                found = sharpen(self._joints, image, found)
            if found.presence >= self.presence:
                hands.append(detection(found))
        return distinct(hands)

    def _inside(
        self,
        image: UInt8[np.ndarray, "h w 3"],
        box: Float[np.ndarray, "4"],
        side: int | None,
    ) -> HandDetection | None:
        """The hand that fills a box best, or None."""

        def fit(hand: Landmarks) -> float:
            own = detection(hand, side)
            return certainty(own) * box_iou(box, own.box[None])[0]

        firsts = [
            find_landmarks(self._joints, image, region)
            for region in self._proposals(image, box)
        ]
        likely = sorted(firsts, key=fit, reverse=True)[:3]
        best = max((sharpen(self._joints, image, hand) for hand in likely), key=fit)
        found = detection(best, side)
        fills = box_iou(box, found.box[None])[0] >= MIN_BOX_IOU
        return found if fills and found.score >= self.presence else None

    def _proposals(
        self, image: UInt8[np.ndarray, "h w 3"], box: Float[np.ndarray, "4"]
    ) -> list[Region]:
        center, side = (box[:2] + box[2:]) / 2, long_side(box)
        around = Region(center, PALM_MARGIN * side, 0.0)
        palms = detect_palms(self._palms, image, around, min_score=self.palm_score / 2)
        turns = np.arange(BOX_ROTATIONS) * (2 * np.pi / BOX_ROTATIONS)
        turned = [Region(center, BOX_MARGIN * side, float(turn)) for turn in turns]
        return [hand_region(palm) for palm in palms] + turned


def _is_palm_of(palm: Palm, hand: HandDetection) -> bool:
    gap = palm.points[[WRIST, MIDDLE_BASE]] - hand.keypoints[[0, 9], :2]
    return float(np.linalg.norm(gap, axis=1).mean()) < 0.4 * palm.size


def _check(
    image: np.ndarray, boxes: np.ndarray | None, sides: Sequence[int] | None
) -> None:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise InputError(
            "The keypoint source needs an RGB picture of type uint8 and shape "
            f"(height, width, 3), but got {image.dtype} of shape {image.shape}."
        )
    if boxes is None:
        return
    if np.ndim(boxes) != 2 or np.shape(boxes)[1] != 4:
        raise InputError(
            "Hand boxes must have the shape (n, 4), rows x0, y0, x1, y1 in pixels, "
            f"but got the shape {np.shape(boxes)}."
        )
    if not np.all(np.asarray(boxes)[:, 2:] > np.asarray(boxes)[:, :2]):
        raise InputError(
            "Each hand box needs x1 > x0 and y1 > y0 (x0, y0, x1, y1 in pixels), but "
            f"got {np.asarray(boxes).tolist()}."
        )
    if sides is not None and (
        len(sides) != len(boxes) or not set(sides) <= {RIGHT, LEFT}
    ):
        raise InputError(
            f"Each of the {len(boxes)} hand boxes needs one side, 0 (right) or "
            f"1 (left), but got {list(sides)}."
        )
