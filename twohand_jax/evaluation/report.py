"""Tables of metrics as text and as files."""

import json
import math
from collections.abc import Mapping
from pathlib import Path

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
    lines = [
        "| | " + " | ".join(shown) + " |",
        "|---" * (len(shown) + 1) + "|",
    ]
    for name, row in rows.items():
        cells = [_cell(row.get(c, math.nan)) for c in shown]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.2f}"


def write(
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
    directory.mkdir(parents=True, exist_ok=True)
    paths = []
    for file, text in texts.items():
        path = directory / file
        beside = path.with_name(file + ".partial")
        beside.write_text(text)
        beside.replace(path)
        paths.append(path)
    return paths
