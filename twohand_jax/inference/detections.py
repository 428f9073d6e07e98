"""Boxes and keypoints of a picture's hands, which are found before the network runs."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
from jaxtyping import Bool, Float, Float32, UInt8

from twohand_jax import paths
from twohand_jax.crops.pointing import pointing_angles
from twohand_jax.cues import selection
from twohand_jax.cues.mediapipe import SOLID, to_fingertips, trust
from twohand_jax.cues.onnx_detector import HandBoxes, OnnxDetector
from twohand_jax.cues.people import Person, group_people
from twohand_jax.cues.selection import HandDetection, two_hands
from twohand_jax.geometry import boxes as box_ops
from twohand_jax.types import NUM_JOINTS

if TYPE_CHECKING:
    from twohand_jax.cues.box_net import BoxNetDetector


class Detector(Protocol):
    """Finds hands in a picture, such as ``cues.mediapipe.MediaPipeHands``."""

    def __call__(
        self,
        image: UInt8[np.ndarray, "h w 3"],
        boxes: Float[np.ndarray, "n 4"] | None = None,
        sides: Sequence[int] | None = None,
        /,
    ) -> list[HandDetection]:
        """Find the hands of a picture.

        Args:
            image: uint8 RGB.
            boxes: hand boxes in pixels. If they are given, the detector looks for one
                hand in each and nowhere else.
            sides: anatomical side (0 right, 1 left) of each box.
        """
        ...


NO_WORLD = np.zeros((2, NUM_JOINTS, 3), np.float32)
NO_WORLD.setflags(write=False)
BELIEVED = np.ones(2, np.float32)
BELIEVED.setflags(write=False)
BOTH = np.ones(2, bool)
BOTH.setflags(write=False)


class Detections(NamedTuple):
    """The right and the left hand of a picture; unknown values are zero.

    Attributes:
        boxes: hand boxes in picture pixels, 1.2 times the tight box of the joints.
        keypoints: x and y in picture pixels, and score.
        score: confidence that the hand is there; 0 for absent hands.
        world: the detector's joints in metres about each hand's centre, in the
            picture's axes: x right, y down, z away from the camera.
        trust: how reliable a hand's keypoints are, 0 to 1.
        solid: whether a hand's ``world`` is reliable.
    """

    boxes: Float32[np.ndarray, "2 4"]
    keypoints: Float32[np.ndarray, "2 21 3"]
    score: Float32[np.ndarray, "2"]
    world: Float32[np.ndarray, "2 21 3"] = NO_WORLD
    trust: Float32[np.ndarray, "2"] = BELIEVED
    solid: Bool[np.ndarray, "2"] = BOTH

    @property
    def present(self) -> Bool[np.ndarray, "2"]:
        """Which hands are there."""
        return self.score > 0

    @property
    def has_keypoints(self) -> bool:
        """Whether any joint of any hand has a keypoint."""
        return bool((self.keypoints[..., 2] > 0).any())

    @property
    def has_world(self) -> Bool[np.ndarray, "2"]:
        """Which hands have joints in metres."""
        return (self.world != 0).any(axis=(1, 2))

    @property
    def evidence(self) -> Float32[np.ndarray, "2 21 3"]:
        """The keypoints for the fit: each score times the hand's trust."""
        factor = np.stack([BELIEVED, BELIEVED, self.trust], axis=-1)
        return self.keypoints * factor[:, None]

    @property
    def solid_world(self) -> Float32[np.ndarray, "2 21 3"]:
        """The joints in metres for the fit: zeros where they are not reliable."""
        return self.world * self.solid[:, None, None]

    def turned(
        self,
    ) -> tuple[Float32[np.ndarray, "2 4"], Float32[np.ndarray, "2"]]:
        """Boxes with the fingers up, as in training, and the angles they turn by.

        As there, a hand's keypoints give its box where more than half are known.
        """
        points, known = self.keypoints[..., :2], self.keypoints[..., 2] > 0
        angle = pointing_angles(points, known)
        around = box_ops.around_joints(points, known, least=2.0, angle=angle)
        enough = 2 * known.sum(axis=-1) > NUM_JOINTS
        box = np.where(enough[:, None], around, self.boxes)
        return box.astype(np.float32), angle.astype(np.float32)


def load_box_detector(path: str | Path) -> "OnnxDetector | BoxNetDetector":
    """What finds the boxes of hands: an ONNX file, or a converted InterWild's folder.

    Raises:
        InputError: it cannot be loaded.
    """
    if not paths.local(path).is_dir():
        return OnnxDetector(path)
    from twohand_jax.cues.box_net import BoxNetDetector

    return BoxNetDetector(path)


