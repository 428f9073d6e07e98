"""Hands that a caller gives: boxes and keypoints of one person or of several."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from jaxtyping import Float32

from twohand_jax.errors import InputError
from twohand_jax.inference.detections import Detections, box_around, no_detections
from twohand_jax.mano.joints import JOINT_NAMES
from twohand_jax.types import NUM_JOINTS, SIDES

# What a caller knows of (right, left): numbers of each hand, None for one not there.
EachHand: TypeAlias = Sequence[npt.ArrayLike | None] | np.ndarray
# The same of each person, None for one of whom nothing is known.
EachPerson: TypeAlias = Sequence[EachHand | None] | np.ndarray
# How deep the numbers of one person lie: hands, then a box, or rows of keypoints.
BOX_DEPTH, KEYPOINT_DEPTH = 2, 3


def given_people(
    boxes: EachHand | EachPerson | None = None,
    keypoints: EachHand | EachPerson | None = None,
    *,
    size: tuple[int, int] | None = None,
) -> list[Detections]:
    """Hints of one person or of several; those of whom no hand is known are left out.

    Args:
        boxes: see ``given_detections``; or a list of such pairs, one for each person.
        keypoints: see ``given_detections``; or a list of such pairs, of the same people
            in the same order.
        size: see ``given_detections``.

    Raises:
        InputError: see ``given_detections``; or boxes and keypoints are of different
            numbers of people.
    """
    each = [_people(boxes, BOX_DEPTH), _people(keypoints, KEYPOINT_DEPTH)]
    counts = {len(people) for people in each if people is not None}
    if len(counts) > 1:
        raise InputError(
            f"The boxes are of {len(each[0] or ())} people, but the keypoints are of "
            f"{len(each[1] or ())}; they must be of the same people in the same order."
        )
    count = max(counts, default=0)
    found = []
    for number in range(count):
        one = (None if people is None else people[number] for people in each)
        try:
            found.append(given_detections(*one, size=size))
        except InputError as error:
            if count == 1:
                raise
            raise InputError(f"Person {number + 1}: {error}") from error
    return [hands for hands in found if hands.present.any()]


def first_person(boxes: Any, keypoints: Any) -> tuple[Any, Any]:
    """The hints of the first person of whom a hand may be known.

    Args:
        boxes: see ``given_people``.
        keypoints: see ``given_people``.
    """
    each = (_people(boxes, BOX_DEPTH), _people(keypoints, KEYPOINT_DEPTH))
    known = [
        {number for number, one in enumerate(people or ()) if one is not None}
        for people in each
    ]
    first = min(known[0] | known[1], default=0)
    found = (
        people[first] if people and first < len(people) else None for people in each
    )
    return next(found), next(found)


def _people(value: Any, depth: int) -> list[Any] | None:
    """A hint as a list of people's; None where nothing is given.

    Args:
        value: what was given.
        depth: of one person's numbers.
    """
    if value is None:
        return None
    return list(value) if _depth(value) > depth else [value]


def _depth(value: Any) -> int:
    """How many lists a number lies in at most."""
    if hasattr(value, "ndim"):
        return int(value.ndim)
    if not isinstance(value, list | tuple):
        return 0
    return 1 + max(map(_depth, value), default=0)


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
    for hint, what in ((boxes, "boxes"), (keypoints, "keypoints")):
        if hint is not None and (not np.iterable(hint) or len(hint) != len(SIDES)):
            raise InputError(f"The {what} must be a pair: right, left.")
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
    """Refuse what is not a hand in a picture of this size: other units, outliers."""
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
