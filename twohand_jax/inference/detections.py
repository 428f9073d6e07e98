"""What is known of a picture's hands before the network looks: boxes, keypoints."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
from jaxtyping import Bool, Float, Float32, UInt8

from twohand_jax.crops.pointing import pointing_angles
from twohand_jax.cues import selection
from twohand_jax.cues.mediapipe import to_fingertips, trust
from twohand_jax.cues.onnx_detector import HandBoxes
from twohand_jax.cues.people import Person, group_people
from twohand_jax.cues.selection import HandDetection, two_hands
from twohand_jax.errors import InputError
from twohand_jax.geometry import boxes as box_ops
from twohand_jax.mano.joints import JOINT_NAMES
from twohand_jax.types import NUM_JOINTS, SIDES

# What a caller knows of (right, left): numbers of each hand, None for one not there.
EachHand: TypeAlias = Sequence[npt.ArrayLike | None] | np.ndarray


class Detector(Protocol):
    """Finds hands in a picture, such as ``cues.mediapipe.MediaPipeHands``."""

    def __call__(
        self,
        image: UInt8[np.ndarray, "h w 3"],
        boxes: Float[np.ndarray, "n 4"] | None = None,
        sides: Sequence[int] | None = None,
        /,
    ) -> list[HandDetection]:
        """The hands of an RGB picture.

        Args:
            image: uint8 RGB.
            boxes: of hands, pixels; then only these are looked at, one hand each.
            sides: anatomical side (0 right, 1 left) of each box.
        """
        ...


NO_WORLD = np.zeros((2, NUM_JOINTS, 3), np.float32)
NO_WORLD.setflags(write=False)
BELIEVED = np.ones(2, np.float32)
BELIEVED.setflags(write=False)


class Detections(NamedTuple):
    """Right and left hand of a picture; what is not known is zero.

    Attributes:
        boxes: hand boxes, picture pixels (1.2 times the tight box of the joints).
        keypoints: x, y, score.
        score: how sure it is that the hand is there, 0 for absent ones.
        world: the detector's joints in metres about each hand's own centre, in the
            picture's axes: x right, y down, z away from the camera.
        trust: how far a hand's keypoints and ``world`` are to be believed, 0 to 1.
    """

    boxes: Float32[np.ndarray, "2 4"]
    keypoints: Float32[np.ndarray, "2 21 3"]
    score: Float32[np.ndarray, "2"]
    world: Float32[np.ndarray, "2 21 3"] = NO_WORLD
    trust: Float32[np.ndarray, "2"] = BELIEVED

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
    hands = no_detections()._replace(world=NO_WORLD.copy(), trust=BELIEVED.copy())
    for side, hand in enumerate(person):
        if hand is not None:
            hands.keypoints[side] = to_fingertips(hand.keypoints)
            hands.boxes[side] = box_around(hands.keypoints[side])
            hands.score[side] = hand.score
            hands.world[side] = hand.world
            hands.trust[side] = trust(hand.keypoints[0, 2])
    return hands


def detect_in_boxes(
    detector: Detector, image: UInt8[np.ndarray, "h w 3"], known: Detections
) -> Detections:
    """What a detector sees inside given boxes of known sides."""
    present = np.flatnonzero(known.present)
    found = two_hands(detector(image, known.boxes[present], present.tolist()))
    for side in np.flatnonzero(found.present):
        known.keypoints[side] = to_fingertips(found.keypoints[side])
    trusted = np.where(found.present, trust(found.keypoints[:, 0, 2]), 1.0)
    return known._replace(world=found.world, trust=trusted.astype(np.float32))


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


def given_detections(
    boxes: EachHand | None = None,
    keypoints: EachHand | None = None,
    *,
    size: tuple[int, int] | None = None,
) -> Detections:
    """Hints given by a caller, as arrays or lists for (right, left).

    Args:
        boxes: two boxes; None or NaN for a hand that is not there.
        keypoints: two lists of 21 rows x, y or x, y, score; None for a hand that is
            not there. A hand without a box gets one around them.
        size: height and width of the picture; None leaves open whether they are in it.

    Raises:
        InputError: a shape is wrong, a number is not finite, a box is empty, or the
            hand cannot be in a picture of this size.
    """
    hands = no_detections()
    for side, name in enumerate(SIDES):
        points = _rows(None if keypoints is None else keypoints[side], name)
        box = _box(None if boxes is None else boxes[side], name)
        if points is not None and (boxes is None or box is not None):
            hands.keypoints[side] = points
            box = box_around(points) if box is None else box
        if box is not None:
            hands.boxes[side], hands.score[side] = box, 1.0
        if size is not None and box is not None:
            _check_place(f"The {name} hand's", box, hands.keypoints[side], size)
    return hands


# The longer side that a hand has at least, and what it may reach out of the picture at
# most, in the picture's longer sides.
LEAST_PIXELS, MOST_OUTSIDE = 2.0, 1.0


def _check_place(
    whose: str,
    box: Float32[np.ndarray, "4"],
    keypoints: Float32[np.ndarray, "21 3"],
    size: tuple[int, int],
) -> None:
    """Refuse what is no hand in a picture of this size: other units, outliers."""
    height, width = size
    picture = f"the picture ({width} x {height} pixels)"
    reach = MOST_OUTSIDE * max(size)
    known = np.flatnonzero(keypoints[:, 2] > 0)
    far = (keypoints[:, :2] < -reach) | (keypoints[:, :2] > np.add(size, reach)[::-1])
    for joint in known[far[known].any(axis=1)][:1]:
        raise InputError(
            f"{whose} keypoint {joint} ({JOINT_NAMES[joint]}) at "
            f"{keypoints[joint, :2].tolist()} is far outside of {picture}; give it the "
            "score 0 if it is not known."
        )
    extents = [np.ptp(box.reshape(2, 2), axis=0).max()]
    if len(known) > 1:
        extents.append(np.ptp(keypoints[known, :2], axis=0).max())
    if min(extents) < LEAST_PIXELS:
        raise InputError(
            f"{whose} box or keypoints extend over {min(extents):.3g} pixels only; "
            "they must be in pixels of the picture, not in parts of its size."
        )
    if (box[:2] >= (width, height)).any() or (box[2:] <= 0).any():
        raise InputError(f"{whose} box {box.tolist()} lies outside of {picture}.")
    if (box[:2] < -reach).any() or (box[2:] > np.add(size, reach)[::-1]).any():
        raise InputError(
            f"{whose} box {box.tolist()} is far larger than {picture}; it must be in "
            "pixels of the picture."
        )


def _box(value: Any, name: str) -> Float32[np.ndarray, "4"] | None:
    box = _numbers(value, f"The {name} hand's box")
    if box is None or np.isnan(box).all():
        return None
    if box.shape != (4,) or not np.isfinite(box).all():
        raise InputError(
            f"The {name} hand's box must be four finite numbers x0, y0, x1, y1 in "
            f"pixels, but is {value}."
        )
    if (box[2:] <= box[:2]).any():
        raise InputError(
            f"The {name} hand's box {box.tolist()} is empty: x1 must exceed x0 and y1 "
            "must exceed y0."
        )
    return box


def _rows(value: Any, name: str) -> Float32[np.ndarray, "21 3"] | None:
    points = _numbers(value, f"The {name} hand's keypoints")
    if points is None:
        return None
    if points.shape not in ((NUM_JOINTS, 2), (NUM_JOINTS, 3)):
        raise InputError(
            f"The {name} hand's keypoints must be 21 rows x, y or x, y, score, but "
            f"have the shape {points.shape}."
        )
    if not np.isfinite(points).all():
        raise InputError(
            f"The {name} hand's keypoints hold a number that is not finite."
        )
    if points.shape[1] == 2:
        points = np.concatenate([points, np.ones((NUM_JOINTS, 1), np.float32)], axis=1)
    return points if (points[:, 2] > 0).any() else None


def _numbers(value: Any, what: str) -> Float32[np.ndarray, "..."] | None:
    if value is None:
        return None
    try:
        return np.asarray(value, np.float32)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{what} must be numbers in equal rows: {error}.") from error
