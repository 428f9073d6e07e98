"""Draws docs/images/architecture.svg from the imports of the sources.

    python -m tests.architecture.picture

Each box is a package (or a module beside the packages); it stands above everything it
imports. Of the arrows, those that follow from others are left out.
"""

import ast
from graphlib import TopologicalSorter
from html import escape
from pathlib import Path

ROOT = Path(__file__).parents[2]
PICTURE = ROOT / "docs" / "images" / "architecture.svg"
# Modules that everything uses would add arrows and no insight.
EVERYWHERE = {
    *("arguments", "errors", "extras", "fields", "files", "lazy", "leases", "locks"),
    *("mirror", "paths", "reading", "stores"),
    *("markdown", "progress", "switches", "timing", "types", "assets"),
}
WIDTH, BOX, ROW, GAP, MARGIN = 1040, 34, 92, 14, 24
ABOUT = {
    "benchmarks": "speed beside the peers",
    "cli": "one file a command",
    "collision": "nearest, energy, depth",
    "crops": "what the network sees",
    "cues": "MediaPipe, Sapiens, segdepth",
    "data": "records to batches",
    "diffusion": "prior, DDIM, refinement",
    "evaluation": "protocols, tables, plots",
    "experiments": "configs, networks, losses",
    "geometry": "rotations, cameras, boxes",
    "inference": "photographs to hands",
    "inspection": "what records hold",
    "losses": "training losses",
    "mano": "hand model",
    "metrics": "errors, alignment",
    "models": "Flax networks",
    "pipelines": "datasets to records",
    "train": "loop, step, checkpoint",
    "viz": "render, overlay, sheets",
    "weights": "model directories, foreign",
}


def imports(path: Path) -> set[str]:
    """Parts of the project that a file imports, at any depth."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            first, *rest = name.split(".")
            if first == "twohand_jax" and rest:
                found.add(rest[0])
    return found


def graph() -> dict[str, set[str]]:
    """What each part of the project imports of the others."""
    found: dict[str, set[str]] = {}
    library = ROOT / "twohand_jax"
    for path in sorted(library.rglob("*.py")):
        part = path.relative_to(library).parts[0].removesuffix(".py")
        if part != "__init__":
            found.setdefault(part, set()).update(imports(path))
    for path in sorted((ROOT / "data_pipelines").rglob("*.py")):
        found.setdefault("pipelines", set()).update(imports(path))
    known = found.keys() - EVERYWHERE
    return {part: (found[part] & known) - {part} for part in sorted(known)}


def reduced(edges: dict[str, set[str]]) -> dict[str, set[str]]:
    """The arrows that do not follow from others."""
    below: dict[str, set[str]] = {}
    for part in TopologicalSorter(edges).static_order():
        below[part] = set().union(*(below[other] | {other} for other in edges[part]))
    return {
        part: {
            other
            for other in others
            if not any(other in below[third] for third in others)
        }
        for part, others in edges.items()
    }


def ranks(edges: dict[str, set[str]]) -> dict[str, int]:
    """Rows from below: each part one above the highest that it imports."""
    found: dict[str, int] = {}
    for part in TopologicalSorter(edges).static_order():
        found[part] = 1 + max((found[other] for other in edges[part]), default=-1)
    return found


def places(edges: dict[str, set[str]]) -> dict[str, tuple[float, float, float]]:
    """Left, top and width of each box; a part stands near what it imports."""
    row_of, height = ranks(edges), max(ranks(edges).values())
    found: dict[str, tuple[float, float, float]] = {}
    for row in range(height + 1):
        parts = [part for part in edges if row_of[part] == row]

        def wish(part: str) -> float:
            known = [found[o][0] + found[o][2] / 2 for o in edges[part] if o in found]
            return sum(known) / len(known) if known else WIDTH / 2

        parts.sort(key=lambda part: (wish(part), part))
        width = min(210.0, (WIDTH - 2 * MARGIN + GAP) / len(parts) - GAP)
        left = (WIDTH - len(parts) * (width + GAP) + GAP) / 2
        top = MARGIN + (height - row) * ROW
        for number, part in enumerate(parts):
            found[part] = (left + number * (width + GAP), top, width)
    return found


def draw() -> str:
    """The picture as SVG."""
    edges = reduced(graph())
    boxes = places(edges)
    height = max(top for _, top, _ in boxes.values()) + BOX + MARGIN
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        'font-family="system-ui, sans-serif">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
    ]
    for part, others in edges.items():
        x, top, width = boxes[part]
        for other in sorted(others):
            to_x, to_top, to_width = boxes[other]
            start, end = x + width / 2, to_x + to_width / 2
            low, high = top + BOX, to_top
            bend = (high - low) / 2
            lines.append(
                f'<path d="M{start:.0f} {low:.0f} C{start:.0f} {low + bend:.0f} '
                f'{end:.0f} {high - bend:.0f} {end:.0f} {high:.0f}" fill="none" '
                'stroke="#9aa5b1" stroke-width="1.4"/>'
            )
    for part, (x, top, width) in boxes.items():
        middle = x + width / 2
        lines += [
            f'<rect x="{x:.0f}" y="{top:.0f}" width="{width:.0f}" height="{BOX}" '
            'rx="5" fill="#eef3f8" stroke="#5b7c99"/>',
            f'<text x="{middle:.0f}" y="{top + 15:.0f}" text-anchor="middle" '
            f'font-size="13" font-weight="600" fill="#1d2b36">{escape(part)}</text>',
            f'<text x="{middle:.0f}" y="{top + 28:.0f}" text-anchor="middle" '
            f'font-size="10" fill="#51606d">{escape(ABOUT.get(part, ""))}</text>',
        ]
    return "\n".join([*lines, "</svg>"]) + "\n"


if __name__ == "__main__":
    PICTURE.write_text(draw())
    print(f"wrote {PICTURE}")
