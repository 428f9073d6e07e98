"""``twohand data inspect``: its report, its exit codes."""

from pathlib import Path

import pytest

from tests.data.consistent import Consistent
from twohand_jax import mano
from twohand_jax.cli import main as cli
from twohand_jax.pipelines import writer


@pytest.fixture(scope="module")
def record_sets(tmp_path_factory) -> dict[str, Path]:
    """A good record set, and one with another wrist in one record."""
    model = mano.load()
    changes = {"good": {}, "bad": {3: {"rel_trans": [0.0, 0.0, 9.0]}}}
    folders = {name: tmp_path_factory.mktemp(name) for name in changes}
    for name, folder in folders.items():
        source = Consistent(model, changes=changes[name])
        writer.write(source, folder, workers=0, progress=False)
    return folders


@pytest.mark.slow
def test_a_report_lies_in_the_set_by_default(record_sets, capsys):
    assert cli.main(["data", "inspect", str(record_sets["good"]), "--count", "1"]) == 0
    assert "<figure" in (record_sets["good"] / "inspection.html").read_text()
    assert "5 records" in capsys.readouterr().out


def test_the_check_passes_a_good_set_and_writes_nothing(record_sets, capsys):
    before = set(record_sets["bad"].iterdir())
    assert cli.main(["data", "inspect", str(record_sets["good"]), "--check"]) == 0
    assert "no violation" in capsys.readouterr().out
    assert set(record_sets["bad"].iterdir()) == before


def test_a_violation_gives_exit_code_1_and_a_report_all_the_same(
    record_sets, capsys, tmp_path
):
    out = tmp_path / "report.html"
    options = ["--check", "--count", "1", "--out", str(out)]
    with pytest.raises(SystemExit) as exit_:
        cli.main(["data", "inspect", str(record_sets["bad"]), *options])
    assert exit_.value.code == 1
    assert "rel_trans is more than" in capsys.readouterr().out
    assert "rel_trans is more than" in out.read_text().replace("<wbr>", "")


@pytest.mark.parametrize(
    "options",
    [
        ["--count", "-1"],
        ["--max-records", "0"],
        ["--out", "report.pdf"],
        ["--out", "nowhere/at/all.html"],
        ["--split", "nothing"],
        ["--max-reprojection", "nan", "--check"],
    ],
)
def test_bad_options_give_exit_code_2(record_sets, capsys, options):
    try:
        code = cli.main(["data", "inspect", str(record_sets["good"]), *options])
    except SystemExit as end:  # of the parser, for a number out of range
        code = end.code
    assert code == 2
    assert "Traceback" not in capsys.readouterr().err


def test_a_folder_that_is_no_record_set(tmp_path, capsys):
    assert cli.main(["data", "inspect", str(tmp_path)]) == 2
    assert "is not a record set" in capsys.readouterr().err
