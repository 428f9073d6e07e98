"""The file in which one's own annotated pictures are described, read and checked.

It is JSON: a list of pictures, or an object of ``hand_model`` and ``pictures``. Each
picture names its file, and what is known of its camera and of its hands: 2D joints, 3D
joints, a box and MANO parameters, any part of it (docs/data.md, "Your own data").
Anything of another form is refused with the place of it, so that nothing is read that
was not meant.
"""

import functools
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from twohand_jax.errors import InputError
from twohand_jax.pipelines.index import read_json
from twohand_jax.types import NUM_JOINTS, SIDES, Camera

ADVICE = 'docs/data.md, "Your own data", has the format with an example'
MAX_BYTES = 1 << 30
# Texts are features of records, and a split's name is part of file names.
MAX_ID, MAX_SUBSET = 256, 64
SPLIT = re.compile(r"[a-z0-9][a-z0-9_]{0,31}")
# Beyond these a number is in another unit.
MAX_PX, MAX_M, MAX_RADIANS, MAX_BETA = 1e5, 20.0, 100.0, 100.0
KNOWN_KEYS = ("joints_px", "joints_m", "box", "mano")
HAND_KEYS = (*KNOWN_KEYS, "confidence")
MANO_KEYS = ("global_orient", "hand_pose", "betas", "transl")
FLAT = "flat_hand_mean"
PICTURE_KEYS = (
    *("image", "id", "split", "subset", "focal", "center", "side"),
    *HAND_KEYS,
    *SIDES,
)
FILE_KEYS = ("hand_model", "pictures")
ORDER = "wrist, then thumb, index, middle, ring and pinky from base to tip"


class ManoFit(NamedTuple):
    """MANO parameters of one hand, radians and metres, camera frame.

    ``is_flat`` says that ``hand_pose`` is absolute, not relative to the mean pose.
    """

    global_orient: Float[np.ndarray, "3"]
    hand_pose: Float[np.ndarray, "15 3"]
    betas: Float[np.ndarray, "10"]
    transl: Float[np.ndarray, "3"]
    is_flat: bool


class HandLabels(NamedTuple):
    """What is known of one hand; None for what is not, NaN for single joints.

    Attributes:
        joints_px: pixels.
        joints_m: metres, camera frame.
        box: x0, y0, x1, y1 in pixels.
        mano: the fit.
        confidence: how certain all this is, above 0; 1 for what a person or a
            measurement says.
    """

    joints_px: Float[np.ndarray, "21 2"] | None
    joints_m: Float[np.ndarray, "21 3"] | None
    box: Float[np.ndarray, "4"] | None
    mano: ManoFit | None
    confidence: float = 1.0


class Picture(NamedTuple):
    """One annotated picture, its right and its left hand."""

    image: Path
    image_id: str
    split: str
    subset: str
    camera: Camera | None
    hands: tuple[HandLabels | None, HandLabels | None]


class Labels(NamedTuple):
    """The file: its pictures, and the hand model of its fits ("" for not said)."""

    pictures: tuple[Picture, ...]
    hand_model: str


def read(path: Path) -> Labels:
    """The labels of a file.

    Raises:
        InputError: the file is missing, too large or no JSON, or something in it is
            not of the documented form; the message says which picture and key.
    """
    if path.is_file() and path.stat().st_size > MAX_BYTES:
        raise InputError(
            f"{path} has {path.stat().st_size:,} bytes, more than {MAX_BYTES:,}: "
            "divide it into several files."
        )
    content, hand_model = read_json(path, ADVICE), ""
    if isinstance(content, dict):
        _known_keys(content, FILE_KEYS, str(path))
        hand_model = _text(content.get("hand_model", ""), f"{path}, hand_model", 64)
        content = content.get("pictures")
    if not isinstance(content, list) or not content:
        raise InputError(
            f"{path} must hold a list of pictures, or an object with such a list under "
            f"'pictures', and at least one picture. {ADVICE}."
        )
    pictures = tuple(
        _picture(entry, path, number) for number, entry in enumerate(content)
    )
    counts = Counter(picture.image_id for picture in pictures)
    name, times = counts.most_common(1)[0]
    if times > 1:
        raise InputError(
            f"{path} names the picture {name!r} {times} times: give each an 'id' of "
            "its own, or put both hands into one entry."
        )
    return Labels(pictures, hand_model)


