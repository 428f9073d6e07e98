"""Plots of errors as PNG files, one line for each method (``evaluation.breakdown``).

Colours are those of Okabe and Ito, which colour-blind readers can tell apart; markers
differ too, for prints in grey. Needs matplotlib, which is imported here only, without
its global state, so nothing of a caller's own figures changes.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from twohand_jax import extras, files
from twohand_jax.errors import InputError
from twohand_jax.evaluation import breakdown, protocols
from twohand_jax.evaluation.breakdown import Bins, Line
from twohand_jax.evaluation.results import Result
from twohand_jax.mano.joints import CANONICAL, FINGERS, WRIST

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 200
WIDTH, HEIGHT = 5.2, 3.4  # inches
WIDE = 7.6
COLOURS = (
    *("#000000", "#E69F00", "#56B4E9", "#009E73"),
    *("#D55E00", "#0072B2", "#CC79A7"),
)
MARKERS = "osD^v<>*"  # one more than colours, so that no pair repeats soon
DASHES = ("-", "--", "-.", ":")
GREY = "#666666"
STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "lines.linewidth": 1.4,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
}
THUMB_JOINTS = ("CMC", "MCP", "IP", "tip")
FINGER_JOINTS = ("MCP", "PIP", "DIP", "tip")
ROOTS = {WRIST: "wrist", CANONICAL.MIDDLE_BASE: "middle finger's base"}


def write(results: list[Result], directory: Path) -> list[Path]:
    """Draw all plots that the results have numbers for.

    ``PROTOCOL_pck.png``, ``_overlap``, ``_occlusion`` and ``_joints``, each written
    complete or not at all; the same results give the same bytes.

    Args:
        results: one for each method, all of one protocol, dataset and split.
        directory: is made if it is not there.

    Raises:
        InputError: there is no result, or they are of different protocols or sets.
        MissingDependencyError: matplotlib is not installed.
    """
    _check(results)
    style = _style()
    painters: dict[str, Callable[[list[Line], Result], Figure]] = {
        "pck": _pck,
        "overlap": _overlap,
        "occlusion": _occlusion,
        "joints": _joints,
    }
    first = results[0]
    directory.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, lines in breakdown.curves(results).items():
        path = directory / f"{first.protocol}_{name}.png"
        with style():
            _save(painters[name](lines, first), path)
        paths.append(path)
    return paths


def _check(results: list[Result]) -> None:
    if not results:
        raise InputError("There are no results to plot: evaluate a method first.")
    kinds = {(r.protocol, r.dataset, r.split) for r in results}
    if len(kinds) > 1:
        listed = "; ".join(", ".join(kind) for kind in sorted(kinds))
        raise InputError(
            f"Results of different protocols or sets ({listed}) cannot share a plot: "
            "plot each by itself."
        )


def _style() -> Callable[[], Any]:
    """A context in which matplotlib has its own defaults and ours."""
    with extras.needed_for("Plots of errors need", "evaluation"):
        import matplotlib.style
    return lambda: matplotlib.style.context(["default", STYLE])


def _new(
    title: str, result: Result, *, width: float = WIDTH, note: str = ""
) -> "tuple[Figure, Axes]":
    from matplotlib.figure import Figure

    about = f"{result.dataset} ({result.split}), protocol {result.protocol}{note}"
    figure = Figure(figsize=(width, HEIGHT), dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(f"{title}\n", loc="left", fontweight="bold", fontsize=9.5)
    axes.text(0, 1.03, about, transform=axes.transAxes, color=GREY, fontsize=8)
    return figure, axes


def _save(figure: "Figure", path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    with files.replacing(path) as beside, beside.open("wb") as file:
        FigureCanvasAgg(figure).print_png(file, metadata={"Software": None})


def _pck(lines: list[Line], result: Result) -> "Figure":
    aligned = breakdown.ALIGNED in result.scores.metrics
    note = _note(lines, "after alignment" if aligned else _relative_to(result))
    figure, axes = _new("Share of joints within a threshold", result, note=note)
    for number, line in enumerate(lines):
        axes.plot(
            line.x,
            line.y,
            color=COLOURS[number % len(COLOURS)],
            linestyle=DASHES[number % len(DASHES)],
            label=f"{line.method} (AUC {line.area:.3f})",
        )
    axes.set(xlabel="error threshold (mm)", ylabel="PCK: joints within it (%)")
    axes.set(xlim=(0, breakdown.MAX_MM), ylim=(0, 100))
    axes.legend(loc="best")
    return figure


def _overlap(lines: list[Line], result: Result) -> "Figure":
    figure, axes = _new("Error by overlap of the hands", result)
    axes.set_xlabel("IoU of the hands' boxes (n: records)")
    _by_bins(
        axes, lines, breakdown.OVERLAP, metric=breakdown.metric_lines(result.protocol)
    )
    return figure


def _occlusion(lines: list[Line], result: Result) -> "Figure":
    figure, axes = _new("Error by occlusion of one hand by the other", result)
    axes.set_xlabel("hidden joints of the more hidden hand (n: records)")
    name = breakdown.metric_lines(result.protocol)
    _by_bins(axes, lines, breakdown.OCCLUSION, metric=name)
    return figure


def _by_bins(axes: "Axes", lines: list[Line], bins: Bins, *, metric: str) -> None:
    records: dict[int, int] = {}
    for number, line in enumerate(lines):
        _points(axes, line, number, len(lines))
        for place, count in zip(line.x.astype(int), line.records, strict=True):
            records[place] = max(records.get(place, 0), int(count))
    shown = sorted(records)
    labels = [f"{bins.labels[place]}\nn = {records[place]:,}" for place in shown]
    axes.set_xticks(shown, labels)
    axes.set_ylabel(f"{metric} (mm), 95 % interval")
    axes.set_ylim(bottom=0)
    _legend(axes)


def _joints(lines: list[Line], result: Result) -> "Figure":
    note = _note(lines, _relative_to(result))
    figure, axes = _new("Error of each joint", result, width=WIDE, note=note)
    for number, line in enumerate(lines):
        _points(axes, line._replace(x=_place(line.x)), number, len(lines), gaps=True)
    names = ["wrist", *THUMB_JOINTS, *FINGER_JOINTS * 4]
    shown = np.unique(np.concatenate([line.x for line in lines])).astype(int)
    axes.set_xticks(_place(shown), [names[joint] for joint in shown], rotation=90)
    axes.tick_params(axis="x", length=0)
    for number, finger in enumerate(FINGERS):
        middle = float(np.mean(_place(4 * number + np.arange(1, 5))))
        axes.annotate(
            finger,
            (middle, 0),
            xytext=(0, -34),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            ha="center",
            va="top",
        )
    axes.set(ylabel="mean error (mm), 95 % interval")
    axes.set_ylim(bottom=0)
    _legend(axes)
    return figure


def _relative_to(result: Result) -> str:
    return f"relative to the {ROOTS[protocols.get(result.protocol).root]}"


def _note(lines: list[Line], what: str) -> str:
    return f", {what}, {max(int(line.records.max()) for line in lines):,} records"


def _place(joints: np.ndarray) -> np.ndarray:
    """Where a joint stands: fingers with a gap between them."""
    joints = np.asarray(joints)
    return joints + 1.0 * ((joints - 1) // 4)


def _points(
    axes: "Axes", line: Line, number: int, of: int, *, gaps: bool = False
) -> None:
    """Points with intervals, beside those of the other methods, joined by a line."""
    colour = COLOURS[number % len(COLOURS)]
    x = line.x + min(0.13, 0.8 / of) * (number - (of - 1) / 2)
    axes.errorbar(
        x,
        line.y,
        # A mean over records that hardly differ may lie a rounding error outside.
        yerr=np.maximum((line.y - line.low, line.high - line.y), 0.0),
        color=colour,
        fmt=MARKERS[number % len(MARKERS)],
        markersize=3.5,
        elinewidth=0.9,
        label=line.method,
    )
    ends = np.flatnonzero(gaps & (np.diff(line.x) > 1)) + 1
    for part in np.split(np.arange(len(x)), ends):
        axes.plot(x[part], line.y[part], color=colour, linewidth=0.6, alpha=0.6)


def _legend(axes: "Axes") -> None:
    """Beside the plot, where it hides nothing."""
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), handletextpad=0.3)
