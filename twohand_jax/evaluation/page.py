"""An evaluation as one HTML file: figures, curves, parts of the set, worst records."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from twohand_jax.evaluation import breakdown, methods, protocols
from twohand_jax.evaluation.bootstrap import Difference, Interval
from twohand_jax.evaluation.breakdown import Line
from twohand_jax.evaluation.results import Result
from twohand_jax.evaluation.worst import WorstRecord
from twohand_jax.mano.joints import JOINT_NAMES
from twohand_jax.viz import charts
from twohand_jax.viz import html as page
from twohand_jax.viz.charts import Axis, Series

ABSENT = "–"
PARTS = 6  # figures of the table of parts
STYLE = """
td.n small { display: block; color: var(--soft); }
.card td:first-child { min-width: 8.5rem; }
"""
INTERVALS = "Below each figure its 95 % interval by bootstrap over the records."


def html(
    results: Sequence[Result],
    *,
    title: str,
    columns: Sequence[str],
    figures: Mapping[str, Mapping[str, float]],
    intervals: Mapping[str, Mapping[str, Interval]],
    worst: Sequence[WorstRecord] = (),
    note: str = "",
    differences: Mapping[str, Mapping[str, Difference]] | None = None,
) -> str:
    """The page.

    Args:
        results: of each method, in the order of the columns.
        title: what was evaluated, on what.
        columns: names of the figures, in their order.
        figures: of each method.
        intervals: of each method.
        worst: records with large errors of the last method.
        note: how to read the intervals, a sentence.
        differences: paired differences of methods, by what is compared.
    """
    protocol = protocols.get(results[0].protocol)
    heading, _, about = title.partition(": ")
    heading = f"{heading[:1].upper()}{heading[1:]}"
    about = f"{about}. {protocol.meaning[:1].upper()}{protocol.meaning[1:]}."
    table = figures_table(columns, figures, intervals)
    content = [
        page.element("h1", heading),
        page.element("p", about, style="soft"),
        page.group([table], style="card"),
        page.element("p", f"{INTERVALS} {note}".strip(), style="soft"),
    ]
    if differences:
        values = {
            what: {name: one.value for name, one in found.items()}
            for what, found in differences.items()
        }
        table = figures_table(columns, values, differences)
        content += [page.element("h2", "Paired differences, the last row of each")]
        content += [page.group([table], style="card")]
    content += [page.element("h2", "Errors"), page.group(plots(results), style="cards")]
    content += _parts(results[-1], columns)
    content += _worst(results[-1], worst)
    return page.page(heading, content, style=charts.STYLE + STYLE)


def figures_table(
    columns: Sequence[str],
    figures: Mapping[str, Mapping[str, float]],
    intervals: Mapping[str, Mapping[str, Interval | Difference]],
) -> str:
    """A row for each figure, a column for each method; both may be many."""
    names = list(figures)
    head = [page.element("th", ""), *(page.element("th", n, style="n") for n in names)]
    rows = [page.group(head, name="tr")]
    for column in columns:
        values = [figures[name].get(column, math.nan) for name in names]
        if all(map(math.isnan, values)):
            continue
        cells = [page.element("td", column)]
        for name, value in zip(names, values, strict=True):
            cells.append(_cell(value, intervals.get(name, {}).get(column)))
        rows.append(page.group(cells, name="tr"))
    return page.group(rows, name="table")


def _cell(value: float, span: Interval | Difference | None) -> str:
    if math.isnan(value):
        return page.element("td", ABSENT, style="n")
    ends = ""
    if span is not None and not math.isnan(span.low):
        ends = page.element("small", f"{span.low:.2f} – {span.high:.2f}")
    return page.group([f"{value:,.2f}", ends], style="n", name="td")


def plots(results: Sequence[Result]) -> list[str]:
    """All curves that the results have numbers for."""
    drawn = [one for one in results if one.method != methods.LABELS]
    metric = breakdown.metric_lines(results[0].protocol)
    found = []
    for name, lines in breakdown.curves(drawn).items():
        if name == "pck":
            found.append(_pck(lines))
        elif name == "joints":
            found.append(_joints(lines))
        else:
            bins = {"overlap": breakdown.OVERLAP, "occlusion": breakdown.OCCLUSION}
            found.append(_bins(lines, bins[name], metric))
    return found


def _series(lines: Sequence[Line], *, is_dotted: bool) -> list[Series]:
    """Lines of a chart; marked points stand beside those of other methods."""
    apart = 0.09 if is_dotted else 0.0
    return [
        Series(
            one.method
            if math.isnan(one.area)
            else f"{one.method} (area {one.area:.3f})",
            one.x + apart * (number - (len(lines) - 1) / 2),
            one.y,
            one.low,
            one.high,
            is_dotted,
        )
        for number, one in enumerate(lines)
    ]


def _pck(lines: Sequence[Line]) -> str:
    return charts.lines(
        "Joints within a threshold",
        _series(lines, is_dotted=False),
        Axis("error threshold, mm", 0.0, breakdown.MAX_MM),
        Axis("joints within it, %", 0.0, 100.0),
        note=f"{_most(lines):,} records.",
    )


def _bins(lines: Sequence[Line], bins: breakdown.Bins, metric: str) -> str:
    series = _series(lines, is_dotted=True)
    places = sorted({int(x) for one in lines for x in one.x})
    counts = {
        int(x): n for one in lines for x, n in zip(one.x, one.records, strict=True)
    }
    told = ", ".join(f"{counts[p]:,} with {bins.labels[p]}" for p in places)
    return charts.lines(
        f"{metric} by {bins.name}",
        series,
        Axis(
            bins.name,
            places[0] - 0.4,
            places[-1] + 0.4,
            [(place, bins.labels[place]) for place in places],
        ),
        Axis(f"{metric}, mm", 0.0, 1.05 * charts.extent(series)),
        note=f"Records: {told}. With 95 % intervals.",
    )


def _joints(lines: Sequence[Line]) -> str:
    series = _series(lines, is_dotted=True)
    ticks = [
        (joint, name.partition("_")[0])
        for joint, name in enumerate(JOINT_NAMES)
        if name.endswith("_2") or joint == 0
    ]
    return charts.lines(
        "Error of each joint",
        series,
        Axis("joints, each finger from base to tip", -0.5, 20.5, ticks),
        Axis("mean error, mm", 0.0, 1.05 * charts.extent(series)),
        note=f"{_most(lines):,} records, both hands. With 95 % intervals.",
    )


def _most(lines: Sequence[Line]) -> int:
    return int(np.max([one.records.max() for one in lines]))


def _parts(result: Result, columns: Sequence[str]) -> list[str]:
    """Figures of parts of the set, of the first columns that have some."""
    rows = breakdown.rows(breakdown.parts(result))
    known = [c for c in columns if any(c in figures for figures in rows.values())]
    head = ("", *known[:PARTS])
    cells = [
        (
            name.replace(" = ", "\u00a0=\u00a0"),
            *(_text(figures.get(column)) for column in known[:PARTS]),
        )
        for name, figures in rows.items()
    ]
    return [
        page.element("h2", f"Parts of the set, {result.method}"),
        page.group([page.table(head, cells)], style="card"),
    ]


def _text(value: float | None) -> str:
    return ABSENT if value is None or math.isnan(value) else f"{value:.2f}"


def _worst(result: Result, worst: Sequence[WorstRecord]) -> list[str]:
    """Pictures, or a table of names where there are none."""
    if not worst:
        return []
    heading = page.element("h2", f"Largest errors, {result.method}")
    if all(one.image is None for one in worst):
        rows = [(o.name, o.subset, f"{o.error_mm:.1f} mm") for o in worst]
        table = page.table(("record", "subset", "mean error of its joints"), rows)
        return [heading, page.group([table], style="card")]
    figures = [page.figure(o.image, _caption(o)) for o in worst if o.image is not None]
    told = "The estimate over the picture, and the same hands from the side."
    return [
        heading,
        page.element("p", told, style="soft"),
        page.group(figures, style="strips"),
    ]


def _caption(one: WorstRecord) -> str:
    names = ", ".join(filter(None, (one.name, one.subset)))
    return f"{names}: {one.error_mm:.1f} mm"
