"""Figures of parts of a set: by overlap, by occlusion, by subset and by hand.

Every part's figures are those of the protocol over the part's records. Parts in which
the protocol compares nothing are left out.
"""

import dataclasses
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from twohand_jax.evaluation import protocols
from twohand_jax.evaluation.results import Result
from twohand_jax.types import NUM_JOINTS, RIGHT, SIDES, Mean


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bins:
    """Ranges of a number, each without its lower and with its upper end.

    The first holds everything up to the first edge, the last all above the last one.

    Attributes:
        name: what is measured, as in a table.
        edges: between the ranges, rising.
        labels: of the ranges, one more than edges.
    """

    name: str
    edges: tuple[float, ...]
    labels: tuple[str, ...]

    def of(self, values: Float[np.ndarray, "*b"]) -> Int[np.ndarray, "*b"]:
        """Number of the range of each value; -1 for NaN."""
        places = np.searchsorted(self.edges, values, side="left")
        return np.where(np.isnan(values), -1, places)


OVERLAP = Bins(
    name="IoU of the hands",
    edges=(0.0, 0.1, 0.3),
    labels=("0", "0–0.1", "0.1–0.3", "over 0.3"),
)
OCCLUSION = Bins(
    name="joints hidden",
    edges=(0.0, 0.25, 0.5),
    labels=("none", "up to 25 %", "25–50 %", "over 50 %"),
)


# Protocols whose MPJPE and MPVPE of a hand are means of ``Scores``' own errors.
BY_HAND = ("wrist", "mcp", "hic")


class Part(NamedTuple):
    """Figures of some of the records.

    Attributes:
        by: what the set was divided by.
        name: of the part.
        records: how many of its records the protocol looks at.
        figures: of the protocol, in its units; none is NaN.
    """

    by: str
    name: str
    records: int
    figures: dict[str, float]


def parts(result: Result) -> list[Part]:
    """All breakdowns of one method's result, the whole first."""
    everything = np.ones(len(result), bool)
    return [
        *_part(result, everything, by="all", name="all"),
        *by_bins(result, np.asarray(result.scores.overlap), OVERLAP),
        *by_bins(result, more_hidden(result), OCCLUSION),
        *by_subset(result),
        *by_hand(result),
    ]


def rows(found: list[Part]) -> dict[str, dict[str, float]]:
    """Parts as rows of ``report.markdown``, the number of records in their names."""
    return {
        (part.name if part.by == part.name else f"{part.by}: {part.name}")
        + f" (n = {part.records:,})": part.figures
        for part in found
    }


def more_hidden(result: Result) -> Float[np.ndarray, "n"]:
    """Share of the joints of each record's more hidden hand; NaN without a pair."""
    return np.max(result.scores.occluded, axis=-1)


def counted(result: Result) -> Bool[np.ndarray, "n"]:
    """Of which records the protocol compares hands: in an essential metric."""
    rows = np.zeros(len(result), bool)
    for name in protocols.get(result.protocol).essential:
        if name in result.scores.metrics:
            count = np.asarray(result.scores.metrics[name].count)
            rows |= np.any(count > 0, axis=tuple(range(1, count.ndim)))
    return rows


def joint_errors(result: Result) -> Float[np.ndarray, "n 2 21"]:
    """Distance of each joint relative to the root, NaN where the protocol skips it.

    ``Scores.joints_mm`` holds whatever has a label. A protocol may look at pictures of
    two hands only, at right hands only, or at joints inside of the picture.
    """
    compared = counted(result)[:, None, None]
    protocol = protocols.get(result.protocol)
    if protocol.submission:
        compared = compared & (np.arange(2) == RIGHT)[:, None]
    kept = _kept(result)
    if kept is not None:
        count = np.asarray(kept.count)
        compared = np.any(count > 0, axis=tuple(range(1, count.ndim - 2)))
    errors = np.asarray(result.scores.joints_mm, np.float64)
    return np.where(compared, errors, np.nan)


def by_bins(result: Result, values: Float[np.ndarray, "n"], bins: Bins) -> list[Part]:
    """Records by ranges of a value; those where it is NaN are in no part."""
    place = bins.of(values)
    return [
        part
        for number, label in enumerate(bins.labels)
        for part in _part(result, place == number, by=bins.name, name=label)
    ]


def by_subset(result: Result) -> list[Part]:
    """Records by the subset that the dataset puts them in, in alphabetical order."""
    return [
        part
        for name in np.unique(result.subset)
        for part in _part(result, result.subset == name, by="subset", name=str(name))
        if name
    ]


def by_hand(result: Result) -> list[Part]:
    """MPJPE and MPVPE of the right and of the left hand.

    Only of protocols that compare both hands unscaled and relative to their roots
    (``BY_HAND``), and only where both hands were compared.
    """
    if result.protocol not in BY_HAND:
        return []
    rows = counted(result)
    errors, found = joint_errors(result), []
    for hand, name in enumerate(SIDES):
        vertices = np.where(rows, result.scores.vertices_mm[:, hand], np.nan)
        kept = _kept(result)
        joints = (
            _mean(errors[:, hand])
            if kept is None
            else Mean(*(np.sum(part[..., hand, :], axis=0) for part in kept))
        )
        figures = protocols.numbers({"MPJPE": joints, "MPVPE": _mean(vertices)})
        records = np.isfinite(errors[:, hand]).any(axis=-1) | np.isfinite(vertices)
        if records.any():
            found.append(Part("hand", name, int(records.sum()), _known(figures)))
    return found if len(found) == len(SIDES) else []


def _part(
    result: Result, rows: Bool[np.ndarray, "n"], *, by: str, name: str
) -> list[Part]:
    """The part of these records, or none where nothing is compared in them."""
    part = result.take(rows)
    number = int(counted(part).sum())
    return [Part(by, name, number, _known(part.figures()))] if number else []


def _known(figures: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in figures.items() if np.isfinite(value)}


def _kept(result: Result) -> Mean | None:
    """The protocol's MPJPE if that is kept a hand and joint."""
    mean = result.scores.metrics.get("MPJPE")
    kept = mean is not None and np.shape(mean.total)[-2:] == (2, NUM_JOINTS)
    return mean if kept else None


def _mean(errors: Float[np.ndarray, "n *k"]) -> Mean:
    known = np.isfinite(errors)
    return Mean(np.where(known, errors, 0.0).sum(axis=0), known.sum(axis=0))
