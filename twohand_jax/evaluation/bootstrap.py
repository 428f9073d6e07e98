"""Confidence intervals of figures by the percentile bootstrap (Efron, 1979).

Each draw takes as many records as there are, with replacement. Its figures are
computed from the sums and counts of the drawn records, like those of the whole set, and
the interval contains the middle of them. Where records depend on each other (views of
one pose, frames of a sequence), whole groups are drawn.
"""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float, Shaped

from twohand_jax.errors import InputError
from twohand_jax.evaluation import protocols
from twohand_jax.evaluation.results import Result
from twohand_jax.types import Mean

DRAWS, LEVEL = 2000, 0.95
# Numbers that are held at once while records are drawn (32 MB).
CHUNK = 1 << 22

_figures_of_draws = jax.jit(jax.vmap(protocols.reduced_means))


class Interval(NamedTuple):
    """Bounds of a figure; NaN if the figure is NaN."""

    low: float
    high: float


class Difference(NamedTuple):
    """A figure of one method minus that of another, with bounds of the difference."""

    value: float
    low: float
    high: float


def intervals(
    result: Result,
    *,
    draws: int = DRAWS,
    seed: int = 0,
    level: float = LEVEL,
    groups: Shaped[np.ndarray, "n"] | None = None,
) -> dict[str, Interval]:
    """Confidence intervals of all figures of ``Result.figures``.

    Args:
        result: result of one method.
        draws: number of draws.
        seed: seed of the draws; the same seed draws the same records.
        level: share of the draws that an interval contains.
        groups: group of each record, if records are not independent.

    Raises:
        InputError: there is no record.
    """
    return interval_of_means(
        result.scores.metrics, draws=draws, seed=seed, level=level, groups=groups
    )


def difference(
    first: Result,
    second: Result,
    *,
    draws: int = DRAWS,
    seed: int = 0,
    level: float = LEVEL,
    groups: Shaped[np.ndarray, "n"] | None = None,
) -> dict[str, Difference]:
    """Figures of ``first`` minus those of ``second``, both from the same drawn records.

    The difficulty that a record has for both methods cancels, so this interval is
    narrower than two separate ones suggest.

    Args:
        first: one method's result; ``groups`` are in the order of its records.
        second: another method's result on the same records, in any order.
        draws: as in ``intervals``.
        seed: as in ``intervals``.
        level: as in ``intervals``.
        groups: as in ``intervals``.

    Raises:
        InputError: protocols, sets or records differ, or there is no record.
    """
    second = matched(first, second)
    both = [
        (
            result.figures(),
            resample(result.scores.metrics, draws=draws, seed=seed, groups=groups),
        )
        for result in (first, second)
    ]
    (figures, drawn), (other_figures, other_drawn) = both
    out = {}
    for name in figures:
        if name in other_figures:
            value = figures[name] - other_figures[name]
            spread = drawn[name] - other_drawn[name]
            out[name] = Difference(value, *_interval(value, spread, level))
    return out


def interval_of_means(
    means: Mapping[str, Mean],
    *,
    draws: int = DRAWS,
    seed: int = 0,
    level: float = LEVEL,
    groups: Shaped[np.ndarray, "n"] | None = None,
) -> dict[str, Interval]:
    """Intervals of any means, given as sums and counts with the records' axis first."""
    drawn = resample(means, draws=draws, seed=seed, groups=groups)
    whole = protocols.metric_values(
        {
            name: Mean(*(np.sum(part, axis=0, dtype=np.float64) for part in mean))
            for name, mean in means.items()
        }
    )
    return {name: _interval(value, drawn[name], level) for name, value in whole.items()}


def resample(
    means: Mapping[str, Mean],
    *,
    draws: int,
    seed: int,
    groups: Shaped[np.ndarray, "n"] | None = None,
) -> dict[str, Float[np.ndarray, "draws"]]:
    """Figures (``protocols.reduced_means``) of each draw.

    Args:
        means: sums and counts with the records' axis first.
        draws: how many sets are drawn.
        seed: of the draws.
        groups: what each record belongs to; each record is a group without it.

    Raises:
        InputError: there is no record.
    """
    leaves, tree = jax.tree.flatten(dict(means))
    rows = len(leaves[0]) if leaves else 0
    if rows == 0:
        raise InputError(
            "There is no record to draw from, so there are no confidence intervals: "
            "evaluate a split that has records."
        )
    tables = [np.asarray(leaf).reshape(rows, -1) for leaf in leaves]
    if groups is not None:
        tables = [_group_sums(table, groups) for table in tables]
    sums = [
        table.reshape(draws, *np.shape(leaf)[1:])
        for table, leaf in zip(_draw(tables, draws, seed), leaves, strict=True)
    ]
    found = _figures_of_draws(jax.tree.unflatten(tree, sums))
    return {name: np.asarray(figure, np.float64) for name, figure in found.items()}


def matched(first: Result, second: Result) -> Result:
    """The second result with its records in the first one's order.

    Raises:
        InputError: they are not of the same records under the same protocol.
    """
    for what in ("protocol", "dataset", "split"):
        one, other = getattr(first, what), getattr(second, what)
        if one != other:
            raise InputError(
                f"{first.method!r} and {second.method!r} cannot be compared: the "
                f"{what} of one is {one!r}, of the other {other!r}."
            )
    order, other_order = np.argsort(first.record), np.argsort(second.record)
    if not np.array_equal(first.record[order], second.record[other_order]):
        alone = np.setxor1d(first.record, second.record)
        raise InputError(
            f"{first.method!r} has results of {len(first)} records and "
            f"{second.method!r} of {len(second)}; {len(alone)} records are in one "
            f"only (the first: {alone[:3].tolist()}). Evaluate both on the same."
        )
    back = np.empty_like(order)
    back[order] = other_order
    return second.take(back)


def _draw(
    tables: list[Shaped[np.ndarray, "n _"]], draws: int, seed: int
) -> list[Float[np.ndarray, "draws _"]]:
    """Each table's sums of rows drawn with replacement, as often as there are rows.

    The same rows of all tables are drawn. How often each row is in a draw, times the
    table, is all draws' sums at once.
    """
    rows = len(tables[0])
    rng = np.random.default_rng(seed)
    size = max(1, CHUNK // rows)
    sums: list[list[np.ndarray]] = [[] for _ in tables]
    for start in range(0, draws, size):
        number = min(size, draws - start)
        picks = rng.integers(rows, size=(number, rows))
        picks += rows * np.arange(number)[:, None]
        counts = np.bincount(picks.ravel(), minlength=number * rows)
        times = counts.reshape(number, rows).astype(np.float64)
        for table, found in zip(tables, sums, strict=True):
            found.append(times @ table.astype(np.float64))
    return [np.concatenate(found) for found in sums]


def _group_sums(
    table: Shaped[np.ndarray, "n k"], groups: Shaped[np.ndarray, "n"]
) -> Float[np.ndarray, "g k"]:
    """Sums of each group's rows."""
    if len(groups) != len(table):
        raise InputError(
            f"{len(groups)} group names were given for {len(table)} records: give one "
            "for each record."
        )
    names, member = np.unique(groups, return_inverse=True)
    sums = np.zeros((len(names), table.shape[-1]))
    np.add.at(sums, member, table)
    return sums


def _interval(
    value: float, drawn: Float[np.ndarray, "draws"], level: float
) -> Interval:
    """Quantiles of the draws in which anything was counted."""
    drawn = drawn[np.isfinite(drawn)]
    if not np.isfinite(value) or not len(drawn):
        return Interval(np.nan, np.nan)
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))
