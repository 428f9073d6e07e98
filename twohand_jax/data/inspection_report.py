"""What was found in a record set as one HTML page or one picture."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from jaxtyping import UInt8

from twohand_jax.data import schema, shards
from twohand_jax.data.inspection import Summary
from twohand_jax.data.record_check import Violation
from twohand_jax.data.record_views import Strip
from twohand_jax.errors import InputError
from twohand_jax.types import LEFT, RIGHT
from twohand_jax.viz import contact_sheet
from twohand_jax.viz import report_html as page

REJECTIONS = "rejections.json"
SHEET_SUFFIX = ".png"
SUFFIXES = (".html", SHEET_SUFFIX)
SHEET_COLUMNS = 2
MOST_ROWS = 12
AXIS = "; logarithmic axis"
HEADINGS = {
    "dataset": "dataset",
    "hand_type": "hand type",
    "subset": "subset",
    "mano/model": "hand model of the fits",
}


class Part(NamedTuple):
    """What was found in a split.

    Attributes:
        split: its name.
        summary: numbers.
        strips: pictures of some records.
        violations: None when records were not checked.
        seconds: that it took.
    """

    split: str
    summary: Summary
    strips: Sequence[Strip]
    violations: Sequence[Violation] | None
    seconds: float


def html(
    info: Mapping[str, Any],
    parts: Sequence[Part],
    *,
    model: str,
    rejections: Sequence[Mapping[str, Any]] = (),
) -> str:
    """The page.

    Args:
        info: ``dataset_info.json`` of the set.
        parts: its splits.
        model: name of the hand model that fits were posed with.
        rejections: what the build left out, see ``read_rejections``.
    """
    name = str(info.get("name", "record set"))
    content = [
        page.element("h1", name),
        page.element("p", str(info.get("description", ""))),
        page.element("p", f"Fits are posed with the hand model {model}.", style="soft"),
    ]
    for part in parts:
        content += _split(part)
    if rejections:
        content.append(page.element("h2", "Left out while building"))
        rows = [
            (str(r["reason"]), f"{r['count']:,}", ", ".join(map(str, r["examples"])))
            for r in rejections
        ]
        content.append(page.table(("reason", "samples", "such as"), rows))
    return page.page(f"{name}: records", content)


def check_path(path: Path, count: int) -> None:
    """Refuse a report that could not be written, before any work.

    Args:
        path: of the report.
        count: records that will be drawn of each split.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES or not path.parent.is_dir():
        raise InputError(
            f"The report {path} must end with {' or '.join(SUFFIXES)} and lie in a "
            "folder that exists."
        )
    if suffix == SHEET_SUFFIX and not count:
        raise InputError(f"{path} would be empty: draw at least one record (--count).")


def write(path: Path, directory: Path, parts: Sequence[Part], *, model: str) -> None:
    """Write a report of a record set, whole or not at all.

    Args:
        path: ends with .html for the page or with .png for the contact sheet.
        directory: the record set.
        parts: its splits.
        model: name of the hand model that fits were posed with.

    Raises:
        InputError: the file cannot be written.
    """
    if path.suffix.lower() == SHEET_SUFFIX:
        bgr = cv2.cvtColor(sheet(parts), cv2.COLOR_RGB2BGR)
        data = cv2.imencode(".png", bgr)[1].tobytes()
    else:
        info, rejections = shards.read_info(directory), read_rejections(directory)
        text = html(info, parts, model=model, rejections=rejections)
        data = text.encode(errors="backslashreplace")
    beside = path.with_name(f".{path.name}.part")
    try:
        beside.write_bytes(data)
        beside.replace(path)
    except OSError as error:
        raise InputError(f"Cannot write {path}: {error.strerror}.") from error


def sheet(parts: Sequence[Part]) -> UInt8[np.ndarray, "h w 3"]:
    """All strips on one contact sheet."""
    tiles = [
        contact_sheet.captioned(strip.image, f"{part.split} {strip.caption}")
        for part in parts
        for strip in part.strips
    ]
    return contact_sheet.grid(tiles, columns=min(SHEET_COLUMNS, len(tiles)))


def text(part: Part) -> str:
    """The numbers of a split for a terminal, and its violations as a table.

    The table says how many records have what wrong, and where the first of them lie.
    """
    rate = part.summary.records / max(part.seconds, 1e-9)
    lines = [
        f"\nsplit {part.split}: {part.summary.text()}",
        f"read in {part.seconds:.1f} s, {rate:.0f} records/s",
    ]
    if part.violations is not None:
        lines.append("violations:" if part.violations else "no violation")
    for kind, count, first in part.violations or ():
        lines.append(f"{count:>9,}  {kind}")
        lines += [f"{'':11}{place}" for place in first]
    return "\n".join(lines)


def read_rejections(directory: Path) -> Sequence[Mapping[str, Any]]:
    """What the build of a record set left out; empty when it does not tell."""
    try:
        found = json.loads((directory / REJECTIONS).read_text())
        return [
            {"reason": r["reason"], "count": int(r["count"]), "examples": r["examples"]}
            for r in found
        ]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _split(part: Part) -> list[str]:
    summary = part.summary
    content = [page.element("h2", f"{part.split}: {summary.records:,} records")]
    if part.violations is not None:
        content += _violations(part.violations)
    counts = {
        **{HEADINGS[name]: counter for name, counter in summary.texts.items()},
        **{f"{cue} cue, made by": made for cue, made in summary.sources.items()},
        "picture size": summary.sizes,
    }
    cards = [
        page.shares(title, counter.most_common(MOST_ROWS), summary.records)
        for title, counter in counts.items()
    ]
    cards.append(page.card("flags set", _rates(summary)))
    plots = [
        page.histogram(plot.title, *plot.bars(), plot.text() + AXIS * plot.is_log)
        for plot in summary.histograms.values()
    ]
    content += [page.group(cards, style="cards")]
    content += [page.element("h3", "Distributions"), page.group(plots, style="cards")]
    if part.strips:
        heading = "Records: " + ", ".join(contact_sheet.PANELS)
        figures = [page.figure(strip.image, strip.caption) for strip in part.strips]
        content += [page.element("h3", heading), page.group(figures, style="strips")]
    return content


def _violations(violations: Sequence[Violation]) -> list[str]:
    if not violations:
        return [page.element("p", "Every record was checked: no violation.")]
    rows = [(v.kind, f"{v.records:,}", "; ".join(v.first)) for v in violations]
    return [
        page.element("p", "There are violations.", style="bad"),
        page.table(("violation", "records", "first"), rows),
    ]


def _rates(summary: Summary) -> str:
    rows = []
    for name, rates in summary.rates().items():
        if name.removeprefix("cues/has_") in schema.CUES:
            continue
        right, left = (rates[RIGHT], rates[LEFT]) if len(rates) == 2 else rates * 2
        rows.append((name, f"{right:.1%}", f"{left:.1%}"))
    return page.table(("", "right", "left"), rows)
