"""What an evaluation found for every record: array records, their names and file."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from twohand_jax import files, reading
from twohand_jax.data.decode import Rows
from twohand_jax.errors import InputError
from twohand_jax.evaluation import protocols
from twohand_jax.types import Array, Mean

# Raised when a protocol changes, too: figures by its old definition are others.
VERSION = 2
MAX_BYTES = 16 << 30
TOTAL, COUNT = "/total", "/count"
METRIC = "metric/"
TEXTS = ("record", "image_id", "subset")


class Scores(NamedTuple):
    """Errors of one method on each of n records, under one protocol.

    ``metrics`` holds the protocol's sums and counts with the records' axis first, mm.
    The others are for plots: distance of each joint and mean distance of the vertices
    relative to the protocol's root (mm, NaN where it does not count), intersection
    over union of the hands' true boxes, and the share of each hand's joints that the
    other hand hides (NaN where there is no such pair).
    """

    metrics: dict[str, Mean]
    joints_mm: Float[Array, "n 2 21"]
    vertices_mm: Float[Array, "n 2"]
    overlap: Float[Array, "n"]
    occluded: Float[Array, "n 2"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Result:
    """Scores of one method on one split.

    Attributes:
        method: name of the row, such as ``+ keypoints``.
        protocol: name of the protocol.
        dataset: name of the record set, as in its metadata.
        split: its split.
        record: number of each record in the split.
        image_id: of each record.
        subset: of each record, such as ``clasped``.
        scores: of each record.
    """

    method: str
    protocol: str
    dataset: str
    split: str
    record: Int[np.ndarray, "n"]
    image_id: np.ndarray
    subset: np.ndarray
    scores: Scores

    def __len__(self) -> int:
        return len(self.record)

    def take(self, rows: Int[np.ndarray, "m"] | Bool[np.ndarray, "n"]) -> "Result":
        """Some of the records."""
        return dataclasses.replace(
            self,
            record=self.record[rows],
            image_id=self.image_id[rows],
            subset=self.subset[rows],
            scores=jax.tree.map(lambda leaf: leaf[rows], self.scores),
        )

    def figures(self) -> dict[str, float]:
        """The protocol's figures over all records (``protocols.metric_values``)."""
        return protocols.metric_values(totals(self.scores))


def totals(scores: Scores) -> dict[str, Mean]:
    """Sums and counts of all records, in double precision."""
    return {
        name: Mean(*(np.asarray(part, np.float64).sum(axis=0) for part in mean))
        for name, mean in scores.metrics.items()
    }


def save(path: Path, result: Result) -> None:
    """Write an npz (no pickles in it), complete or not at all.

    Its keys are ``record``, ``image_id``, ``subset``, ``joints_mm``, ``vertices_mm``,
    ``overlap``, ``occluded``, ``metric/NAME/total`` and ``metric/NAME/count``, all
    with the records' axis first, and ``about``, a JSON object in words.
    """
    about = {
        "version": VERSION,
        "method": result.method,
        "protocol": result.protocol,
        "dataset": result.dataset,
        "split": result.split,
    }
    arrays = {name: np.asarray(getattr(result, name)) for name in TEXTS}
    arrays |= flatten(result.scores)
    files.write_npz(path, {"about": np.array(json.dumps(about))} | arrays)


def load(path: Path) -> Result:
    """Read what ``save`` wrote.

    Raises:
        InputError: the file is missing, damaged or of another kind or version.
    """
    try:
        arrays: dict[str, Any] = reading.read_npz(path, limit=MAX_BYTES)
        about = json.loads(str(arrays.pop("about")))
        version = about.pop("version")
        texts = {name: arrays.pop(name) for name in TEXTS}
        scores = unflatten(arrays)
    except Exception as error:
        raise InputError(
            f"{path} cannot be read as results of an evaluation ({error}): give a "
            "samples/*.npz file that twohand evaluate wrote."
        ) from error
    if version != VERSION:
        raise InputError(
            f"{path} holds results of version {version}, this program reads version "
            f"{VERSION}: evaluate again."
        )
    leaves = [*jax.tree.leaves(scores), *texts.values()]
    lengths = {len(leaf) if np.ndim(leaf) else 0 for leaf in leaves}
    if len(lengths) != 1:
        raise InputError(
            f"The arrays of {path} have {sorted(lengths)} rows, where all must have "
            "one for each record: evaluate again."
        )
    return Result(**about, **texts, scores=scores)


def flatten(scores: Scores) -> dict[str, np.ndarray]:
    """The arrays of an npz."""
    arrays = {
        name: np.asarray(value)
        for name, value in scores._asdict().items()
        if name != "metrics"
    }
    for name, mean in scores.metrics.items():
        arrays[f"{METRIC}{name}{TOTAL}"] = np.asarray(mean.total)
        arrays[f"{METRIC}{name}{COUNT}"] = np.asarray(mean.count)
    return arrays


def unflatten(arrays: Mapping[str, np.ndarray]) -> Scores:
    """Scores of an npz's arrays."""
    names = [
        key[len(METRIC) : -len(TOTAL)]
        for key in arrays
        if key.startswith(METRIC) and key.endswith(TOTAL)
    ]
    metrics = {
        name: Mean(arrays[f"{METRIC}{name}{TOTAL}"], arrays[f"{METRIC}{name}{COUNT}"])
        for name in names
    }
    return Scores(
        metrics=metrics,
        joints_mm=arrays["joints_mm"],
        vertices_mm=arrays["vertices_mm"],
        overlap=arrays["overlap"],
        occluded=arrays["occluded"],
    )


WIDTH = {"image_id": 256, "subset": 64}


class Names:
    """Collects the names of the records that a reader goes through."""

    def __init__(self) -> None:
        self._known: dict[int, dict[str, bytes]] = {}

    def watch(self, rows: Rows) -> None:
        """Remember the names of a batch (``Reader.once``)."""
        for row in np.flatnonzero(rows.usable):
            self._known[int(rows.records[row])] = {
                field: rows.fields[field][row] for field in WIDTH
            }

    def texts(
        self, record: Int[np.ndarray, "n"], weight: Float[np.ndarray, "n"]
    ) -> dict[str, UInt8[np.ndarray, "n width"]]:
        """Names of these records, and forget them; zeros for padding."""
        found = {
            field: np.zeros((len(record), width), np.uint8)
            for field, width in WIDTH.items()
        }
        for row in np.flatnonzero(weight > 0):
            for field, text in self._known.pop(int(record[row]), {}).items():
                code = np.frombuffer(text, np.uint8)[: WIDTH[field]]
                found[field][row, : len(code)] = code
        return found


def decode_names(codes: UInt8[np.ndarray, "n width"]) -> np.ndarray:
    """Bytes as an array of strings."""
    return np.array([bytes(code).rstrip(b"\0").decode() for code in codes], np.str_)
