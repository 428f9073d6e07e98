"""The paper's tables as Markdown and as JSON."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from twohand_jax import files
from twohand_jax.evaluation import protocols
from twohand_jax.evaluation.tables.filling import Section, SectionJob, TableRow
from twohand_jax.evaluation.tables.layout import Missing, PaperTable
from twohand_jax.markdown import table as markdown_table

ABSENT = "–"
PROBABLY = "probably "
HUMAN = "Records marked H are those that people annotated; others are left out."
INTERVALS = (
    "In brackets: 95 % bootstrap intervals over records. Neighbouring frames of a "
    "video are much alike, so on real sets the intervals are too narrow."
)


def markdown(table: PaperTable, sections: Sequence[Section], *, subject: str) -> str:
    """The table for people: a heading for each record set and protocol, then notes.

    Args:
        table: which one.
        sections: from ``filling.fill``.
        subject: what our rows are of, in words.
    """
    notes = _notes(sections)
    lines = [f"# Table {table.number}: {table.title}", "", f"Ours: {subject}."]
    title = ""
    for section in sections:
        if section.block.title != title:
            title = section.block.title
            lines += ["", f"## {title}"]
        lines += ["", f"Protocol {section.protocol}: {_meaning(section)}.", ""]
        lines += _grid(section, notes)
    if any(row.intervals for section in sections for row in section.rows):
        lines += ["", INTERVALS]
    if any(row.subset for section in sections for row in section.rows):
        lines += ["", HUMAN]
    if notes:
        lines += ["", "Not filled:"]
        lines += [_note(number, missing) for missing, number in notes.items()]
    sources = _sources(sections)
    if sources:
        lines += ["", "Published figures, as the paper's tables print them:", ""]
        lines += [f"- {_named(source, rows)}" for source, rows in sources.items()]
    return "\n".join(lines) + "\n"


def as_json(
    table: PaperTable, sections: Sequence[Section], *, subject: str
) -> dict[str, Any]:
    """The same for programs: every row with its protocol, and figures or reasons."""
    return {
        "table": table.number,
        "title": table.title,
        "ours": subject,
        "sections": [_section(section) for section in sections],
    }


def outlook(jobs: Sequence[SectionJob]) -> str:
    """How many of our rows can be filled, in a sentence."""
    rows = sum(len(job.missing) for job in jobs)
    ready = sum(len(job.rows) for job in jobs)
    return f"{ready} of our {rows} rows can be filled."


def write(
    table: PaperTable, sections: Sequence[Section], directory: Path, *, subject: str
) -> list[Path]:
    """Write ``table-N.md`` and ``table-N.json``, each complete or not at all."""
    text = json.dumps(
        as_json(table, sections, subject=subject), indent=2, allow_nan=False
    )
    texts = {".md": markdown(table, sections, subject=subject), ".json": text + "\n"}
    paths = []
    for suffix, content in texts.items():
        path = directory / f"table-{table.number}{suffix}"
        files.write_text(path, content)
        paths.append(path)
    return paths


def _section(section: Section) -> dict[str, Any]:
    block = section.block
    return {
        "title": block.title,
        "dataset": block.records.dataset,
        "split": block.records.split,
        "protocol": section.protocol,
        "units": protocols.get(section.protocol).units,
        "columns": list(block.columns),
        "rows": [_row(row, section.protocol) for row in section.rows],
    }


def _row(row: TableRow, protocol: str) -> dict[str, Any]:
    out: dict[str, Any] = {
        "method": row.method,
        "by": "this model" if row.ours else "published",
        "protocol": protocol,
        "protocol_certain": row.certain,
    }
    if row.missing:
        return out | {
            "missing": [
                {"reason": one.reason, "commands": list(one.commands)}
                for one in row.missing
            ]
        }
    out["figures"] = dict(row.figures)
    if not row.ours:
        return out | {"source": row.source}
    intervals = {name: list(span) for name, span in row.intervals.items()}
    counted = {"records": row.records, "subset": row.subset}
    return out | {"intervals_95": intervals, **counted}


def _notes(sections: Iterable[Section]) -> dict[Missing, int]:
    """Every reason once, numbered in the order of the rows."""
    rows = (row for section in sections for row in section.rows)
    reasons = dict.fromkeys(one for row in rows for one in row.missing)
    return {reason: number for number, reason in enumerate(reasons, start=1)}


def _note(number: int, missing: Missing) -> str:
    commands = [f"       {command}" for command in missing.commands]
    parts = [f"\n{number}. {missing.reason}"]
    return "\n\n".join(parts + ["\n".join(commands)] * bool(commands))


def _sources(sections: Iterable[Section]) -> dict[str, list[str]]:
    """The methods of each source."""
    rows = (row for section in sections for row in section.rows if row.source)
    sources: dict[str, list[str]] = {}
    for row in rows:
        sources.setdefault(row.source, []).append(row.method)
    return sources


def _named(source: str, rows: Sequence[str]) -> str:
    names = ", ".join(rows)
    return source if source.startswith(names) else f"{names}: {source}"


def _meaning(section: Section) -> str:
    protocol = protocols.get(section.protocol)
    return f"{protocol.meaning}; {protocol.units}"


def _grid(section: Section, notes: dict[Missing, int]) -> list[str]:
    columns = section.block.columns
    head = ["method", "protocol", *columns, "records"]
    body = [_cells(row, section.protocol, columns, notes) for row in section.rows]
    return markdown_table(head, body).splitlines()


def _cells(
    row: TableRow, protocol: str, columns: Sequence[str], notes: dict[Missing, int]
) -> list[str]:
    name = f"ours: {row.method}" if row.ours else row.method
    measured = protocol if row.certain else PROBABLY + protocol
    last = f"{row.records} {row.subset}".rstrip() if row.records else ""
    if row.missing:
        last = "not filled: " + ", ".join(str(notes[one]) for one in row.missing)
    return [name, measured, *(_cell(row, column) for column in columns), last]


def _cell(row: TableRow, column: str) -> str:
    if column not in row.figures:
        return ABSENT
    digits = 3 if "F@" in column else row.decimals
    text = f"{row.figures[column]:.{digits}f}"
    span = row.intervals.get(column)
    if span is None:
        return text
    low, high = (f"{edge:.{digits}f}" for edge in span)
    return f"{text} [{low}, {high}]"
