"""The contributor's files agree with the code and with each other."""

import re

import yaml

import twohand_jax
from tests.docs.pages import ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def test_the_version_is_the_same_everywhere():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == twohand_jax.__version__
    changes = (ROOT / "CHANGELOG.md").read_text()
    versions = re.findall(r"^## \[([^\]]+)\]", changes, re.MULTILINE)
    assert versions[:2] == ["Unreleased", twohand_jax.__version__]


def test_workflows_run_what_is_there():
    targets = re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text(), re.M)
    runs = [
        step["run"]
        for path in WORKFLOWS
        for job in yaml.safe_load(path.read_text())["jobs"].values()
        for step in job["steps"]
        if "run" in step
    ]
    assert ".ci/run" in runs
    made = [name for run in runs for name in re.findall(r"make ([\w-]+)", run)]
    assert {"dist", "docs"} <= set(made) <= set(targets)


def test_hooks_of_commits_are_those_of_make_lint():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    entries = [hook["entry"] for repo in hooks["repos"] for hook in repo["hooks"]]
    lint = re.findall(r"^lint:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.M)
    for line in lint[0].splitlines():
        program = line.strip().removeprefix("$(BIN)/")
        words = " ".join(word for word in program.split()[:2] if word not in ".")
        assert any(entry.startswith(words) for entry in entries), words


def test_issue_templates_are_read_by_github():
    for path in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.md"):
        front = yaml.safe_load(path.read_text().split("---")[1])
        assert {"name", "about", "labels"} <= front.keys()
