"""The records of an evaluation with the largest errors, and pictures of them."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import jax
import numpy as np
from jaxtyping import Float, UInt8

from twohand_jax import switches
from twohand_jax.evaluation import breakdown, methods, monitors
from twohand_jax.evaluation.results import Result
from twohand_jax.evaluation.run import Subject
from twohand_jax.types import Batch

if TYPE_CHECKING:
    from twohand_jax.data.tfrecord import Reader


class WorstRecord(NamedTuple):
    """A record of which a method is far off.

    Attributes:
        record: its number in the split.
        name: its picture's.
        subset: of the set.
        error_mm: mean error of its joints.
        image: the estimate over the picture, and from the side; None without one.
    """

    record: int
    name: str
    subset: str
    error_mm: float
    image: UInt8[np.ndarray, "h w 3"] | None = None


def errors_mm(result: Result) -> Float[np.ndarray, "n"]:
    """Mean error of each record's joints; NaN where the protocol looks at none."""
    errors = breakdown.joint_errors(result)
    count = np.isfinite(errors).sum(axis=(1, 2))
    sums = np.nansum(errors, axis=(1, 2))
    return np.where(count > 0, sums / np.maximum(count, 1), np.nan)


def find(result: Result, count: int) -> list[WorstRecord]:
    """The ``count`` records with the largest errors, the worst first."""
    errors = errors_mm(result)
    rows = np.flatnonzero(np.isfinite(errors))
    rows = rows[np.argsort(-errors[rows], kind="stable")][:count]
    return [
        WorstRecord(
            int(result.record[row]),
            str(result.image_id[row]),
            str(result.subset[row]),
            float(errors[row]),
        )
        for row in rows
    ]


@switches.defaults()
def drawn(
    found: list[WorstRecord],
    subject: Subject,
    method: str,
    reader: "Reader",
) -> list[WorstRecord]:
    """The same with pictures, for which the method estimates these records again.

    Args:
        found: from ``find``.
        subject: of the evaluation.
        method: its row.
        reader: of the evaluation; its batches have the size that is compiled.
    """
    images: Mapping[int, UInt8[np.ndarray, "h w 3"]] = {
        record: image
        for batch in reader.picked([one.record for one in found])
        for record, image in _images(subject, method, batch).items()
    }
    return [one._replace(image=images.get(one.record)) for one in found]


def _images(subject: Subject, method: str, batch: Batch) -> dict[int, np.ndarray]:
    estimate = subject.methods[method](methods.spread(batch))
    prediction = jax.tree.map(np.asarray, estimate)
    rows = np.flatnonzero(np.asarray(batch.weight) > 0).tolist()
    hand = subject.hand
    return {
        int(batch.record[row]): monitors.draw_record(prediction, batch, hand, row)
        for row in rows
    }