def _picture(entry: Any, path: Path, number: int) -> Picture:
    where = f"{path}, picture {number}"
    if not isinstance(entry, dict):
        raise InputError(f"{where}: {_kind(entry)}, expected an object. {ADVICE}.")
    image = _text(entry.get("image"), f"{where}, image", 4096)
    where = f"{where} ({image[:80]})"
    if not image or "\0" in image:
        raise InputError(f"{where}: 'image' must be the path of a picture.")
    _known_keys(entry, PICTURE_KEYS, where)
    split = _text(entry.get("split", "test"), f"{where}, split", 32)
    if not SPLIT.fullmatch(split):
        raise InputError(
            f"{where}, split: {split!r} is not a name of a split: use up to 32 small "
            "letters, digits and underscores."
        )
    image_id = _text(entry.get("id", image), f"{where}, id", MAX_ID)
    if not image_id:
        raise InputError(f"{where}, id: it is empty; leave it out or give a name.")
    return Picture(
        image=path.parent / image,
        image_id=image_id,
        split=split,
        subset=_text(entry.get("subset", ""), f"{where}, subset", MAX_SUBSET),
        camera=_camera(entry, where),
        hands=_hands(entry, where),
    )


def _camera(entry: Mapping[str, Any], where: str) -> Camera | None:
    focal, center = entry.get("focal"), entry.get("center")
    if focal is None and center is None:
        return None
    if focal is None or center is None:
        missing = "focal" if focal is None else "center"
        raise InputError(
            f"{where}: {missing!r} is missing: a camera is 'focal' and 'center', or "
            "leave out both."
        )
    if not isinstance(focal, list):
        focal = [focal, focal]
    focal = _numbers(focal, (2,), f"{where}, focal", most=MAX_PX)
    if (focal <= 0).any():
        raise InputError(f"{where}, focal: {focal.tolist()} must be above 0, pixels.")
    return Camera(focal, _numbers(center, (2,), f"{where}, center", most=MAX_PX))


def _hands(
    entry: Mapping[str, Any], where: str
) -> tuple[HandLabels | None, HandLabels | None]:
    """Right and left hand, from keys of their own or from the entry itself."""
    flat = [key for key in HAND_KEYS if key in entry]
    sides = [side for side in SIDES if entry.get(side) is not None]
    if flat or "side" in entry:
        if sides:
            raise InputError(
                f"{where}: the hand is given twice, under {sides[0]!r} and by "
                f"{(flat or ['side'])[0]!r}: put all of it under {sides[0]!r}."
            )
        if entry.get("side") not in SIDES:
            raise InputError(
                f"{where}: 'side' must be 'right' or 'left', the hand's anatomical "
                f"side, but is {_short(entry.get('side'))}."
            )
        own = {key: entry[key] for key in flat}
        given = {entry["side"]: _hand(own, f"{where}, {entry['side']} hand")}
    else:
        given = {side: _hand(entry[side], f"{where}, {side} hand") for side in sides}
    if not given:
        raise InputError(
            f"{where}: no hand is given: name one with 'side' or put hands under "
            "'right' and 'left'."
        )
    right, left = (given.get(side) for side in SIDES)
    return right, left


def _hand(entry: Any, where: str) -> HandLabels:
    if not isinstance(entry, dict):
        raise InputError(f"{where}: {_kind(entry)}, expected an object. {ADVICE}.")
    _known_keys(entry, HAND_KEYS, where)

    def part(key: str, read: Callable[[Any, str], Any]) -> Any:
        value = entry.get(key)
        return None if value is None else read(value, f"{where}, {key}")

    found = HandLabels(
        joints_px=part("joints_px", functools.partial(_joints, axes=2, most=MAX_PX)),
        joints_m=part("joints_m", functools.partial(_joints, axes=3, most=MAX_M)),
        box=part("box", _box),
        mano=part("mano", _mano),
    )
    if all(getattr(found, key) is None for key in KNOWN_KEYS):
        raise InputError(
            f"{where}: nothing is known of it: give {', '.join(KNOWN_KEYS[:-1])} or "
            f"{KNOWN_KEYS[-1]}, or leave the hand out."
        )
    confidence = part("confidence", _confidence)
    return found if confidence is None else found._replace(confidence=confidence)


def _confidence(value: Any, where: str) -> float:
    confidence = _number(value, where, math.inf)
    if not 0.0 < confidence <= 1.0:
        raise InputError(
            f"{where}: {_short(value)} is no confidence: it must be above 0 and at "
            "most 1; leave out a hand that is not to be trusted at all."
        )
    return confidence


def _joints(
    value: Any, where: str, *, axes: int, most: float
) -> Float[np.ndarray, "21 axes"] | None:
    """Joints with NaN for unknown ones; None if all are."""
    joints = _numbers(value, (NUM_JOINTS, axes), where, most=most, holes=True)
    joints[np.isnan(joints).any(axis=1)] = np.nan
    return None if np.isnan(joints).all() else joints


