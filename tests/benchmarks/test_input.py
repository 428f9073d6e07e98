"""The input benchmark: the same pictures on both sides, honest shares."""

import json
from pathlib import Path

import pytest

from tests.data.records import Squares
from twohand_jax.benchmarks import input as benchmark
from twohand_jax.benchmarks.report import Timing
from twohand_jax.cli import main
from twohand_jax.crops.canvas import CanvasConfig
from twohand_jax.data.tfrecord import Reader, ReaderConfig
from twohand_jax.pipelines import writer


@pytest.fixture(scope="module")
def record_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("squares")
    writer.write(Squares(), directory, workers=0, progress=False)
    return directory


def test_both_sides_decode_the_same_pictures(record_set: Path) -> None:
    """As many records as a round has, from the first window of the stream."""
    config = ReaderConfig(
        directory=str(record_set), batch_size=3, canvas=CanvasConfig(size=64)
    )
    pictures = benchmark._pictures(config, batches=2)
    read = [row for rows in Reader(config).rows() for row in rows.fields["image"]]
    assert [each.picture for each in pictures] == read[:6]
    assert all(len(each.maps) == 2 for each in pictures)


def test_the_share_is_of_the_medians() -> None:
    row = benchmark.InputRow(
        "of one core",
        1,
        100,
        {"reader": Timing(50, 100), "bare decoding": Timing(40, 90)},
    )
    expected = ["of one core", "1", "2000 (1000)", "2500 (1111)", "90%"]
    assert benchmark._cells(row) == expected


def test_the_command_measures_and_writes(record_set: Path, tmp_path: Path) -> None:
    out = tmp_path / "figures.json"
    flags = "--canvas 64 --batch 4 --workers 2 --rounds 1 --window-shards 2".split()
    arguments = ["benchmark", "input", "--dataset", str(record_set), *flags]
    assert main.main([*arguments, "--out", str(out)]) == 0
    rows = json.loads(out.read_text())["rows"]
    assert [row["workers"] for row in rows] == [1, 2]
    for row in rows:
        assert set(row["milliseconds"]) == {"reader", "bare decoding"}


def test_a_missing_set_is_said(tmp_path: Path, capsys) -> None:
    assert main.main(["benchmark", "input", "--dataset", str(tmp_path)]) == 2
    assert "is not a record set" in capsys.readouterr().err