def detect_people(
    detector: Detector, image: UInt8[np.ndarray, "h w 3"], *, max_hands: int
) -> list[Detections]:
    """The hands that a detector finds anywhere, by person, the surest first.

    Args:
        detector: of hands.
        image: uint8 RGB.
        max_hands: how many are kept, those of the surest people.
    """
    people = group_people(detector(image))
    hands = [hand for person in people for hand in person.hands]
    return [_of_person(person) for person in group_people(hands[:max_hands])]


def _of_person(person: Person) -> Detections:
    hands = no_detections()._replace(
        world=NO_WORLD.copy(), trust=BELIEVED.copy(), solid=BOTH.copy()
    )
    for side, hand in enumerate(person):
        if hand is not None:
            hands.keypoints[side] = to_fingertips(hand.keypoints)
            hands.boxes[side] = box_around(hands.keypoints[side])
            hands.score[side] = hand.score
            presence = hand.keypoints[0, 2]
            hands.world[side] = hand.world
            hands.trust[side], hands.solid[side] = trust(presence), presence >= SOLID
    return hands


def detect_in_boxes(
    detector: Detector, image: UInt8[np.ndarray, "h w 3"], known: Detections
) -> Detections:
    """What a detector sees inside given boxes of known sides."""
    present = np.flatnonzero(known.present)
    found = two_hands(detector(image, known.boxes[present], present.tolist()))
    for side in np.flatnonzero(found.present):
        known.keypoints[side] = to_fingertips(found.keypoints[side])
    presence = found.keypoints[:, 0, 2]
    trusted = np.where(found.present, trust(presence), 1.0)
    return known._replace(
        world=found.world, trust=trusted.astype(np.float32), solid=presence >= SOLID
    )


def detections_from_boxes(
    found: HandBoxes, evidence: Float[np.ndarray, "n 2"]
) -> Detections:
    """The right and the left hand among a detector's boxes, without keypoints.

    Args:
        found: the boxes.
        evidence: for right and left of each box (``selection.sides_from_…``).
    """
    hands = no_detections()
    for side, box in enumerate(selection.choose_sides(found, evidence)):
        if box != selection.NO_BOX:
            hands.boxes[side] = found.boxes[box]
            hands.score[side] = found.scores[box]
    return hands


def people_in_boxes(
    detector: Detector,
    image: UInt8[np.ndarray, "h w 3"],
    found: HandBoxes,
    evidence: Float[np.ndarray, "n 2"],
) -> list[Detections]:
    """The hands in a detector's boxes, by person, the surest first.

    Args:
        detector: of joints in boxes; a box in which it sees none is still a hand's.
        image: uint8 RGB.
        found: the boxes.
        evidence: for right and left of each box, zeros where only its look can tell
            (``selection.sides_from_…``).
    """
    known = selection.known_sides(found, evidence)
    hands = [
        _in_box(detector, image, *each)
        for each in zip(found.boxes, found.scores, *known, strict=True)
    ]
    people = []
    for person in group_people(hands):
        one = _of_person(person)
        for side, hand in enumerate(person):
            if hand is not None:
                one.boxes[side], one.score[side] = hand.box, hand.score
                if not (hand.keypoints[:, 2] > 0).any():
                    one.trust[side] = 1.0
        people.append(one)
    return people


def _in_box(
    detector: Detector,
    image: UInt8[np.ndarray, "h w 3"],
    box: Float32[np.ndarray, "4"],
    score: float,
    side: int,
    side_score: float,
) -> HandDetection:
    """The hand in a box, with its joints where they are seen.

    Args:
        detector: see ``people_in_boxes``.
        image: uint8 RGB.
        box: pixels.
        score: how sure it is a hand.
        side: 0 right, 1 left, or -1 where its look tells.
        side_score: probability of the side.
    """
    looked = detector(image, box[None], None if side < 0 else [int(side)])
    if not looked:
        hand = selection.hidden_hand(max(int(side), 0))
    else:
        hand = looked[0]
        side_score = hand.side_score if side < 0 else side_score
    return hand._replace(
        box=np.asarray(box), score=float(score), side_score=float(side_score)
    )


def no_detections() -> Detections:
    """A picture without hands."""
    return Detections(
        boxes=np.zeros((2, 4), np.float32),
        keypoints=np.zeros((2, NUM_JOINTS, 3), np.float32),
        score=np.zeros(2, np.float32),
    )


def box_around(keypoints: Float32[np.ndarray, "21 3"]) -> Float32[np.ndarray, "4"]:
    """The hand box of scored keypoints, as in training."""
    box = box_ops.around_joints(keypoints[:, :2], keypoints[:, 2] > 0, least=2.0)
    return box.astype(np.float32)
