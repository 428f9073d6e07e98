"""Predictions of any system, in a file, as a method of the evaluator.

The file is a ``.npz`` without pickles. ``image_id`` names each record as the record
set does, ``joints`` holds both hands' 21 joints in metres, camera axes (x right, y
down, z forward), right hand first, canonical order; the origin is of no account where
a protocol compares relative to a root. Optional are ``vertices`` in the same frame,
``rel_trans``, left wrist minus right wrist, and ``found``, false for hands that were
not estimated: these and records not in the file are not compared, but counted.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from twohand_jax import files, mano, reading
from twohand_jax.data.decode import Rows
from twohand_jax.errors import InputError
from twohand_jax.evaluation.evaluator import Method
from twohand_jax.evaluation.outside import joint_orders
from twohand_jax.evaluation.protocols import PROTOCOLS, Protocol
from twohand_jax.types import (
    NUM_JOINTS,
    NUM_VERTICES,
    SIDES,
    Batch,
    HandGeometry,
    Prediction,
)

ABSENT = -1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outside:
    """Predictions of n pictures; see the module for frame and order.

    Attributes:
        where: where they come from, for messages.
        image_id: of each picture.
        joints: metres; zeros for hands that were not found.
        found: hands that were estimated.
        vertices: metres, None for systems without a mesh.
        rel_trans: metres, None for systems that do not estimate it.
        digest: checksum of what each estimate was made from, None if unknown.
    """

    where: str
    image_id: np.ndarray
    joints: Float[np.ndarray, "n 2 21 3"]
    found: Bool[np.ndarray, "n 2"]
    vertices: Float[np.ndarray, "n 2 778 3"] | None = None
    rel_trans: Float[np.ndarray, "n 3"] | None = None
    digest: Int[np.ndarray, "n"] | None = None

    def __len__(self) -> int:
        return len(self.image_id)

    def rows(self, image_ids: Sequence[str]) -> Int[np.ndarray, "m"]:
        """Place of each named picture here, ``ABSENT`` for those not here."""
        place = {str(name): row for row, name in enumerate(self.image_id)}
        return np.array([place.get(name, ABSENT) for name in image_ids], int)


def read(path: Path) -> Outside:
    """Predictions of a file.

    Raises:
        InputError: the file is not readable, lacks a key or has an unknown one; shape,
            type or unit of an array is another; a picture is there twice; or a found
            hand holds NaN.
    """
    arrays = load_arrays(path)
    check_arrays(path, arrays)
    names = check_names(path, arrays["image_id"])
    found = arrays.get("found", np.ones((len(names), 2), bool))
    values: dict[str, np.ndarray] = {
        key: arrays[key].astype(np.float32)
        for key in ("joints", "vertices", "rel_trans")
        if key in arrays
    }
    check_numbers(path, names, values, found)
    check_unit(path, values["joints"], found)
    blanked = blank_missing(values, found)
    return Outside(
        where=str(path),
        image_id=names,
        found=found,
        digest=arrays.get("digest"),
        **blanked,
    )


def write(path: Path, predictions: Outside) -> None:
    """Write the file that ``read`` reads, complete or not at all."""
    arrays = {
        key: value for key in KEYS if (value := getattr(predictions, key)) is not None
    }
    files.write_npz(path, arrays)


def method(predictions: Outside, image_ids: Mapping[int, str]) -> Method:
    """The predictions as a function of a batch.

    Hands that were not found, and records without predictions, have score 0.

    Args:
        predictions: joints and what else there is.
        image_ids: name of each record by its number (``submissions.image_ids``).
    """
    place = dict(
        zip(image_ids, predictions.rows(list(image_ids.values())), strict=True)
    )

    def predict(batch: Batch) -> Prediction:
        numbers = np.asarray(batch.record).tolist()
        row = np.array([place.get(number, ABSENT) for number in numbers], int)
        found = predictions.found[row] & (row != ABSENT)[:, None]

        def of_hands(points: np.ndarray) -> np.ndarray:
            return np.where(found[..., None, None], points[row], np.float32(0))

        vertices, between = predictions.vertices, predictions.rel_trans
        if between is not None:
            both = found.all(axis=-1, keepdims=True)
            between = np.where(both, between[row], np.float32(0))
        return Prediction(
            mano=mano.zeros(len(row)),
            geometry=HandGeometry(
                vertices=None if vertices is None else of_hands(vertices),
                joints=of_hands(predictions.joints),
            ),
            rel_trans=between,
            camera=batch.targets.camera,
            box=batch.targets.box,
            score=found.astype(np.float32),
        )

    return predict


def found_hands(
    predictions: Outside, image_ids: Mapping[int, str]
) -> dict[int, Bool[np.ndarray, "2"]]:
    """Hands found in each record, by its number; for ``evaluation.run.limited``."""
    rows = predictions.rows(list(image_ids.values()))
    found = predictions.found[rows] & (rows != ABSENT)[:, None]
    return dict(zip(image_ids, found, strict=True))


def check_protocol(protocol: Protocol, *, where: str, has_mesh: bool) -> None:
    """Refuse predictions without a mesh where the protocol is one of meshes.

    Args:
        protocol: what is to be computed.
        where: the predictions' name in the message.
        has_mesh: whether they have vertices.

    Raises:
        InputError: it is.
    """
    if not has_mesh and not protocol.without_mesh:
        *some, last = (one.name for one in PROTOCOLS.values() if one.without_mesh)
        raise InputError(
            f"Protocol {protocol.name!r} compares meshes, but {where} has joints only: "
            "add 'vertices' (n, 2, 778, 3) to its file, or choose "
            f"{', '.join(some)} or {last}."
        )


class SplitLabels(NamedTuple):
    """What every usable record of a split says about its hands; metres."""

    record: Int[np.ndarray, "n"]
    image_id: tuple[str, ...]
    joints: Float[np.ndarray, "n 2 21 3"]
    valid: Bool[np.ndarray, "n 2 21"]

    def image_ids(self) -> dict[int, str]:
        """Name of each record by its number in the split."""
        return dict(zip(self.record.tolist(), self.image_id, strict=True))


def check_labels(predictions: Outside, labels: SplitLabels) -> str:
    """Hold predictions against the labels of a split.

    Returns:
        How many records have predictions, in a sentence.

    Raises:
        InputError: none has, none of a labelled hand, or they are clearly in another
            joint order, in other axes or left hand first.
    """
    text = coverage(predictions, labels.image_id)
    rows = predictions.rows(labels.image_id)
    joints = predictions.joints[rows]
    found = predictions.found[rows] & (rows != ABSENT)[:, None]
    valid = labels.valid & found[..., None]
    hands = valid.any(axis=-1)
    if labels.valid.any() and not hands.any():
        raise InputError(
            f"{predictions.where} has predictions of these records, but of none of "
            "their labelled hands: 'found' or the hands' order, right first, is wrong."
        )
    joint_orders.check_order(
        predictions.where, joints[hands], labels.joints[hands], valid[hands]
    )
    joint_orders.check_readings(predictions.where, joints, labels.joints, valid)
    return text


def coverage(predictions: Outside, names: Sequence[str]) -> str:
    """How many records have predictions, in a sentence.

    Args:
        predictions: of pictures.
        names: of the records.

    Raises:
        InputError: none has.
    """
    missing = predictions.rows(names) == ABSENT
    if missing.all():
        raise InputError(
            f"None of the {len(names)} records has predictions in {predictions.where}: "
            f"records are named like {names[0]!r}, its image_id like "
            f"{str(predictions.image_id[0])!r}."
        )
    text = f"{predictions.where} has predictions of {int((~missing).sum())} of the "
    text += f"{len(names)} records"
    if missing.any():
        text += f" ({int(missing.sum())} missing, first {names[int(missing.argmax())]})"
    spare = len(set(predictions.image_id.tolist()) - set(names))
    return text + (f", and {spare} of other pictures." if spare else ".")


def labels_from_rows(rows: Iterable[Rows]) -> SplitLabels:
    """Labels of parsed records (``Reader.rows``)."""
    records, names, joints, valid = [], [], [], []
    for part in rows:
        usable = np.flatnonzero(part.usable)
        fields = part.fields
        hands = fields["hands/valid"][usable].astype(bool)
        records.append(part.records[usable])
        names += [name.decode() for name in fields["image_id"][usable]]
        joints.append(fields["hands/joints_3d"][usable])
        known = fields["hands/joints_3d_valid"][usable].astype(bool)
        valid.append(known & hands[..., None])
    return SplitLabels(
        record=np.concatenate(records),
        image_id=tuple(names),
        joints=np.concatenate(joints),
        valid=np.concatenate(valid),
    )


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
MAX_BYTES = 16 << 30
Arrays = dict[str, np.ndarray]


def load_arrays(path: Path) -> Arrays:
    """The known arrays of an npz.

    Raises:
        InputError: it is not readable, or lacks a key or has an unknown one.
    """
    try:
        arrays = reading.read_npz(path, limit=MAX_BYTES)
        keys = set(arrays)
    except InputError as error:
        raise InputError(
            f"{path} cannot be read as predictions ({error}): give a .npz of plain "
            "arrays with the keys image_id and joints."
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
