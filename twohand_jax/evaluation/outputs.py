"""What ``twohand evaluate`` shows and writes: tables, scores of records, plots."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from twohand_jax import files
from twohand_jax.evaluation import (
    bootstrap,
    breakdown,
    contact_scores,
    methods,
    protocols,
)
from twohand_jax.evaluation.results import Result
from twohand_jax.evaluation.run import FOUND, WRONG_SIDE
from twohand_jax.markdown import table as aligned

if TYPE_CHECKING:
    from twohand_jax.evaluation.worst import WorstRecord

SHOWN = 4  # columns with intervals, in the summary
HANDS = "hands"


class ResultTable:
    """Figures of several methods on one split, with intervals and breakdowns.

    Attributes:
        title: what was evaluated.
        results: of the methods, in the order of the rows.
        rate: pictures a second, NaN where nothing was computed.
        note: how to read the intervals, a sentence.
        differences: paired differences of rows, by what is compared.
    """

    def __init__(
        self,
        results: Sequence[Result],
        *,
        title: str,
        rate: float,
        note: str = "",
        differences: Mapping[str, Mapping[str, bootstrap.Difference]] | None = None,
    ) -> None:
        """Compute all figures (some seconds for thousands of records)."""
        first = results[0]
        self.protocol = protocols.get(first.protocol)
        self.title = (
            f"{title}: {len(first):,} records, protocol {first.protocol}, "
            f"{self.protocol.units}"
        )
        self.results, self.rate, self.note = list(results), rate, note
        self.differences = differences or {}
        self.rows = {one.method: _figures(one) for one in results}
        self.intervals = {one.method: bootstrap.intervals(one) for one in results}
        self.parts = breakdown.parts(results[-1])
        known = set().union(*self.rows.values())
        others = (*contact_scores.COLUMNS, FOUND, WRONG_SIDE, HANDS)
        more = [name for name in others if name in known]
        self.columns = (*self.protocol.columns, *more)

    def summary(self) -> str:
        """Figures of all rows, and intervals of the first ones, in Markdown."""
        last = self.rows[self.results[-1].method]
        known = [c for c in self.columns if not math.isnan(last.get(c, math.nan))]
        pieces = [
            self.title,
            markdown(self.rows, columns=self.columns),
            "95 % intervals by bootstrap over the records:",
            _intervals(self, [c for c in known if c != HANDS][:SHOWN]),
        ]
        for what, found in self.differences.items():
            pieces += [
                f"{what}, the last row of each, on the same records:",
                differences(found, self.protocol.name),
            ]
        if self.note:
            pieces.append(self.note)
        if not math.isnan(self.rate):
            rows = "row" if len(self.rows) == 1 else "rows"
            pieces.append(
                f"{self.rate:.1f} pictures a second for {len(self.rows)} {rows}."
            )
        return "\n\n".join(pieces)

    def markdown(self) -> str:
        """The summary, and figures of the parts of the set."""
        parts = markdown(breakdown.rows(self.parts), columns=self.columns)
        last = self.results[-1].method
        return f"{self.summary()}\n\nParts of the set, row {last!r}:\n\n{parts}\n"

    def record(self) -> dict[str, Any]:
        """The same as JSON has it; figures that counted nothing are null."""
        first = self.results[0]
        found = {
            "title": self.title,
            "protocol": first.protocol,
            "dataset": first.dataset,
            "split": first.split,
            "records": len(first),
            "images_per_second": self.rate,
            "rows": self.rows,
            "intervals": self.intervals,
            **({"note": self.note} if self.note else {}),
            **({"differences": self._differences()} if self.differences else {}),
            "parts": [part._asdict() for part in self.parts],
        }
        return _without_nan(found)

    def _differences(self) -> dict[str, Any]:
        return {
            what: {name: one._asdict() for name, one in found.items()}
            for what, found in self.differences.items()
        }

    def page(self, worst: "Sequence[WorstRecord]" = ()) -> str:
        """The same as one HTML file, with curves and the worst records."""
        from twohand_jax.evaluation import page  # it draws, which others don't need

        return page.html(
            self.results,
            title=self.title,
            columns=self.columns,
            figures=self.rows,
            intervals=self.intervals,
            worst=worst,
            note=self.note,
            differences=self.differences,
        )


def write(
    table: ResultTable,
    directory: Path,
    *,
    plots: bool = True,
    worst: "Sequence[WorstRecord]" = (),
) -> list[Path]:
    """Write ``PROTOCOL.md``, ``.json``, ``.html``, ``plots/``; returns what there is.

    Args:
        table: the figures.
        directory: created when missing.
        plots: whether to draw PNG files as well (needs matplotlib).
        worst: records to show on the page.
    """
    name = table.results[0].protocol
    paths = write_texts(
        directory,
        {
            f"{name}.md": table.markdown(),
            f"{name}.json": json.dumps(table.record(), indent=2, allow_nan=False),
            f"{name}.html": table.page(worst),
        },
    )
    paths += sorted((directory / "samples").glob("*.npz"))
    if plots:
        from twohand_jax.evaluation import error_plots

        drawn = [one for one in table.results if one.method != methods.LABELS]
        paths += error_plots.write(drawn, directory / "plots")
    return paths


def differences(found: Mapping[str, bootstrap.Difference], protocol: str) -> str:
    """Paired differences in Markdown; an interval without 0 is more than chance.

    Args:
        found: from ``bootstrap.difference``.
        protocol: whose columns come first.
    """
    names = [*protocols.get(protocol).columns, *contact_scores.COLUMNS]
    rows = []
    for name in names:
        if name in found and not math.isnan(found[name].value):
            value, low, high = found[name]
            rows.append((name, f"{value:+.2f}", f"{low:+.2f} to {high:+.2f}"))
    return aligned(("", "difference", "95 % interval"), rows)


def _intervals(table: ResultTable, columns: Sequence[str]) -> str:
    rows = []
    for name, found in table.intervals.items():
        cells = [
            f"{found[c].low:.2f} – {found[c].high:.2f}"
            if c in found and not math.isnan(found[c].low)
            else "–"
            for c in columns
        ]
        rows.append((name, *cells))
    return aligned(("", *columns), rows)


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(inner) for inner in value]
    if isinstance(value, float) and math.isnan(value):
        return None
    return value


COLUMNS = (
    "MPJPE",
    "MPVPE",
    "MRRPE",
    "PA-MPJPE",
    "MPJPE-XY",
    "MPJPE-Z",
    "MPVPE-XY",
    "MPVPE-Z",
    "MPJPE/single",
    "MPJPE/interacting",
)


def markdown(
    rows: dict[str, dict[str, float]], *, columns: tuple[str, ...] = COLUMNS
) -> str:
    """A Markdown table, one line a row, two decimals.

    Columns that no row has a figure for are left out; so are NaNs.
    """
    shown = [
        c
        for c in columns
        if any(not math.isnan(row.get(c, math.nan)) for row in rows.values())
    ]
    cells = [
        (name, *(_cell(row.get(c, math.nan), column=c) for c in shown))
        for name, row in rows.items()
    ]
    return aligned(("", *shown), cells)


def _cell(value: float, *, column: str) -> str:
    if math.isnan(value):
        return "–"
    return f"{value:,.0f}" if column == HANDS else f"{value:.2f}"


def _figures(result: Result) -> dict[str, float]:
    """The protocol's figures, and of how many hands where some were not found."""
    found = result.figures()
    if FOUND in result.scores.metrics:
        found[HANDS] = float(np.sum(result.scores.metrics[FOUND].total)) / 100.0
    return found


def write_table(
    rows: dict[str, dict[str, float]],
    directory: Path,
    *,
    name: str,
    title: str,
    columns: tuple[str, ...] = COLUMNS,
) -> list[Path]:
    """Write ``name.json`` and ``name.md``, each complete or not at all."""
    shown = markdown(rows, columns=columns)
    return write_texts(
        directory,
        {
            f"{name}.json": json.dumps({"title": title, "rows": rows}, indent=2),
            f"{name}.md": f"{title}\n\n{shown}\n",
        },
    )


def write_texts(directory: Path, texts: Mapping[str, str]) -> list[Path]:
    """Write files by name, each complete or not at all."""
    for file, text in texts.items():
        files.write_text(directory / file, text)
    return [directory / file for file in texts]
