"""How commands behave: help with examples, near names, one line for a wrong use."""

import argparse
import logging
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from twohand_jax import progress
from twohand_jax.cli import benchmark, completion, verbosity
from twohand_jax.cli import main as cli
from twohand_jax.cli.parsing import Parser
from twohand_jax.errors import did_you_mean
from twohand_jax.pipelines import datasets

MOST = 4


def parsers(parser: Parser, name: str = "twohand") -> Iterator[tuple[str, Parser]]:
    """A parser and all below it, by the words that lead there."""
    yield name, parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for word, below in action.choices.items():
                yield from parsers(below, f"{name} {word}")


def of_datasets() -> Iterator[tuple[str, Parser]]:
    for name in datasets.DATASETS:
        yield f"twohand data build {name}", datasets.get(name).parser(Parser)


@pytest.fixture(scope="module")
def whole() -> dict[str, Parser]:
    return dict([*parsers(cli.parser()), *of_datasets()])


def test_every_help_ends_with_examples_of_its_own_command(whole):
    for name, parser in whole.items():
        assert 2 <= len(parser.examples) <= MOST, name
        assert any(example.startswith(name) for example in parser.examples), name
        shown = parser.format_help().partition("examples:\n")[2]
        assert shown == "".join(f"  {one}\n" for one in parser.examples), name


def test_every_example_parses(whole):
    for name, parser in whole.items():
        for example in parser.examples:
            first, *words = shlex.split(example.replace("\\\n", ""))
            assert first == "twohand"
            try:
                args = cli.parser().parse_args(words)
                if args.command == "data" and args.action == "build":
                    datasets.get(args.dataset).parser(Parser).parse_args(args.options)
            except SystemExit:
                pytest.fail(f"{name}: {example}")


def test_benchmarks_have_examples():
    for subject in benchmark.SUBJECTS:
        for example in benchmark._examples(subject):
            cli.parser().parse_args(shlex.split(example)[1:])


def refused(capsys, *words: str) -> str:
    """What is said of a wrong use: one line."""
    with pytest.raises(SystemExit) as end:
        cli.main(words)
    told = capsys.readouterr()
    assert end.value.code == 2 and told.out == ""
    assert told.err.count("\n") == 1 and "usage:" not in told.err
    return told.err


WRONG = {
    "reconstuct a.jpg": "(did you mean 'reconstruct'?)",
    "reconstruct a.jpg --otu b": "--otu (did you mean '--out'?)",
    "evaluate --datset a": "--datset (did you mean '--dataset'?)",
    "data biuld": "(did you mean 'build'?)",
    "data build sinthetic --out a": "(did you mean 'synthetic'?)",
    "data build synthetic --out a --trian 3": "(did you mean '--train'?)",
    "weights convert torchvison a --out b": "(did you mean 'torchvision'?)",
    "reconstruct a.jpg --out b --fit onn": "(did you mean 'on'?)",
    "benchmark mano --zzzzz": "twohand benchmark mano: there is no option --zzzzz (see",
    "train": "twohand train: the following arguments are required: --config (see",
    "view a b --port x": "argument --port: x is not a whole number",
    "doctor now": "there is no place for now",
    "reconstruct a.jpg --out b -q -v": "not allowed with argument",
}


@pytest.mark.parametrize("line", WRONG)
def test_a_wrong_use_is_one_line_and_names_what_is_near(capsys, line):
    assert WRONG[line] in refused(capsys, *line.split())


def test_a_wrong_use_may_be_long_and_have_line_breaks(capsys):
    told = refused(capsys, "recon\nstruct" + 5000 * "x")
    assert len(told) < 1200


def test_fields_of_configs_and_protocols_have_near_names_as_well(capsys, tmp_path):
    train = ["train", "--config", "configs/tiny.py", "--workdir", str(tmp_path / "a")]
    assert cli.main([*train, "--set", "train.totl_steps=3"]) == 2
    assert cli.main([*train, "--set", "trian.total_steps=3"]) == 2
    told = capsys.readouterr().err
    assert "(did you mean 'total_steps'?)" in told
    assert "(did you mean 'train'?)" in told
    assert not (tmp_path / "a").exists()


