"""Predictions of any system, in a file, as a method of the evaluator.

The file is a ``.npz`` without pickles, or a Parquet with lists of as many numbers
(``prediction_shards`` has the pieces of large ones). ``image_id`` names each record as
the record set does, ``joints`` holds both hands' 21 joints in metres, camera axes (x
right, y down, z forward), right hand first, canonical order; the origin is of no
account where a protocol compares relative to a root. Optional are ``vertices`` in the
same frame, ``rel_trans``, left wrist minus right wrist, and ``found``, false for hands
that were not estimated: these and records not in the file are not compared, but
counted.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from twohand_jax import files, mano
from twohand_jax.data.decode import Rows
from twohand_jax.errors import InputError
from twohand_jax.evaluation.evaluator import Method
from twohand_jax.evaluation.outside import joint_orders, prediction_shards
from twohand_jax.evaluation.outside.prediction_checks import (
    KEYS,
    blank_missing,
    check_arrays,
    check_names,
    check_numbers,
    check_unit,
    load_arrays,
)
from twohand_jax.evaluation.outside.prediction_shards import Piece, ShardedVertices
from twohand_jax.evaluation.protocols import PROTOCOLS, Protocol
from twohand_jax.types import (
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
    vertices: Float[np.ndarray, "n 2 778 3"] | ShardedVertices | None = None
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
    load = prediction_shards.pieces(path)
    read_in = [_read_piece(path, piece, number) for number, piece in enumerate(load)]
    names = read_in[0].image_id
    if len(read_in) > 1:
        names = check_names(path, np.concatenate([one.image_id for one in read_in]))
    joined = {
        key: _joined(path, key, [getattr(one, key) for one in read_in])
        for key in ("joints", "found", "rel_trans", "digest")
    }
    check_unit(path, joined["joints"], joined["found"])
    vertices: Any = read_in[0].vertices
    if len(read_in) > 1:
        vertices = _later(path, load, read_in)
    return Outside(where=str(path), image_id=names, vertices=vertices, **joined)


def _read_piece(path: Path, piece: Piece, number: int) -> Outside:
    """What a piece of a file holds, checked; the vertices of the first one alone."""
    arrays = load_arrays(path, piece)
    check_arrays(path, arrays)
    names = check_names(path, arrays["image_id"])
    found = arrays.get("found", np.ones((len(names), 2), bool))
    values: dict[str, np.ndarray] = {
        key: arrays[key].astype(np.float32)
        for key in ("joints", "vertices", "rel_trans")
        if key in arrays
    }
    check_numbers(path, names, values, found)
    blanked = blank_missing(values, found)
    if number:
        blanked = {
            k: v[:0].copy() if k == "vertices" else v for k, v in blanked.items()
        }
    return Outside(
        where=str(path),
        image_id=names,
        found=found,
        digest=arrays.get("digest"),
        **blanked,
    )


def _joined(path: Path, key: str, parts: list[Any]) -> Any:
    if any((part is None) != (parts[0] is None) for part in parts):
        raise InputError(f"Some pieces of {path} hold {key!r} and some do not.")
    return None if parts[0] is None else np.concatenate(parts)


def _later(
    path: Path, load: Sequence[Piece], parts: Sequence[Outside]
) -> ShardedVertices | None:
    """Vertices that are read piece by piece; None if the pieces have none."""
    if _joined(path, "vertices", [part.vertices for part in parts]) is None:
        return None

    def read_again(number: int) -> np.ndarray:
        vertices = load[number]()["vertices"].astype(np.float32)
        blanked = blank_missing({"vertices": vertices}, parts[number].found)
        return blanked["vertices"]

    return ShardedVertices([len(part) for part in parts], read_again)


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

        def of_hands(points: "np.ndarray | ShardedVertices") -> np.ndarray:
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
