"""What predictions in a file must be: keys, shapes, types, names, numbers and unit."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from twohand_jax.errors import InputError, MissingDependencyError
from twohand_jax.evaluation.outside.prediction_shards import Arrays, Piece
from twohand_jax.types import NUM_JOINTS, NUM_VERTICES, SIDES

KEYS = ("image_id", "joints", "found", "vertices", "rel_trans", "digest")
NEEDED = KEYS[:2]
SHAPES = {
    "joints": (2, NUM_JOINTS, 3),
    "vertices": (2, NUM_VERTICES, 3),
    "rel_trans": (3,),
    "found": (2,),
    "digest": (),
}
KINDS = {"joints": "f", "vertices": "f", "rel_trans": "f", "found": "b", "digest": "u"}
KIND_NAMES = {"f": "floating-point numbers", "b": "booleans", "u": "unsigned integers"}
COUNTS = {
    15: "wrist and fingertips are missing",
    16: "MANO's own have no fingertips: add these vertices of the mesh",
    20: "the wrist is missing",
    42: "both hands' joints lie on one axis: reshape it to (2, 21)",
}
# Root mean square distance of a hand's joints from their middle, metres.
HAND_RADIUS = (0.01, 0.3)
UNITS = {1e-3: "millimetres", 1e-2: "centimetres"}


def load_arrays(path: Path, piece: Piece) -> Arrays:
    """The known arrays of a piece of a file.

    Raises:
        InputError: it is not readable, or lacks a key or has an unknown one.
    """
    try:
        arrays = piece()
        keys = set(arrays)
    except MissingDependencyError:
        raise
    except InputError as error:
        raise InputError(
            f"{path} cannot be read as predictions ({error}): give a .npz of plain "
            "arrays, or a .parquet, with the keys image_id and joints."
        ) from error
    missing = [key for key in NEEDED if key not in keys]
    if missing:
        raise InputError(
            f"{path} has no {' and no '.join(map(repr, missing))}, only "
            f"{sorted(keys)}: predictions need {' and '.join(NEEDED)}."
        )
    if unknown := sorted(keys - set(KEYS)):
        raise InputError(
            f"{path} holds {unknown[0]!r}, which means nothing here: the keys are "
            f"{', '.join(KEYS)}."
        )
    return arrays


def check_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Refuse arrays of another shape or type.

    Raises:
        InputError: one has.
    """
    count = len(np.atleast_1d(arrays["image_id"]))
    for key, tail in SHAPES.items():
        if key not in arrays:
            continue
        found = arrays[key]
        if found.shape != (count, *tail):
            wanted = ", ".join(map(str, ("n", *tail)))
            raise InputError(
                f"{key!r} of {path} has the shape {found.shape}, expected ({wanted}) "
                f"with n = {count}, the number of image_id{_shape_hint(key, found)}."
            )
        if found.dtype.kind != KINDS[key]:
            raise InputError(
                f"{key!r} of {path} is of type {found.dtype}, expected "
                f"{KIND_NAMES[KINDS[key]]}."
            )


def check_names(path: Path, image_id: np.ndarray) -> np.ndarray:
    """The pictures' names.

    Raises:
        InputError: they are not strings, none at all, or not different.
    """
    if image_id.ndim != 1 or image_id.dtype.kind not in "US" or not len(image_id):
        raise InputError(
            f"'image_id' of {path} is of type {image_id.dtype} and shape "
            f"{image_id.shape}, expected one string for each picture."
        )
    text = np.char.decode(image_id, "utf-8") if image_id.dtype.kind == "S" else image_id
    different, counts = np.unique(text, return_counts=True)
    if counts.max() > 1:
        raise InputError(
            f"{path} holds {different[counts.argmax()]} {counts.max()} times, and "
            f"{int((counts > 1).sum())} pictures more than once: keep one of each."
        )
    return text


def check_numbers(
    path: Path,
    image_id: np.ndarray,
    values: Mapping[str, np.ndarray],
    found: Bool[np.ndarray, "n 2"],
) -> None:
    """Refuse NaN and infinity in what was found.

    Raises:
        InputError: there is one; the message says where.
    """
    for key, value in values.items():
        counts = found.all(axis=-1) if key == "rel_trans" else found
        bad = ~np.isfinite(value).all(axis=-1)
        bad &= counts.reshape(*counts.shape, *(1,) * (bad.ndim - counts.ndim))
        if not bad.any():
            continue
        row, *place = np.argwhere(bad)[0].tolist()
        where = f"picture {image_id[row]}"
        if place:
            where += f", {SIDES[place[0]]} hand, {key} number {place[1]}"
        raise InputError(
            f"{key!r} of {path} holds NaN or infinity ({where}; "
            f"{len(set(np.argwhere(bad)[:, 0].tolist()))} pictures in all): mark hands "
            "that were not estimated in 'found' (n, 2)."
        )


def check_unit(
    path: Path, joints: Float[np.ndarray, "n 2 21 3"], found: Bool[np.ndarray, "n 2"]
) -> None:
    """Refuse joints that are not in metres, by the hands' size.

    Raises:
        InputError: the median hand is not a hand in metres.
    """
    hands = joints[found].astype(float)
    radii = np.sqrt(
        np.square(hands - hands.mean(axis=1, keepdims=True)).sum(-1).mean(1)
    )
    radii = radii[radii > 0]  # hands that are not there, without a 'found'
    if not len(radii):
        return
    size = float(np.median(radii))
    low, high = HAND_RADIUS
    if low <= size <= high:
        return
    units = [
        f"in {name}: multiply by {factor:g}"
        for factor, name in UNITS.items()
        if low <= size * factor <= high
    ]
    looks = units[0] if units else "in no unit of length: give metres"
    raise InputError(
        f"The hands of {path} are {size:.3g} m from their middle to a joint (median; "
        f"a hand has 0.06 m), so 'joints' looks {looks}."
    )


def blank_missing(
    values: Mapping[str, np.ndarray], found: Bool[np.ndarray, "n 2"]
) -> Arrays:
    """Zeros for hands that were not found, which may hold NaN."""
    out = {}
    for key, value in values.items():
        counts = found.all(axis=-1) if key == "rel_trans" else found
        mask = counts.reshape(*counts.shape, *(1,) * (value.ndim - counts.ndim))
        out[key] = np.where(mask, value, np.float32(0))
    return out


def _shape_hint(key: str, found: np.ndarray) -> str:
    if key == "joints":
        if found.ndim == 4 and found.shape[-2] in COUNTS:
            return f"; {found.shape[-2]} joints: {COUNTS[found.shape[-2]]}"
        if found.ndim == 3 and found.shape[-2] == NUM_JOINTS:
            return "; hands need an axis of their own, the right one first"
        if found.ndim == 3 and found.shape[-2] in COUNTS:
            return f"; {COUNTS[found.shape[-2]]}"
    return ""
