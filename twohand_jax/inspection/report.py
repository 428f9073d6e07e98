"""One pass over a split, and what was found as an HTML page or one picture."""

import contextlib
import dataclasses
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import jax
import numpy as np
from jaxtyping import Int, UInt8

from twohand_jax import files, mano, reading
from twohand_jax.crops.cue_table import NAMES
from twohand_jax.data import decode, shards
from twohand_jax.data.decode import RecordFields
from twohand_jax.data.tfrecord import Reader, ReaderConfig
from twohand_jax.errors import InputError
from twohand_jax.inspection.check import CheckConfig, Checker, Violation
from twohand_jax.inspection.summary import (
    Summary,
    belongs_to,
    measure_errors,
    summary_text,
)
from twohand_jax.progress import Bar
from twohand_jax.types import LEFT, RIGHT, Camera, ManoModel, ManoParams
from twohand_jax.viz import contact_sheet
from twohand_jax.viz import html as page
from twohand_jax.viz.contact_sheet import RecordView
from twohand_jax.viz.overlay import hand_meshes
from twohand_jax.viz.render import Mesh


@dataclasses.dataclass(frozen=True, kw_only=True)
class InspectConfig:
    """What to look at.

    Attributes:
        count: records to draw, evenly over the split.
        max_records: to look at; all by default.
        check: what to check; None to stop at a damaged record instead.
        batch: records parsed at once. A whole shard is held in memory as well.
    """

    count: int = 24
    max_records: int | None = None
    check: CheckConfig | None = None
    batch: int = 64


class Strip(NamedTuple):
    """The panels of a record and what to say of it."""

    image: UInt8[np.ndarray, "h w 3"]
    caption: str


class SplitReport(NamedTuple):
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


def inspect(
    directory: str | Path, split: str, model: ManoModel, config: InspectConfig
) -> SplitReport:
    """Read a split once, shard by shard, with a progress bar on a terminal.

    Args:
        directory: record set.
        split: name of the split.
        model: hand model; fits of another one are not posed.
        config: what to look at.

    Raises:
        InputError: the set cannot be read.
    """
    start = time.perf_counter()
    reader = _reader(str(directory), split, config)
    total = min(reader.split.num_records, config.max_records or sys.maxsize)
    chosen = spread_out(config.count, total)
    summary = Summary()
    strips: list[Strip] = []
    checker = Checker(reader.split, config.check) if config.check else None
    bar = Bar(total=total, name=split, unit="record")
    with bar, checker or contextlib.nullcontext():
        for rows in reader.rows():
            kept = rows.usable & (rows.records < total)
            fields = {name: value[kept] for name, value in rows.fields.items()}
            records = rows.records[kept]
            errors = measure_errors(fields, model)
            summary.add(fields, errors)
            if checker:
                checker.add(fields, errors, records)
                checker.add_damaged(reader.skipped)
                reader.skipped.clear()
            for row in np.flatnonzero(np.isin(records, chosen)).tolist():
                strips.append(record_strip(fields, row, model))
            bar.update(len(records))
            if rows.records.max() >= total - 1:
                break
    found = checker.violations() if checker else None
    return SplitReport(split, summary, strips, found, time.perf_counter() - start)


def _reader(directory: str, split: str, config: InspectConfig) -> Reader:
    return Reader(
        ReaderConfig(
            directory=directory,
            split=split,
            shuffle=False,
            batch_size=config.batch,
            window_shards=1,
            skip_corrupt=config.check is not None,
        )
    )


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


