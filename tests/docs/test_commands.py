"""Command lines of the documentation parse; what they name is there."""

import argparse
import importlib.util
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import MANUALS, ROOT, name
from twohand_jax.cli import benchmark
from twohand_jax.cli.main import parser
from twohand_jax.cli.parsing import Parser
from twohand_jax.pipelines import datasets

BLOCK = re.compile(
    r"^```.*?^```|(?:^ {4,}\S.*\n|^\n(?= {4}))+", re.MULTILINE | re.DOTALL
)
PROMPT = re.compile(r"^\s*(?:srun )?(?:\.venv/bin/)?(twohand .*)$")
INLINE = re.compile(r"`(twohand [^`]+)`")
MODULE = re.compile(r"python -m ([\w.]+)")
# NAME is any set's, and plain that of the set which docs/extending.md adds.
ANY_DATASET = (["data", "build", "NAME"], ["data", "build", "plain"])
ELLIPSES = ("...", "…")
VARIABLE = re.compile(r"\$\w+")


def lines(path: Path) -> list[str]:
    """Lines of a page's blocks of code; a line that ends in \\ goes on in the next."""
    blocks = BLOCK.findall(path.read_text())
    return "\n".join(blocks).replace("\\\n", " ").splitlines()


def words(line: str) -> list[str]:
    """The arguments of a command line, without its comment and the program."""
    return shlex.split(VARIABLE.sub("x", line), comments=True)[1:]


def full_lines(path: Path) -> list[list[str]]:
    matches = (PROMPT.match(line) for line in lines(path))
    return [words(match[1]) for match in matches if match]


def below(command: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    for action in command._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def leaf(given: list[str]) -> tuple[argparse.ArgumentParser, list[str]]:
    """The parser of the sub-command that words begin with, and the other words."""
    command, rest = parser(), list(given)
    while rest and rest[0] in (inside := below(command)):
        command = inside[rest.pop(0)]
    if command.prog.endswith("data build") and rest and rest[0] in datasets.DATASETS:
        return datasets.get(rest[0]).parser(Parser), rest[1:]
    if command.prog.endswith(" benchmark") and rest and rest[0] in benchmark.SUBJECTS:
        return benchmark.flags_of(rest[0]), rest[1:]
    return command, rest


def problem(given: list[str]) -> str | None:
    """Why a command line is none; a line with an ellipsis may lack arguments."""
    command, rest = leaf(given)
    if below(command) and rest and not rest[0].startswith("-"):
        return f"no sub-command {rest[0]}"
    flags = [word.partition("=")[0] for word in rest if word.startswith("--")]
    taken = ("--config.",) if getattr(command, "takes_changes", False) else ()
    unknown = [
        flag
        for flag in flags
        if flag not in command._option_string_actions and not flag.startswith(taken)
    ]
    return f"unknown {unknown}" if unknown else None


def refusal(given: list[str], capsys: pytest.CaptureFixture[str]) -> str | None:
    """What the program says of a whole command line that it does not take."""
    command, rest = leaf(given)
    try:
        command.parse_args(rest)
    except SystemExit as end:
        if end.code:
            return capsys.readouterr().err.splitlines()[-1]
    return None


def is_whole(given: list[str]) -> bool:
    return not any(mark in word for word in given for mark in ELLIPSES)


@pytest.mark.parametrize("path", MANUALS, ids=name)
def test_command_lines_in_blocks_parse(path, capsys):
    wrong = {}
    for given in full_lines(path):
        if given[:3] in ANY_DATASET:
            continue
        said = refusal(given, capsys) if is_whole(given) else problem(given)
        if said:
            wrong[" ".join(given)] = said
    assert not wrong


@pytest.mark.parametrize("path", MANUALS, ids=name)
def test_commands_in_the_text_have_these_flags(path):
    wrong = {}
    for line in INLINE.findall(path.read_text().replace("\n", " ")):
        for one in alternatives(line):
            given = words(one)
            if given[0] == "COMMAND" or given[:3] in ANY_DATASET:
                continue
            if said := problem(given):
                wrong[one] = said
    assert not wrong


def alternatives(line: str) -> Iterator[str]:
    """A line for each of the words in braces, as a shell expands them."""
    match = re.search(r"\{([\w,]+)\}", line)
    if not match:
        yield line
        return
    for word in match[1].split(","):
        yield line.replace(match[0], word)


def test_enough_commands_are_read():
    """The patterns find what the pages have."""
    assert sum(len(full_lines(path)) for path in MANUALS) > 50


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("evaluate --datset data/benchmark", "unknown ['--datset']"),
        ("data biuld synthetic --out x", "no sub-command biuld"),
        ("data build freihand ... --version gs", "unknown ['--version']"),
        ("train --config configs/open.py --config.train.steps=5", None),
        ("data build synthetic --out x --train 5 ...", None),
    ],
)
def test_wrong_command_lines_are_told(line, said):
    assert problem(line.split()) == said


def test_whole_command_lines_need_their_arguments(capsys):
    assert "--out" in (refusal(["reconstruct", "photo.jpg"], capsys) or "")
    assert refusal(["reconstruct", "photo.jpg", "--out", "results"], capsys) is None


def test_modules_that_are_run_exist():
    wrong = []
    for path in MANUALS:
        for module in MODULE.findall(path.read_text()):
            if importlib.util.find_spec(module.rstrip(".")) is None:
                wrong.append(f"{name(path)}: {module}")
    assert not wrong


def test_targets_of_make_exist():
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z][\w-]*):", makefile, re.MULTILINE))
    wrong = []
    for path in MANUALS:
        code = "\n".join(lines(path))
        named = re.findall(r"`make ([a-z][\w-]*)", path.read_text())
        named += re.findall(r"^\s*make ([a-z][\w-]*)", code, re.MULTILINE)
        wrong += [f"{name(path)}: {one}" for one in named if one not in targets]
    assert not wrong
