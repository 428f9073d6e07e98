"""Tables, figures, and the command that prints them."""

import json
import types

import pytest

from twohand_jax.benchmarks import report
from twohand_jax.cli import benchmark, main
from twohand_jax.errors import MissingDependencyError

FOUND = report.Report(
    title="apples",
    head=["kind", "number"],
    lines=[["red", "3"], ["green", "4"]],
    rows=[{"kind": "red", "number": 3}],
    packages=["pytest", "no such package"],
)


def test_the_table_has_a_line_for_each_row():
    assert report.markdown(FOUND).splitlines() == [
        "| kind  | number |",
        "| ----- | -----: |",
        "| red   |      3 |",
        "| green |      4 |",
    ]


def test_the_file_holds_figures_and_versions(tmp_path):
    report.write(FOUND, tmp_path / "figures.json")
    content = json.loads((tmp_path / "figures.json").read_text())
    assert content["rows"] == [{"kind": "red", "number": 3}]
    assert content["versions"]["pytest"] == pytest.__version__
    assert "jax" in content["versions"] and "no such package" not in content["versions"]


def test_the_command_runs_a_subject_with_its_own_flags(tmp_path, monkeypatch, capsys):
    seen = []
    subject = types.SimpleNamespace(
        add_arguments=lambda parser: parser.add_argument("--colour"),
        run=lambda flags: seen.append(flags.colour) or FOUND,
    )
    monkeypatch.setattr(benchmark.importlib, "import_module", lambda name: subject)
    out = tmp_path / "figures.json"
    arguments = ["benchmark", "mano", "--colour", "red", "--out", str(out)]
    assert main.main(arguments) == 0
    assert seen == ["red"] and out.exists()
    assert "| green |      4 |" in capsys.readouterr().out


def test_a_missing_folder_is_said_before_anything_is_measured(tmp_path, capsys):
    missing = str(tmp_path / "none" / "figures.json")
    assert main.main(["benchmark", "mano", "--out", missing]) == 2
    assert "does not exist" in capsys.readouterr().err


@pytest.mark.parametrize("subject", benchmark.SUBJECTS)
def test_every_subject_explains_itself(subject, capsys):
    with pytest.raises(SystemExit, match="0"):
        main.main(["benchmark", subject, "--help"])
    assert "--out" in capsys.readouterr().out


def test_an_unknown_subject_exits_with_two(capsys):
    with pytest.raises(SystemExit, match="2"):
        main.main(["benchmark", "speed"])
    assert "there is no 'speed'" in capsys.readouterr().err


def test_an_installed_package_says_where_the_peers_are(monkeypatch, capsys):
    monkeypatch.setattr(report, "PEERS", "twohand_jax.benchmarks.no_peers")
    for subject in ("mano", "cues", "train", "refine", "evaluate"):
        words = ["--config", "configs/tiny.py"] if subject == "train" else []
        assert main.main(["benchmark", subject, *words]) == 2
        said = capsys.readouterr().err
        assert "twohand_jax/benchmarks/peers" in said and "--peers none" in said


def test_a_peer_s_package_that_is_absent_is_named():
    with pytest.raises(MissingDependencyError, match="pip install no_such_package"):
        report.require_peers("pytest", "no_such_package")