def _box(value: Any, where: str) -> Float[np.ndarray, "4"]:
    box = _numbers(value, (4,), where, most=MAX_PX)
    if (box[2:] <= box[:2]).any():
        raise InputError(
            f"{where}: {box.tolist()} is empty: it must be x0, y0, x1, y1 with x1 "
            "above x0 and y1 above y0."
        )
    return box


def _mano(value: Any, where: str) -> ManoFit:
    if not isinstance(value, dict):
        raise InputError(f"{where}: {_kind(value)}, expected an object. {ADVICE}.")
    _known_keys(value, (*MANO_KEYS, FLAT), where)
    if missing := [key for key in MANO_KEYS if value.get(key) is None]:
        raise InputError(
            f"{where}: {missing[0]!r} is missing: a fit is {', '.join(MANO_KEYS)}."
        )
    is_flat = value.get(FLAT, False)
    if not isinstance(is_flat, bool):
        raise InputError(f"{where}, {FLAT}: {_short(is_flat)}, expected true or false.")
    pose = value["hand_pose"]
    rows = isinstance(pose, list) and len(pose) == 15
    shape = (15, 3) if rows else (45,)
    read = functools.partial(_numbers, most=MAX_RADIANS)
    return ManoFit(
        global_orient=read(value["global_orient"], (3,), f"{where}, global_orient"),
        hand_pose=read(pose, shape, f"{where}, hand_pose").reshape(15, 3),
        betas=_numbers(value["betas"], (10,), f"{where}, betas", most=MAX_BETA),
        transl=_numbers(value["transl"], (3,), f"{where}, transl", most=MAX_M),
        is_flat=is_flat,
    )


def _numbers(
    value: Any,
    shape: tuple[int, ...],
    where: str,
    *,
    most: float,
    holes: bool = False,
) -> Float[np.ndarray, "..."]:
    """Nested lists as an array of exactly this shape.

    Args:
        value: from JSON.
        shape: of the array.
        where: for messages.
        most: largest magnitude that a number of this kind has.
        holes: whether null, for a number or a whole row, becomes NaN.
    """
    if value is None and holes:
        return np.full(shape, np.nan)
    if not shape:
        return np.array(_number(value, where, most))
    if not isinstance(value, list) or len(value) != shape[0]:
        found = f"{len(value)} entries" if isinstance(value, list) else _kind(value)
        what = f"a list of {shape[0]}"
        what += f" rows of {shape[1]} numbers" if len(shape) > 1 else " numbers"
        if shape[0] == NUM_JOINTS:
            what += f" ({ORDER}; null for an unknown joint)"
        raise InputError(f"{where}: {found}, expected {what}.")
    inner = functools.partial(_numbers, shape=shape[1:], most=most, holes=holes)
    return np.stack(
        [inner(row, where=f"{where}[{place}]") for place, row in enumerate(value)]
    )


def _number(value: Any, where: str, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(f"{where}: {_kind(value)}, expected a number.")
    if isinstance(value, float) and not math.isfinite(value):
        raise InputError(
            f"{where}: {value} is not a finite number; use null for an unknown joint."
        )
    if abs(value) > most:
        hint = {
            MAX_PX: "pixels of the picture are expected",
            MAX_M: "metres are expected; are these millimetres?",
        }.get(most, "radians, or coefficients of shape, are expected")
        raise InputError(f"{where}: {_short(value)} is beyond {most:g}: {hint}.")
    return float(value)


def _text(value: Any, where: str, longest: int) -> str:
    if not isinstance(value, str):
        raise InputError(f"{where}: {_kind(value)}, expected a text.")
    try:
        size = len(value.encode())
    except UnicodeEncodeError as error:
        raise InputError(f"{where}: it is not valid text ({error.reason}).") from error
    if size > longest:
        raise InputError(f"{where}: {size} bytes, more than {longest}; shorten it.")
    return value


def _known_keys(entry: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
    if unknown := [key for key in entry if key not in known]:
        raise InputError(
            f"{where}: {_short(unknown[0])} means nothing here; the keys are "
            f"{', '.join(known)}."
        )


def _kind(value: Any) -> str:
    """What a JSON value is, in words."""
    names = {dict: "an object", list: "a list", str: "a text", bool: "true or false"}
    if value is None:
        return "nothing (null, or left out)"
    return f"it is {names.get(type(value), 'a number')}"


def _short(value: Any) -> str:
    """A value as Python shows it, cut short."""
    if isinstance(value, int) and abs(value) > 1e12:
        return "a huge number"
    text = ascii(value)
    return text if len(text) <= 60 else text[:57] + "..."
