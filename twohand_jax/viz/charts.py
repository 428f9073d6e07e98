"""Charts of lines for HTML pages: SVG in the page's own colours, light and dark."""

import html
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from twohand_jax.viz import html as page

# Okabe and Ito's colours, which colour-blind readers can tell apart, brighter on dark.
LIGHT = ("#22252a", "#c77f00", "#2f97d0", "#009e73", "#d55e00", "#0072b2", "#b5588f")
DARK = ("#e6e4df", "#e69f00", "#56b4e9", "#2bc596", "#f0793a", "#6aa9e9", "#de9cc4")
DASHES = ("none", "7 3", "2 3", "8 3 2 3")
WIDTH, HEIGHT = 520, 300
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 12, 46
TICKS = 5


def _colours(colours: Sequence[str]) -> str:
    return " ".join(f"--c{number}: {one};" for number, one in enumerate(colours))


STYLE = f"""
:root {{ {_colours(LIGHT)} }}
@media (prefers-color-scheme: dark) {{ :root {{ {_colours(DARK)} }} }}
.chart polyline {{ fill: none; stroke-width: 2; }}
@media (max-width: 600px) {{ svg.chart text {{ font-size: 16px; }} }}
.chart .whisker {{ stroke-width: 1.3; }}
.legend {{ display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; font-size: .9rem; }}
.legend svg {{ display: inline-block; width: 30px; height: .6rem;
  margin-right: .4rem; }}
"""


class Series(NamedTuple):
    """One line of a chart.

    Attributes:
        name: in the legend.
        x, y: its points, x rising.
        low, high: ends of the intervals of ``y``; NaN where there is none.
        is_dotted: whether the points are marked.
    """

    name: str
    x: Float[np.ndarray, "k"]
    y: Float[np.ndarray, "k"]
    low: Float[np.ndarray, "k"]
    high: Float[np.ndarray, "k"]
    is_dotted: bool = False


class Axis(NamedTuple):
    """An axis of a chart.

    Attributes:
        label: what it shows, with its unit.
        low, high: its ends.
        ticks: places and what stands there; nice numbers when left out.
    """

    label: str
    low: float
    high: float
    ticks: Sequence[tuple[float, str]] = ()


def lines(title: str, series: Sequence[Series], x: Axis, y: Axis, *, note: str) -> str:
    """A card with lines over common axes and a legend.

    Args:
        title: what is shown.
        series: the lines; colours and dashes follow their order.
        x: horizontal axis.
        y: vertical axis.
        note: a line under the chart.
    """
    parts = [_grid(x, y)]
    parts += [_series(one, number, x, y) for number, one in enumerate(series)]
    name = html.escape(title, quote=True)
    head = f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img"'
    plot = f'{head} aria-label="{name}">{"".join(parts)}</svg>'
    names = [_legend(one.name, number) for number, one in enumerate(series)]
    below = page.group(names, style="legend") + page.element("p", note, style="soft")
    return page.card(title, plot + below, style="card wide")


def extent(series: Sequence[Series]) -> float:
    """The largest value or end of an interval of all lines; 1 if there is none."""
    values = np.concatenate([np.r_[one.y, one.high] for one in series])
    values = values[np.isfinite(values)]
    return float(values.max()) if len(values) and values.max() > 0 else 1.0


def nice_ticks(low: float, high: float) -> list[float]:
    """About ``TICKS`` round numbers within two ends."""
    raw = (high - low) / TICKS
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw * 0.999)
    first = math.ceil(low / step)
    return [n * step for n in range(first, math.floor(high / step + 1e-9) + 1)]


def _place(axis: Axis, value: float, begin: float, end: float) -> float:
    return begin + (end - begin) * (value - axis.low) / (axis.high - axis.low)


def _x(axis: Axis, value: float) -> float:
    return _place(axis, value, LEFT, WIDTH - RIGHT)


def _y(axis: Axis, value: float) -> float:
    return _place(axis, value, HEIGHT - BOTTOM, TOP)


def _grid(x: Axis, y: Axis) -> str:
    """Lines at the vertical axis' ticks, the texts of both axes and their labels."""
    parts = []
    for value, text in y.ticks or [(v, f"{v:g}") for v in nice_ticks(y.low, y.high)]:
        at = f"{_y(y, value):.1f}"
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at}" y2="{at}"/>')
        parts.append(_text(LEFT - 6, _y(y, value) + 4, text, "end"))
    for value, text in x.ticks or [(v, f"{v:g}") for v in nice_ticks(x.low, x.high)]:
        parts.append(_text(_x(x, value), HEIGHT - BOTTOM + 16, text, "middle"))
    parts.append(_text((LEFT + WIDTH) / 2, HEIGHT - 8, x.label, "middle"))
    turn = f'transform="translate(12 {(TOP + HEIGHT - BOTTOM) / 2:.0f}) rotate(-90)"'
    label = html.escape(y.label)
    parts.append(f'<text text-anchor="middle" {turn}>{label}</text>')
    return "".join(parts)


def _text(x: float, y: float, text: str, anchor: str) -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f"<text {place}>{html.escape(text)}</text>"


def _series(one: Series, number: int, x: Axis, y: Axis) -> str:
    colour = f"var(--c{number % len(LIGHT)})"
    known = np.isfinite(one.y)
    points = [
        (_x(x, a), _y(y, b)) for a, b in zip(one.x[known], one.y[known], strict=True)
    ]
    path = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
    dash = DASHES[number % len(DASHES)]
    style = f"stroke: {colour}; stroke-dasharray: {dash}"
    parts = [f'<polyline points="{path}" style="{style}"/>']
    for (at, _), low, high in zip(points, one.low[known], one.high[known], strict=True):
        if np.isfinite(low) and np.isfinite(high):
            ends = f'y1="{_y(y, low):.1f}" y2="{_y(y, high):.1f}"'
            parts.append(
                f'<line class="whisker" style="stroke: {colour}" x1="{at:.1f}" '
                f'x2="{at:.1f}" {ends}/>'
            )
    if one.is_dotted:
        parts += [
            f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3.5" style="fill: {colour}"/>'
            for a, b in points
        ]
    return "".join(parts)


def _legend(name: str, number: int) -> str:
    colour, dash = f"var(--c{number % len(LIGHT)})", DASHES[number % len(DASHES)]
    style = f"stroke: {colour}; stroke-dasharray: {dash}; stroke-width: 3"
    swatch = f'<line x1="0" x2="30" y1="5" y2="5" style="{style}"/>'
    sample = f'<svg viewBox="0 0 30 10" aria-hidden="true">{swatch}</svg>'
    return f"<span>{sample}{html.escape(name)}</span>"
