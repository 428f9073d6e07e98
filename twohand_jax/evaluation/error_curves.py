"""The numbers in the plots of errors: one line for each method.

Kept apart from the drawing so that they can be tested and drawn by other means.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from twohand_jax import metrics
from twohand_jax.evaluation import bootstrap, breakdown, protocols
from twohand_jax.evaluation.breakdown import Bins
from twohand_jax.evaluation.results import Result, totals
from twohand_jax.types import NUM_JOINTS, Mean

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
        "pck": pck,
        "overlap": overlap,
        "occlusion": occlusion,
        "joints": joints,
    }
    found = {
        name: [line for line in map(make, results) if line is not None]
        for name, make in makers.items()
    }
    return {name: lines for name, lines in found.items() if lines}


def pck(result: Result) -> Line | None:
    """Share of joints (%) with an error of at most 0 to 50 mm.

    The protocol's own curve after alignment where it has one (FreiHAND, HO-3D), else
    that of root-relative joints, without the root, whose error is 0.
    """
    if ALIGNED in result.scores.metrics:
        curve = totals(result.scores)[ALIGNED]
        records = breakdown.counted(result).sum()
    else:
        errors = np.delete(breakdown.joint_errors(result), _root(result), axis=-1)
        records = np.isfinite(errors).any(axis=(-2, -1)).sum()
        errors = np.sort(errors[np.isfinite(errors)])
        right = np.searchsorted(errors, THRESHOLDS_MM, side="right")
        curve = Mean(right, np.full(STEPS, len(errors)))
    if not np.all(curve.count > 0):
        return None
    return Line(
        method=result.method,
        x=THRESHOLDS_MM,
        y=100 * np.asarray(curve.total, np.float64) / curve.count,
        low=np.full(STEPS, np.nan),
        high=np.full(STEPS, np.nan),
        records=np.full(STEPS, records),
        area=float(metrics.auc(curve)),
    )


def overlap(result: Result) -> Line | None:
    """``metric`` (mm) by overlap of the hands (``breakdown.OVERLAP``)."""
    return _by_bins(result, np.asarray(result.scores.overlap), breakdown.OVERLAP)


def occlusion(result: Result) -> Line | None:
    """``metric`` (mm) by occlusion (``breakdown.OCCLUSION``)."""
    return _by_bins(result, breakdown.more_hidden(result), breakdown.OCCLUSION)


def joints(result: Result) -> Line | None:
    """Mean error (mm) of each joint but the root, both hands pooled."""
    errors = breakdown.joint_errors(result)
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
    ends = bootstrap.of_means(means)
    return Line(
        method=result.method,
        x=np.array(places, np.float64),
        y=np.array([m.total.sum() / m.count.sum() for m in means.values()]),
        low=np.array([ends[name].low for name in means]),
        high=np.array([ends[name].high for name in means]),
        records=known.any(axis=-2).sum(axis=0)[places],
    )


def metric(protocol: str) -> str:
    """The figure that is drawn by overlap and occlusion: the protocol's first."""
    return protocols.get(protocol).essential[0]


def _by_bins(result: Result, values: Float[np.ndarray, "n"], bins: Bins) -> Line | None:
    """The metric of each range's records, None unless two ranges can be compared."""
    name = metric(result.protocol)
    place = np.where(breakdown.counted(result), bins.of(values), -1)
    rows = []
    for number in range(len(bins.labels)):
        part = result.take(place == number)
        if len(part) >= MIN_RECORDS:
            value = part.figures()[name]
            ends = bootstrap.of_means({name: part.scores.metrics[name]})[name]
            rows.append((number, value, *ends, len(part)))
    rows = [row for row in rows if np.isfinite(row[1])]
    if len(rows) < 2:
        return None
    x, y, low, high, records = (np.array(column) for column in zip(*rows, strict=True))
    return Line(result.method, x.astype(np.float64), y, low, high, records)


def _root(result: Result) -> int:
    return protocols.get(result.protocol).root
