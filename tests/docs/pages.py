"""The pages whose links and commands are tested."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
# Working logs keep the commands of their day; their links are tested alone.
LOGS = sorted((ROOT / "docs" / "notes").glob("*.md"))
MANUALS = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "twohand_jax" / "assets").glob("*/card.md")),
    *sorted((ROOT / ".github").rglob("*.md")),
]
PAGES = [*MANUALS, *LOGS]


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))
