"""Tables of metrics as text and as files."""

import json
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
    """A Markdown table, one line a row, two decimals; metrics are in millimetres."""
    shown = [c for c in columns if any(c in row for row in rows.values())]
    lines = [
        "| | " + " | ".join(shown) + " |",
        "|---" * (len(shown) + 1) + "|",
    ]
    for name, row in rows.items():
        cells = [f"{row[c]:.2f}" if c in row else "–" for c in shown]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def write(
    rows: dict[str, dict[str, float]],
    directory: Path,
    *,
    name: str,
    title: str,
    columns: tuple[str, ...] = COLUMNS,
) -> list[Path]:
    """Write ``name.json`` and ``name.md``, each complete or not at all."""
    directory.mkdir(parents=True, exist_ok=True)
    texts = {
        f"{name}.json": json.dumps({"title": title, "rows": rows}, indent=2),
        f"{name}.md": f"{title}\n\n{markdown(rows, columns=columns)}\n",
    }
    paths = []
    for file, text in texts.items():
        path = directory / file
        beside = path.with_name(file + ".partial")
        beside.write_text(text)
        beside.replace(path)
        paths.append(path)
    return paths
