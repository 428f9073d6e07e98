"""Hands of a photograph with MediaPipe's networks, as detector and as cue extractor."""

import contextlib
import copy
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from importlib import resources
from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32, UInt8

from twohand_jax.cues.palm import (
    PALM_BASES,
    Landmarks,
    Palm,
    Pyramid,
    Region,
    box_iou,
    detect_palms,
    find_landmarks,
    hand_region,
    pyramid,
    sharpen,
    tiles,
    tracking_region,
    whole_picture,
)
from twohand_jax.cues.partner import find_partner
from twohand_jax.cues.people import group_people
from twohand_jax.cues.selection import (
    HandDetection,
    certainty,
    detection,
    distinct,
    long_side,
    two_hands,
)
from twohand_jax.errors import InputError, MissingDependencyError
from twohand_jax.mano.joints import CANONICAL, TIPS, WRIST
from twohand_jax.types import LEFT, NO_CUES, NUM_JOINTS, RIGHT, Cues

PADDING = 1.5
TILE_PARTS, SMALL_PART = (0.67, 0.5), 0.33
TURNS = (np.pi / 2, -np.pi / 2, np.pi)
# Hands that are all in pairs, the largest as long as this part of the picture, are
# those of a close-up, and nobody else's are looked for.
CLOSE_UP = 0.25
# Faces and knees pass for hands more often where the palm is doubtful: then the closer
# look has to be surer. Hands of fewer pixels show no pose.
CLEAR_PALM, SURER, LEAST_SIZE = 0.6, 0.96, 16.0
# Hands of so many pixels are asked for a partner that they hide.
PARTNER_SIZE = 40.0
BOX_ROTATIONS = 8
BOX_MARGIN, PALM_MARGIN = 1.5, 2.0
MIN_BOX_IOU = 0.2
SIDE_MEMORY = 0.9  # share that a followed hand's earlier frames have in its side


