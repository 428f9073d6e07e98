"""What a benchmark found: a table for the terminal, and JSON."""

import json
import platform
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from twohand_jax.errors import InputError

PACKAGES = ("jax", "jaxlib", "numpy", "tensorflow-cpu", "torch")


class Report(NamedTuple):
    """One benchmark's figures.

    Attributes:
        title: what the table shows, in which units.
        head: names of the columns.
        lines: cells of the table, by row.
        rows: the figures by name, for JSON.
        packages: whose versions matter besides those of ``PACKAGES``.
    """

    title: str
    head: Sequence[str]
    lines: Sequence[Sequence[str]]
    rows: Sequence[Mapping[str, Any]]
    packages: Sequence[str] = ()


def markdown(report: Report) -> str:
    """The table."""
    lines = [report.head, ["---"] * len(report.head), *report.lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def write(report: Report, path: Path) -> None:
    """Write figures, machine and versions as JSON."""
    versions = {}
    for package in (*PACKAGES, *report.packages):
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    content = {
        "title": report.title,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "versions": versions,
        "rows": list(report.rows),
    }
    path.write_text(json.dumps(content, indent=1) + "\n")


def check_path(path: Path) -> None:
    """Refuse a file that cannot be written, before the measurement.

    Raises:
        InputError: its folder does not exist.
    """
    if not path.parent.is_dir():
        raise InputError(
            f"--out {path}: the folder {path.parent} does not exist; create it or "
            "choose another."
        )