def test_only_near_names_are_asked_for():
    assert did_you_mean("qwertz", ["reconstruct"]) == ""
    assert did_you_mean("reconstruct" + 100 * "t", ["reconstruct"]) == ""


def test_the_version_names_jax_and_python(capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(["--version"])
    assert end.value.code == 0
    found = capsys.readouterr().out
    assert re.fullmatch(r"twohand_jax \S+ \(JAX \S+, Python 3\.\d+\.\S+\)\n", found)


WORDS = ["weights", "convert", "sapiens", "a.pt", "--out", "b"]


def run_as(monkeypatch, work, *words: str) -> int:
    """Run a command whose work is another one's."""
    monkeypatch.delenv(verbosity.TRACEBACK, raising=False)
    monkeypatch.setattr("twohand_jax.cli.weights._sapiens", work)
    return cli.main(words)


def test_an_unexpected_error_is_a_line_and_with_v_a_traceback(monkeypatch, capsys):
    def work(args: object) -> None:
        raise KeyError("a\nb")

    assert run_as(monkeypatch, work, *WORDS) == 1
    told = capsys.readouterr().err
    assert "unexpected KeyError" in told and cli.MISTAKE in told
    assert "main.py, line" in told and told.count("\n") == 1
    with pytest.raises(KeyError):
        run_as(monkeypatch, work, *WORDS, "-v")


def test_a_package_of_an_extra_is_named_with_its_command(monkeypatch, capsys):
    def work(args: object) -> None:
        raise ModuleNotFoundError("No module named 'tensorflow'", name="tensorflow.io")

    assert run_as(monkeypatch, work, *WORDS) == 2
    assert "pip install 'twohand_jax[data]'" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["-q", *WORDS], [*WORDS, "-q"]])
def test_q_stands_before_the_command_or_behind_it(monkeypatch, capsys, words):
    def work(args: object) -> None:
        progress.say("wrote b")
        progress.show("result")

    assert run_as(monkeypatch, work, *words) == 0
    assert capsys.readouterr().out == "result\n"
    assert run_as(monkeypatch, work, *WORDS) == 0
    assert capsys.readouterr().out == "wrote b\nresult\n"


def test_libraries_are_silent_without_v(monkeypatch):
    for name in verbosity.SILENCE:
        monkeypatch.delenv(name, raising=False)
    log, seen = logging.getLogger("absl"), []
    monkeypatch.setattr(log, "level", logging.NOTSET)

    def work(args: object) -> None:
        seen.append((os.environ.get("TF_CPP_MIN_LOG_LEVEL"), log.level))

    assert run_as(monkeypatch, work, *WORDS, "-v") == 0
    assert run_as(monkeypatch, work, *WORDS) == 0
    assert seen == [(None, logging.NOTSET), ("3", logging.ERROR)]
    assert log.level == logging.NOTSET


def test_each_shell_gets_its_code(capsys):
    found = []
    for shell in completion.SHELLS:
        assert cli.main(["completion", shell]) == 0
        found.append(capsys.readouterr().out)
    assert all("twohand" in code and "ARGCOMPLETE" in code for code in found)
    assert "complete --command twohand" in found[2]


def offered(line: str, folder: Path) -> set[str]:
    """What a shell offers for a line that is typed so far."""
    out = folder / "offered"
    asked = {"_ARGCOMPLETE": "1", "COMP_LINE": line, "COMP_POINT": str(len(line))}
    asked |= {"IFS": "\n", "_ARGCOMPLETE_STDOUT_FILENAME": str(out)}
    code = "from twohand_jax.cli import main; main.main()"
    subprocess.run([sys.executable, "-c", code], env=os.environ | asked, check=True)
    return {word.strip() for word in out.read_text().split("\n")}


def test_a_shell_completes_commands_options_and_values(tmp_path):
    assert offered("twohand rec", tmp_path) == {"reconstruct"}
    assert offered("twohand view a --ov", tmp_path) == {"--overwrite"}
    assert offered("twohand data build syn", tmp_path) == {"synthetic"}
