"""Parts of a self-contained HTML page: tables, bars, histograms, pictures.

Every text is escaped: names in a record set come from outside. Colours follow the
reader's light or dark setting.
"""

import base64
import html
import re
from collections.abc import Iterable, Sequence

import cv2
import numpy as np
from jaxtyping import Float, Int, UInt8

STYLE = """
:root { color-scheme: light dark; --ground: #fbfaf7; --ink: #22252a; --soft: #6b7078;
  --line: #dedbd3; --bar: #c2622d; --card: #ffffff; --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --ground: #17191c; --ink: #e6e4df;
  --soft: #9a9ea6; --line: #34373c; --bar: #e08a55; --card: #1f2226; --bad: #ff8a80; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1.5rem 4rem; max-width: 1500px;
  background: var(--ground); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", sans-serif; }
h1 { font-size: 1.7rem; margin: 0 0 .3rem; } p { max-width: 75ch; }
h2 { font-size: 1.3rem; margin: 2.5rem 0 .8rem; border-bottom: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.5rem 0 .5rem; }
.soft { color: var(--soft); } .bad { color: var(--bad); font-weight: 600; }
.cards { display: flex; flex-wrap: wrap; gap: 1rem; }
.card { flex: 1 1 300px; min-width: 0; background: var(--card);
  border: 1px solid var(--line); border-radius: 8px; padding: .8rem 1rem;
  overflow-x: auto; } .card h3 { margin-top: 0; } .card p { margin: .5rem 0 0; }
.wide { flex-basis: 440px; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th { text-align: left; font-weight: 600; color: var(--soft); }
td, th { padding: .15rem .6rem .15rem 0; vertical-align: top; }
td.n, th.n { text-align: right; white-space: nowrap; }
td.bar { width: 40%; min-width: 4rem; vertical-align: middle; }
td.bar i { display: block; height: .6rem; min-width: 1px; background: var(--bar);
  border-radius: 2px; } svg { display: block; width: 100%; }
svg rect { fill: var(--bar); } svg line { stroke: var(--line); }
svg text { fill: var(--soft); font-size: 12px; }
svg.bars { height: 8rem; border-bottom: 1px solid var(--line); }
.ends { display: flex; justify-content: space-between; color: var(--soft);
  font-size: .8rem; }
.strips { display: grid; gap: 1rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 560px), 1fr)); }
figure { margin: 0; overflow-x: auto; }
figure img { width: 100%; border-radius: 6px; display: block; }
.strips figure img { min-width: 34rem; }
figcaption { color: var(--soft); font-size: .85rem; }
"""
WIDTH, HEIGHT = 320, 104
JPEG_QUALITY = 85
SEPARATOR = re.compile(r"(?<=\w[/_-])(?=\w)")  # where a name may be broken


# What a page may do, for browsers to enforce: show what it holds, and fetch nothing.
POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'"
)


def page(title: str, parts: Iterable[str], *, style: str = "") -> str:
    """A whole document.

    Args:
        title: of the page, plain text.
        parts: HTML, as the functions here make it.
        style: CSS besides that of all pages.
    """
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        f"<title>{html.escape(title)}</title><style>{STYLE}{style}</style>"
    )
    body = group((f"{part}\n" for part in parts), name="body")
    return f'<!doctype html><html lang="en"><head>{head}</head>\n{body}\n</html>\n'


def element(name: str, content: str, *, style: str = "") -> str:
    """An element around plain text.

    Args:
        name: of the element, such as ``h2``.
        content: plain text.
        style: its class.
    """
    return group([breakable(content)], style=style, name=name)


def breakable(text: str) -> str:
    """Plain text as HTML; long names are broken between their parts, not in a word."""
    return "<wbr>".join(map(html.escape, SEPARATOR.split(text)))


def group(parts: Iterable[str], *, style: str = "", name: str = "div") -> str:
    """An element around HTML."""
    kind = f' class="{style}"' if style else ""
    return f"<{name}{kind}>{''.join(parts)}</{name}>"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of plain text.

    Args:
        header: names of the columns; () for a table without.
        rows: cells; a column whose first cell begins with a digit, or a minus and one,
            is set as numbers.
    """
    rows = list(rows)
    first = rows[0] if rows and header else ()
    kinds = ["n" if cell.lstrip("-")[:1].isdigit() else "" for cell in first]
    width = len(header) or max(map(len, rows), default=0)
    kinds += [""] * (width - len(kinds))
    lines = [_row("th", header, kinds)] if header else []
    lines += [_row("td", row, kinds) for row in rows]
    return group(lines, name="table")


def shares(title: str, counts: Iterable[tuple[str, int]], total: int) -> str:
    """A card with a bar for each name: how often it occurs and its share."""
    lines = []
    for name, count in counts:
        share = count / max(total, 1)
        cells = (
            element("td", name or "(empty)"),
            f'<td class="bar"><i style="width: {share:.2%}"></i></td>',
            element("td", f"{count:,}", style="n"),
            element("td", f"{share:.1%}", style="n"),
        )
        lines.append(group(cells, name="tr"))
    return card(title, group(lines, name="table"))


def card(title: str, content: str, *, style: str = "card") -> str:
    """A framed piece of the page with a heading; ``content`` is HTML."""
    return group([element("h3", title), content], style=style)


def histogram(
    title: str,
    edges: Float[np.ndarray, "n+1"],
    counts: Int[np.ndarray, "n"],
    note: str,
) -> str:
    """A card with bars of equal width, whatever the bins' widths are.

    Args:
        title: what is counted, with its unit.
        edges: of the bins.
        counts: of each bin.
        note: a line under the plot.
    """
    if not len(counts):
        return card(title, element("p", "none", style="soft"))
    step, highest = WIDTH / len(counts), max(int(counts.max()), 1)
    bars = []
    for number, count in enumerate(counts.tolist()):
        tall = (HEIGHT - 4) * count / highest
        place = f'x="{number * step:.1f}" y="{HEIGHT - tall:.1f}"'
        span = f"{edges[number]:.3g} to {edges[number + 1]:.3g}: {count:,}"
        bars.append(
            f'<rect {place} width="{step * 0.9:.1f}" height="{tall:.1f}">'
            f"<title>{span}</title></rect>"
        )
    name = html.escape(title, quote=True)
    # Stretched to the card, whatever its width is; the numbers below are no part of it.
    head = (
        f'<svg class="bars" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'preserveAspectRatio="none" aria-label="{name}">'
    )
    ends = [edges[round(share * len(counts))] for share in (0.0, 0.5, 1.0)]
    labels = group((element("span", f"{end:.3g}") for end in ends), style="ends")
    plot = f"{head}{''.join(bars)}</svg>{labels}"
    return card(title, plot + element("p", note, style="soft"))


def figure(image: UInt8[np.ndarray, "h w 3"], caption: str) -> str:
    """A picture inside of the page, with a line under it."""
    name = html.escape(caption, quote=True)
    picture = f'<img loading="lazy" alt="{name}" src="{picture_url(image)}">'
    return group([picture, element("figcaption", caption)], name="figure")


def picture_url(image: UInt8[np.ndarray, "h w 3"]) -> str:
    """A picture as the address of an ``img``, which holds it whole, as JPEG."""
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return f"data:image/jpeg;base64,{base64.b64encode(data.tobytes()).decode()}"


def _row(cell: str, texts: Sequence[str], kinds: Sequence[str]) -> str:
    cells = (element(cell, t, style=k) for t, k in zip(texts, kinds, strict=True))
    return group(cells, name="tr")
