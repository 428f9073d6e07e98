"""``twohand evaluate --table`` on miniatures, and with nothing at all."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tests.evaluation.made_results import made
from twohand_jax.cli import main as cli
from twohand_jax.evaluation import methods, run
from twohand_jax.evaluation.tables import layout
from twohand_jax.inference.prior import Prior
from twohand_jax.pipelines import writer
from twohand_jax.pipelines.freihand import dataset as freihand
from twohand_jax.pipelines.freihand import fixture as freihand_fixture
from twohand_jax.pipelines.hic import dataset as hic
from twohand_jax.pipelines.hic import fixture as hic_fixture
from twohand_jax.pipelines.interhand26m import dataset as interhand
from twohand_jax.pipelines.interhand26m import fixture as interhand_fixture
from twohand_jax.pipelines.labelled import Dataset, LabelledSource, ShardConfig


def build(dataset: Dataset, out: Path) -> None:
    source = LabelledSource(dataset, ShardConfig(splits=("test",)))
    writer.write(source, out, workers=0, progress=False)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with FreiHAND's evaluation split in miniature, without cues."""
    root = tmp_path_factory.mktemp("tables")
    freihand_fixture.write(root / "source", count=4)
    build(freihand.FreiHand(root / "source"), root / "freihand")
    return root


@pytest.fixture(scope="module")
def two_hands(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with miniatures of InterHand2.6M and HIC, without cues."""
    root = tmp_path_factory.mktemp("two-hands")
    interhand_fixture.write(root / "capture", count=2, splits=("test",))
    studio = interhand.InterHand26M(
        root / "capture", interhand.InterHandConfig(), indices=root / "indices"
    )
    build(studio, root / "interhand26m")
    hic_fixture.write(root / "sequences", count=2)
    build(hic.Hic(root / "sequences"), root / "hic")
    return root


@pytest.fixture
def table(checkpoint, tmp_path):
    """Run the command; returns the exit code and the sections of the JSON."""

    def evaluate(number: object, root: Path, *words: object) -> tuple[int, list]:
        out = tmp_path / "out"
        given = ["--table", number, "--data", root, "--out", out, *words]
        if "--model" not in given:
            given += ["--model", checkpoint]
        code = cli.main(["evaluate", *map(str, given)])
        path = out / f"table-{number}.json"
        return code, json.loads(path.read_text())["sections"] if path.exists() else []

    return evaluate


@pytest.fixture
def faked(monkeypatch):
    """Stands in for evaluations: remembers them and makes results up."""
    calls: list[SimpleNamespace] = []

    def evaluate_set(model_directory, dataset, split, protocol, **options):
        call = SimpleNamespace(dataset=dataset, split=split, protocol=protocol)
        calls.append(SimpleNamespace(**vars(call), **options))
        rows = [*methods.CUE_SETS, methods.DIFFUSION]
        return run.Evaluation([made(method=row, records=8) for row in rows], np.nan)

    monkeypatch.setattr(run, "evaluate_set", evaluate_set)
    return calls


def ours(section: dict) -> dict[str, dict]:
    return {row["method"]: row for row in section["rows"] if row["by"] == "this model"}


@pytest.mark.slow
def test_freihand_is_filled_beside_the_published_rows(table, data, capsys):
    code, (section,) = table(3, data)
    assert code == 0
    row = ours(section)["image"]
    assert set(row["figures"]) == set(section["columns"])
    assert np.isfinite(list(row["figures"].values())).all()
    assert row["records"] == 2
    assert "no keypoints cue" in ours(section)["+ keypoints"]["missing"][0]["reason"]
    said = capsys.readouterr().out
    assert "1 of our 4 rows can be filled" in said
    assert "| the paper " in said and "| ours: image " in said


def test_evaluations_are_asked_for_as_planned(table, data, faked, tmp_path):
    code, _ = table(3, data, "--refine")
    assert code == 0
    (call,) = faked
    assert call.dataset == data / "freihand"
    assert (call.split, call.protocol) == ("test", "freihand")
    assert call.refine is None, "one hand has no partner to be refined beside"
    assert call.out == tmp_path / "out" / "freihand-test-freihand"
    assert call.hand.name == "open-hand-1"


@pytest.mark.parametrize("number", [1, 2, 4])
def test_without_records_nothing_is_evaluated(table, number, tmp_path, faked, capsys):
    code, sections = table(number, tmp_path / "none")
    assert code == 0 and not faked
    rows = [row for part in sections for row in ours(part).values()]
    assert rows and all("no finished record set" in str(row["missing"]) for row in rows)
    assert "0 of our" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("number", "words", "message"),
    [
        (5, (), "no table '5'"),
        ("one", (), "no table 'one'"),
        (1, ("--model", "nowhere"), "is not a model directory"),
        (1, ("--mano", "nowhere"), "No hand model at nowhere"),
    ],
)
def test_what_cannot_be_a_table_is_refused_at_once(
    table, number, words, message, tmp_path, faked, capsys
):
    code, sections = table(number, tmp_path, *words)
    assert code == 2 and not sections and not faked
    (line,) = capsys.readouterr().err.strip().splitlines()[-1:]
    assert line.startswith("twohand evaluate: ") and message in line


def test_a_prior_of_another_hand_is_missing_in_its_row_only(
    table, tmp_path, monkeypatch
):
    from twohand_jax.errors import InputError

    def load(directory, *, model):
        raise InputError("The prior is of another hand.")

    monkeypatch.setattr(Prior, "load", load)
    _, (section,) = table(2, tmp_path, "--refine")
    rows = ours(section)
    assert "another hand" in str(rows["+ diffusion"]["missing"])
    assert "another hand" not in str(rows["+ depth"]["missing"])


@pytest.mark.slow
@pytest.mark.parametrize("number", [2, 4])
def test_two_hands_are_filled_by_each_protocol(table, two_hands, number):
    code, sections = table(number, two_hands)
    assert code == 0
    block = layout.get(str(number)).blocks[0]
    for name, section in zip(block.protocols, sections, strict=False):
        assert section["protocol"] == name
        row = ours(section)["image"]
        assert set(row["figures"]) == set(section["columns"])
        assert row["protocol"] == name
