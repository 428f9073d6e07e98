"""Figures of parts of a set, and the lines in the plots of errors."""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from twohand_jax import metrics
from twohand_jax.evaluation import bootstrap, protocols
from twohand_jax.evaluation.results import Result, totals
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


class Breakdown(NamedTuple):
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


def parts(result: Result) -> list[Breakdown]:
    """All breakdowns of one method's result, the whole first."""
    everything = np.ones(len(result), bool)
    return [
        *_part(result, everything, by="all", name="all"),
        *by_bins(result, np.asarray(result.scores.overlap), OVERLAP),
        *by_bins(result, more_hidden(result), OCCLUSION),
        *by_subset(result),
        *by_hand(result),
    ]


def rows(found: list[Breakdown]) -> dict[str, dict[str, float]]:
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
    if protocol.right_hand:
        compared = compared & (np.arange(2) == RIGHT)[:, None]
    kept = _kept(result)
    if kept is not None:
        count = np.asarray(kept.count)
        compared = np.any(count > 0, axis=tuple(range(1, count.ndim - 2)))
    errors = np.asarray(result.scores.joints_mm, np.float64)
    return np.where(compared, errors, np.nan)


def by_bins(
    result: Result, values: Float[np.ndarray, "n"], bins: Bins
) -> list[Breakdown]:
    """Records by ranges of a value; those where it is NaN are in no part."""
    place = bins.of(values)
    return [
        part
        for number, label in enumerate(bins.labels)
        for part in _part(result, place == number, by=bins.name, name=label)
    ]


def by_subset(result: Result) -> list[Breakdown]:
    """Records by the subset that the dataset puts them in, in alphabetical order."""
    return [
        part
        for name in np.unique(result.subset)
        for part in _part(result, result.subset == name, by="subset", name=str(name))
        if name
    ]


def by_hand(result: Result) -> list[Breakdown]:
    """MPJPE and MPVPE of the right and of the left hand.

    Only of protocols that compare both hands unscaled and relative to their roots
    (``Protocol.by_hand``), and only where both hands were compared.
    """
    if not protocols.get(result.protocol).by_hand:
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
        figures = protocols.metric_values({"MPJPE": joints, "MPVPE": _mean(vertices)})
        records = np.isfinite(errors[:, hand]).any(axis=-1) | np.isfinite(vertices)
        if records.any():
            found.append(Breakdown("hand", name, int(records.sum()), _known(figures)))
    return found if len(found) == len(SIDES) else []


def _part(
    result: Result, rows: Bool[np.ndarray, "n"], *, by: str, name: str
) -> list[Breakdown]:
    """The part of these records, or none where nothing is compared in them."""
    part = result.take(rows)
    number = int(counted(part).sum())
    return [Breakdown(by, name, number, _known(part.figures()))] if number else []


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


MAX_MM, STEPS = 50.0, 100
THRESHOLDS_MM = np.linspace(0.0, MAX_MM, STEPS)  # those of ``metrics.pck``
# A range with fewer records gets no point: its mean and interval would mislead.
MIN_RECORDS = 5
ALIGNED = "PA-PCK-J"


class Line(NamedTuple):
    """What is drawn of one method.

    ``x`` is a threshold in mm, the number of a range or of a joint. ``low`` and
    ``high`` are the ends of the 95 % interval of ``y`` (NaN where there is none),
    ``records`` what a point rests on. ``area`` is that under a PCK curve, otherwise
    NaN.
    """

    method: str
    x: Float[np.ndarray, "k"]
    y: Float[np.ndarray, "k"]
    low: Float[np.ndarray, "k"]
    high: Float[np.ndarray, "k"]
    records: Int[np.ndarray, "k"]
    area: float = float("nan")


