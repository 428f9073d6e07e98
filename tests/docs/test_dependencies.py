"""The page names what setup.cfg requires, and tests/lowest.txt has its bounds."""

import configparser
import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "dependencies.md").read_text()
LOWEST = (ROOT / "tests" / "lowest.txt").read_text()
UNTESTED = {"torch"}  # of the extras; the page says why
TESTED = (
    *("data", "beam", "render", "onnx", "evaluation", "weights", "heic", "view"),
    *("tensorboard", "wandb", "parquet", "gcs", "s3"),
)


def requirements() -> dict[str, list[Requirement]]:
    """Of the core ("") and of each extra."""
    parser = configparser.ConfigParser(comment_prefixes=("#",))
    parser.read(ROOT / "setup.cfg")
    lists = {"": parser["options"]["install_requires"]}
    lists |= dict(parser["options.extras_require"])
    return {
        extra: [Requirement(line) for line in lines.split("\n") if line]
        for extra, lines in lists.items()
    }


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def listed(title: str) -> set[str]:
    """The first cells of a section's table."""
    section = PAGE.split(f"## {title}\n")[1].split("\n## ")[0]
    rows = [line for line in section.split("\n") if line.startswith("|")][2:]
    return {name.strip() for row in rows for name in row.split("|")[1].split(",")}


def test_the_page_has_every_requirement_and_no_other():
    wanted = requirements()
    core = {normal(one.name) for one in wanted.pop("")}
    others = {normal(one.name) for lines in wanted.values() for one in lines}
    assert listed("The core") == core
    assert listed("Extras") | listed("For those who work on it") == others


@pytest.mark.parametrize("extra", ["", *TESTED])
def test_the_lowest_versions_are_those_of_the_bounds(extra):
    pins = dict(line.split("==") for line in LOWEST.split("\n") if "==" in line)
    for one in requirements()[extra]:
        name = normal(one.name)
        if name in UNTESTED or (one.marker and not one.marker.evaluate()):
            continue
        (bound,) = (s.version for s in one.specifier if s.operator == ">=")
        release = Version(bound).release
        assert one.specifier.contains(pins[name]), name
        assert Version(pins[name]).release[: len(release)] == release, name