class MediaPipeHands:
    """MediaPipe's palm and landmark networks as a function of a picture.

    Attributes:
        max_hands: largest number of hands; the search ends when they are found.
        palm_score: lowest palm score in the whole picture. Half of it is enough in
            tiles and boxes, where the landmark network decides.
        presence: lowest probability that a region shows a hand, for a first look and
            for boxes that are known to contain a hand.
        sure: the same for a closer look at a hand that only the search has found. In
            photographs of people, nearly everything below it is an elbow, a neck or a
            sleeve.
    """

    def __init__(
        self,
        *,
        max_hands: int = 2,
        palm_score: float = 0.5,
        presence: float = 0.5,
        sure: float = 0.9,
        num_threads: int = 2,
    ) -> None:
        """Load both networks, on `num_threads` threads each."""
        self.max_hands = max_hands
        self.palm_score = palm_score
        self.presence = presence
        self.sure = sure
        self._palms = load_network("palm_detection_full", num_threads=num_threads)
        self._joints = load_network("hand_landmark_full", num_threads=num_threads)

    def __call__(
        self,
        image: UInt8[np.ndarray, "h w 3"],
        boxes: Float[np.ndarray, "n 4"] | None = None,
        sides: Sequence[int] | None = None,
    ) -> list[HandDetection]:
        """Find the hands of a picture, those of the most certain person first.

        Args:
            image: uint8 RGB.
            boxes: x0, y0, x1, y1 of hands in pixels. If they are given, the networks
                look for at most one hand in each, in their order, and nowhere else.
            sides: anatomical side (0 right, 1 left) of each box; by default the
                picture decides.
        """
        _check(image, boxes, sides)
        if boxes is None:
            return self._search(image)
        known: Sequence[int | None] = (
            sides if sides is not None else [None] * len(boxes)
        )
        pairs = zip(np.asarray(boxes, np.float64), known, strict=True)
        picture = pyramid(image)
        found = [self._inside(picture, box, side) for box, side in pairs]
        return [hand for hand in found if hand is not None]

    def limited(self, max_hands: int) -> "MediaPipeHands":
        """The same networks with another limit."""
        other = copy.copy(self)
        other.max_hands = max_hands
        return other

    def follow(
        self,
        image: UInt8[np.ndarray, "h w 3"],
        before: Sequence[HandDetection],
        *,
        is_searched: bool,
    ) -> list[HandDetection]:
        """Hands of a video's next frame: those of the frame before, where they moved.

        A hand's side is that of all frames that it was followed through, the last ones
        most of all. A hand that is lost is left out.

        Args:
            image: uint8 RGB.
            before: hands of the frame before.
            is_searched: whether the whole picture is looked at, as it is where a hand
                was lost.
        """
        picture = pyramid(image)
        hands = []
        for hand in before:
            region = tracking_region(hand.keypoints[:, :2].astype(np.float64))
            found = find_landmarks(self._joints, picture, region)
            if found.presence >= self.presence:
                right = hand.side_score if hand.side == RIGHT else 1 - hand.side_score
                mixed = SIDE_MEMORY * right + (1 - SIDE_MEMORY) * found.right
                hands.append(detection(found._replace(right=mixed)))
        hands = [one for one in distinct(hands) if long_side(one.box) >= LEAST_SIZE]
        if is_searched or len(hands) < len(before):
            whole = whole_picture(*image.shape[:2])
            hands = self._look(picture, whole, hands, min_score=self.palm_score)
            hands = self._with_partners(picture, hands)
        return self._best(hands)

    def _search(self, image: UInt8[np.ndarray, "h w 3"]) -> list[HandDetection]:
        """The whole picture, parts of it, and on while hands seem to be missing."""
        height, width = image.shape[:2]
        whole = whole_picture(height, width)
        padded = whole._replace(size=whole.size * PADDING)
        picture = pyramid(image)
        hands = self._look(picture, whole, [], min_score=self.palm_score)
        hands = self._with_partners(picture, hands)
        if _all_paired(hands) and _largest(hands) > CLOSE_UP * whole.size:
            return self._best(hands)
        asked = hands
        parts = [region for part in TILE_PARTS for region in tiles(height, width, part)]
        hands = self._look_on(picture, [padded, *parts], hands)
        if not _all_paired(hands):
            turned = [padded._replace(angle=turn) for turn in TURNS]
            small = tiles(height, width, SMALL_PART)
            hands = self._look_on(picture, [*small, *turned], hands)
        if not hands:
            clear = pyramid(with_local_contrast(image))
            again = [whole, padded, *tiles(height, width, TILE_PARTS[0])]
            hands = self._look_on(clear, again, hands)
        return self._best(self._with_partners(picture, hands, asked))

    def _with_partners(
        self,
        image: Pyramid,
        hands: list[HandDetection],
        asked: Sequence[HandDetection] = (),
    ) -> list[HandDetection]:
        """The hands, and those that hide behind one of them, but for ``asked`` ones."""
        for person in group_people(hands):
            (hand, *other) = person.hands
            is_asked = any(hand is one for one in asked)
            is_small = long_side(hand.box) < PARTNER_SIZE
            if other or is_asked or is_small or len(hands) >= self.max_hands:
                continue
            partner = find_partner(self._joints, image, hand)
            others = [one for one in hands if one is not hand]
            if partner and len(distinct([*others, partner])) > len(others):
                hands = [*hands, partner]
        return hands

    def _best(self, hands: list[HandDetection]) -> list[HandDetection]:
        people = group_people(hands)
        return [hand for one in people for hand in one.hands][: self.max_hands]

    def _look_on(
        self, image: Pyramid, regions: list[Region], hands: list[HandDetection]
    ) -> list[HandDetection]:
        """Look at regions that can hold another hand, until there are enough."""
        for region in regions:
            if len(hands) >= self.max_hands:
                break
            if region.size >= _largest(hands):
                hands = self._look(image, region, hands, min_score=self.palm_score / 2)
        return hands

    def _look(
        self,
        image: Pyramid,
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
            sure = self.sure if palm.score >= CLEAR_PALM else max(self.sure, SURER)
            hand = detection(found)
            is_large = long_side(hand.box) >= LEAST_SIZE
            if is_large and found.presence >= max(self.presence, sure):
                hands.append(hand)
        return distinct(hands)

    def _inside(
        self,
        image: Pyramid,
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

    def _proposals(self, image: Pyramid, box: Float[np.ndarray, "4"]) -> list[Region]:
        center, side = (box[:2] + box[2:]) / 2, long_side(box)
        around = Region(center, PALM_MARGIN * side, 0.0)
        palms = detect_palms(self._palms, image, around, min_score=self.palm_score / 2)
        turns = np.arange(BOX_ROTATIONS) * (2 * np.pi / BOX_ROTATIONS)
        turned = [Region(center, BOX_MARGIN * side, float(turn)) for turn in turns]
        return [hand_region(palm) for palm in palms] + turned


def _all_paired(hands: list[HandDetection]) -> bool:
    """Whether there are hands, each with its partner."""
    return bool(hands) and all(len(one.hands) == 2 for one in group_people(hands))


def _largest(hands: list[HandDetection]) -> float:
    return max((long_side(hand.box) for hand in hands), default=0.0)


def with_local_contrast(
    image: UInt8[np.ndarray, "h w 3"],
) -> UInt8[np.ndarray, "h w 3"]:
    """A picture whose dark and bright parts are each spread over all brightnesses."""
    lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB)
    spread = cv2.createCLAHE(clipLimit=3.0, tileGridSize=(8, 8))
    lab[..., 0] = spread.apply(np.ascontiguousarray(lab[..., 0]))
    return cv2.cvtColor(lab, cv2.COLOR_LAB2RGB).astype(np.uint8, copy=False)


def _is_palm_of(palm: Palm, hand: HandDetection) -> bool:
    points = palm.points[[WRIST, PALM_BASES.MIDDLE_BASE]]
    gap = points - hand.keypoints[[WRIST, CANONICAL.MIDDLE_BASE], :2]
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


# Presence up to which landmarks help no estimate, and from which on they are to be
# believed. In photographs of clasped hands they are right from 0.7 to 0.9 on, by eye.
# Rendered hands that touch would ask for more: below 0.95 their palms are wrong by 40
# to 100 degrees. Joints in metres are worse than the network's below SOLID.
DOUBTED, TRUSTED, SOLID = 0.6, 0.9, 0.97


def trust(presence: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
    """How far landmarks are to be believed, 0 to 1, by the presence they come with."""
    return np.clip((presence - DOUBTED) / (TRUSTED - DOUBTED), 0.0, 1.0)


# MediaPipe puts a fingertip inside the finger, hand models put it at the very end:
# outlines of photographed fingers end 0.3 to 0.4 end-bone lengths further out.
TIP_REACH = 1.3


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
        keypoints = np.zeros((2, NUM_JOINTS, 3), np.float32)
        sides = np.flatnonzero(valid)
        if not len(sides):
            return NO_CUES.put("keypoints", keypoints, False)
        found = two_hands(self.hands(image, boxes[sides], sides.tolist()))
        for side in np.flatnonzero(found.present):
            keypoints[side] = to_fingertips(found.keypoints[side])
        return NO_CUES.put("keypoints", keypoints, bool(found.present.any()))


def to_fingertips(
    keypoints: Float32[np.ndarray, "21 3"],
) -> Float32[np.ndarray, "21 3"]:
    """MediaPipe's keypoints with the tips moved on to where the fingers end."""
    moved = keypoints.copy()
    for tip in TIPS:
        bone = keypoints[tip, :2] - keypoints[tip - 1, :2]
        moved[tip, :2] = keypoints[tip - 1, :2] + TIP_REACH * bone
    return moved


def load_network(
    name: str, *, num_threads: int
) -> Callable[[Float32[np.ndarray, "h w 3"]], list[np.ndarray]]:
    """Load `assets/<name>.tflite`; returns image in [0, 1] -> list of outputs.

    The outputs come in the file's own order, without their batch axis.
    """
    interpreter = _interpreter(name, num_threads=num_threads)
    image_index = interpreter.get_input_details()[0]["index"]
    output_indices = [d["index"] for d in interpreter.get_output_details()]

    def network(image: Float32[np.ndarray, "h w 3"]) -> list[np.ndarray]:
        interpreter.set_tensor(image_index, image[None])
        interpreter.invoke()
        return [interpreter.get_tensor(index)[0] for index in output_indices]

    return network


@contextlib.contextmanager
def _without_notes() -> Iterator[None]:
    """Leave out the notes that LiteRT writes to stderr, which it has no switch for.

    They are left out where TensorFlow's are (``TF_CPP_MIN_LOG_LEVEL``); warnings and
    errors are written when the context ends.
    """
    try:
        if os.environ.get("TF_CPP_MIN_LOG_LEVEL", "0") == "0":
            raise OSError("notes are wanted")
        sys.stderr.flush()
        before = os.dup(2)
    except (OSError, AttributeError):  # or there is no stderr
        yield
        return
    with tempfile.TemporaryFile() as told:
        os.dup2(told.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(before, 2)
            os.close(before)
            told.seek(0)
            kept = [line for line in told if not line.startswith(b"INFO:")]
            os.write(2, b"".join(kept))


def _interpreter(name: str, *, num_threads: int) -> Any:
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise MissingDependencyError(
            "The MediaPipe keypoint source runs its networks with the package "
            "ai-edge-litert, which is not installed here, or does not load: install it "
            "with `python -m pip install ai-edge-litert`, or give the hands' keypoints "
            "in a file (--keypoints FILE)."
        ) from error
    path = resources.files("twohand_jax.cues") / "assets" / f"{name}.tflite"
    with resources.as_file(path) as file:
        if not file.is_file():
            raise InputError(
                f"The network file {path} is missing from this installation of "
                "twohand_jax, which ships it as package data. Reinstall the package."
            )
        with _without_notes():
            interpreter = Interpreter(model_path=str(file), num_threads=num_threads)
            interpreter.allocate_tensors()
    return interpreter