def html(
    info: Mapping[str, Any],
    parts: Sequence[SplitReport],
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


def write(
    path: Path, directory: Path, parts: Sequence[SplitReport], *, model: str
) -> None:
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
    files.write_bytes(path, data)


def sheet(parts: Sequence[SplitReport]) -> UInt8[np.ndarray, "h w 3"]:
    """All strips on one contact sheet."""
    tiles = [
        contact_sheet.captioned(strip.image, f"{part.split} {strip.caption}")
        for part in parts
        for strip in part.strips
    ]
    return contact_sheet.grid(tiles, columns=min(SHEET_COLUMNS, len(tiles)))


def text(part: SplitReport) -> str:
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
        found = reading.read_json(directory / REJECTIONS)
        return [
            {
                "reason": str(r["reason"]),
                "count": int(r["count"]),
                "examples": [str(name) for name in r["examples"]],
            }
            for r in found
        ]
    except (InputError, ValueError, KeyError, TypeError):
        return []


def rejections_text(directory: Path) -> str:
    """What the build left out, a line for each reason."""
    lines = [
        f"{r['count']:>9,}  {r['reason']} ({', '.join(r['examples'])})"
        for r in read_rejections(directory)
    ]
    if not lines:
        return "\nleft out by the build: nothing that it tells of"
    return "\n".join(["\nleft out by the build (all splits):", *lines])


def _split(part: SplitReport) -> list[str]:
    summary = part.summary
    content = [page.element("h2", f"{part.split}: {summary.records:,} records")]
    if part.violations is not None:
        content += _violations(part.violations)
    counts = {
        **{HEADINGS[name]: counter for name, counter in summary.texts.items()},
        **{f"{cue} cue, made by": made for cue, made in summary.made_by().items()},
        "picture size": summary.sizes,
    }
    cards = [
        page.shares(title, counter.most_common(MOST_ROWS), summary.records)
        for title, counter in counts.items()
        if len(counter) > 1
    ]
    cards.append(page.card("flags set", _rates(summary)))
    same = {title: next(iter(c)) for title, c in counts.items() if len(c) == 1}
    if same:
        cards.append(page.card("the same for all", page.table((), same.items())))
    plots = [
        page.histogram(plot.title, *plot.bars(), plot.text() + AXIS * plot.is_log)
        for plot in summary.histograms.values()
        if not plot.is_flat
    ]
    flat = [(p.title, p.ends()) for p in summary.histograms.values() if p.is_flat]
    if flat:
        plots.append(page.card("without a spread", page.table((), flat)))
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
        if name.removeprefix("cues/has_") in NAMES:
            continue
        right, left = (rates[RIGHT], rates[LEFT]) if len(rates) == 2 else rates * 2
        rows.append((name, f"{right:.1%}", f"{left:.1%}"))
    return page.table(("", "right", "left"), rows)


_forward = jax.jit(mano.forward)


def spread_out(count: int, total: int) -> Int[np.ndarray, "n"]:
    """Numbers of at most ``count`` of ``total`` records, evenly over all of them."""
    shown = min(count, total)
    return (np.arange(shown) + 0.5) * total // max(shown, 1)


def record_strip(fields: RecordFields, row: int, model: ManoModel) -> Strip:
    """A record as ``contact_sheet.PANELS``; without the pictures that don't decode."""
    names = ("image_id", "subset", "hand_type")
    caption = ", ".join(
        filter(None, (summary_text(fields[name][row]) for name in names))
    )
    return Strip(contact_sheet.panels(record_view(fields, row, model)), caption)


def record_view(fields: RecordFields, row: int, model: ManoModel) -> RecordView:
    """What is drawn of a record; a hand model of another name is not posed."""
    image = _picture(fields, row)
    labels = _map(fields, "segmentation", row, image.shape[:2])
    levels = _map(fields, "depth", row, image.shape[:2])
    return RecordView(
        image=image,
        box=fields["hands/box"][row],
        hand_valid=fields["hands/valid"][row] > 0,
        joints_px=fields["hands/joints_2d"][row],
        joints_valid=fields["hands/joints_2d_valid"][row] > 0,
        meshes=_meshes(fields, row, model),
        camera=Camera(fields["camera/focal"][row], fields["camera/center"][row]),
        keypoints=fields["cues/keypoints"][row]
        if fields["cues/has_keypoints"][row]
        else None,
        segmentation=labels,
        depth=None
        if levels is None
        else decode.values_from_levels(
            levels,
            scale=float(fields["cues/depth_scale"][row]),
            offset=float(fields["cues/depth_offset"][row]),
        ),
    )


def _picture(fields: RecordFields, row: int) -> UInt8[np.ndarray, "h w 3"]:
    try:
        return decode.decode_jpeg(fields["image"][row])
    except InputError:
        return np.zeros((256, 256, 3), np.uint8)


def _map(
    fields: RecordFields, cue: str, row: int, shape: tuple[int, ...]
) -> np.ndarray | None:
    """The cue's map; None if it is absent, does not decode or has another size."""
    if not fields[f"cues/has_{cue}"][row]:
        return None
    try:
        values = decode.decode_map(fields[f"cues/{cue}"][row])
    except InputError:
        return None
    return values if values.shape == shape else None


def _meshes(fields: RecordFields, row: int, model: ManoModel) -> list[Mesh]:
    present = (fields["mano/valid"][row] > 0) & belongs_to(fields, model)[row]
    if not (present.any() and fields["camera/valid"][row]):
        return []
    params = ManoParams(*(fields[f"mano/{n}"][row] for n in ManoParams._fields))
    vertices = np.asarray(_forward(model, params).vertices)
    return hand_meshes(model, vertices, present)