def curves(results: list[Result]) -> dict[str, list[Line]]:
    """All lines of all plots: ``pck``, ``overlap``, ``occlusion`` and ``joints``.

    A method without the errors that a plot shows is not in it, and a plot without a
    method is left out.
    """
    makers: dict[str, Callable[[Result], Line | None]] = {
        "pck": pck_lines,
        "overlap": overlap_lines,
        "occlusion": occlusion_lines,
        "joints": joint_lines,
    }
    found = {
        name: [line for line in map(make, results) if line is not None]
        for name, make in makers.items()
    }
    return {name: lines for name, lines in found.items() if lines}


def pck_lines(result: Result) -> Line | None:
    """Share of joints (%) with an error of at most 0 to 50 mm.

    The protocol's own curve after alignment where it has one (FreiHAND, HO-3D), else
    that of root-relative joints, without the root, whose error is 0.
    """
    if ALIGNED in result.scores.metrics:
        curve = totals(result.scores)[ALIGNED]
        records = counted(result).sum()
    else:
        errors = np.delete(joint_errors(result), _root(result), axis=-1)
        records = np.isfinite(errors).any(axis=(-2, -1)).sum()
        errors = np.sort(errors[np.isfinite(errors)])
        right = np.searchsorted(errors, THRESHOLDS_MM, side="right")
        curve = Mean(right, np.full(STEPS, len(errors)))
    if not np.all(curve.count > 0):
        return None
    return Line(
        method=result.method,
        x=THRESHOLDS_MM,
        y=100 * np.asarray(curve.value(), np.float64),
        low=np.full(STEPS, np.nan),
        high=np.full(STEPS, np.nan),
        records=np.full(STEPS, records),
        area=float(metrics.auc(curve)),
    )


def overlap_lines(result: Result) -> Line | None:
    """``metric`` (mm) by overlap of the hands (``OVERLAP``)."""
    return _by_bins(result, np.asarray(result.scores.overlap), OVERLAP)


def occlusion_lines(result: Result) -> Line | None:
    """``metric`` (mm) by occlusion (``OCCLUSION``)."""
    return _by_bins(result, more_hidden(result), OCCLUSION)


def joint_lines(result: Result) -> Line | None:
    """Mean error (mm) of each joint but the root, both hands pooled."""
    errors = joint_errors(result)
    known = np.isfinite(errors)
    means = {
        str(joint): Mean(
            np.where(known, errors, 0.0)[..., joint].sum(axis=-1),
            known[..., joint].sum(axis=-1),
        )
        for joint in range(NUM_JOINTS)
        if joint != _root(result) and known[..., joint].any()
    }
    if not means:
        return None
    places = [int(name) for name in means]
    ends = bootstrap.interval_of_means(means)
    return Line(
        method=result.method,
        x=np.array(places, np.float64),
        y=np.array([m.total.sum() / m.count.sum() for m in means.values()]),
        low=np.array([ends[name].low for name in means]),
        high=np.array([ends[name].high for name in means]),
        records=known.any(axis=-2).sum(axis=0)[places],
    )


def metric_lines(protocol: str) -> str:
    """The figure that is drawn by overlap and occlusion: the protocol's first."""
    return protocols.get(protocol).essential[0]


def _by_bins(result: Result, values: Float[np.ndarray, "n"], bins: Bins) -> Line | None:
    """The metric of each range's records, None unless two ranges can be compared."""
    name = metric_lines(result.protocol)
    place = np.where(counted(result), bins.of(values), -1)
    rows = []
    for number in range(len(bins.labels)):
        part = result.take(place == number)
        if len(part) >= MIN_RECORDS:
            value = part.figures()[name]
            ends = bootstrap.interval_of_means({name: part.scores.metrics[name]})[name]
            rows.append((number, value, *ends, len(part)))
    rows = [row for row in rows if np.isfinite(row[1])]
    if len(rows) < 2:
        return None
    x, y, low, high, records = (np.array(column) for column in zip(*rows, strict=True))
    return Line(result.method, x.astype(np.float64), y, low, high, records)


def _root(result: Result) -> int:
    return protocols.get(result.protocol).root
