"""Estimates that an evaluation wrote, evaluated again: the same scores."""

import json

import jax
import numpy as np
import pytest

from tests.data.records import Squares
from tests.inference.conftest import checkpoint
from twohand_jax.cli import main as cli
from twohand_jax.evaluation import evaluator, prediction_writer, results
from twohand_jax.evaluation.outside import prediction_file, prediction_shards
from twohand_jax.pipelines import writer

__all__ = ["checkpoint"]
RECORDS = 7


@pytest.fixture(scope="module")
def evaluate(tmp_path_factory):
    """Runs the command on a few records, quickly."""
    data = tmp_path_factory.mktemp("records")
    sizes = (("test", (4, 3)),)
    writer.write(Squares(sizes=sizes), data, workers=0, progress=False)

    def run(*words: object) -> int:
        given = ["--dataset", data, "--worst", 0, "--no-plots", "--batch", 2, *words]
        return cli.main(["evaluate", *map(str, given)])

    jax.config.update("jax_disable_most_optimizations", True)
    yield run
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.mark.slow
def test_predictions_that_were_written_have_the_same_scores(
    evaluate, checkpoint, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(prediction_shards, "SHARD", 3)
    monkeypatch.setattr(evaluator, "BATCHES", 1)
    monkeypatch.setattr(prediction_writer, "BATCHES", 1)
    ours, file = tmp_path / "ours", tmp_path / "predictions.npz"
    words = ["--model", checkpoint, "--out", ours, "--write-predictions", file]
    # Interrupted after two batches, of which all is kept; then it goes on.
    add = prediction_writer.PredictionWriter.add
    calls = []

    def interrupted(self, part):
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(part)
        add(self, part)

    with monkeypatch.context() as patch:
        patch.setattr(prediction_writer.PredictionWriter, "add", interrupted)
        assert evaluate(*words) == 130
    seen = []
    with monkeypatch.context() as patch:
        patch.setattr(
            prediction_writer.PredictionWriter,
            "add",
            lambda self, part: (seen.append(part), add(self, part))[1],
        )
        assert evaluate(*words) == 0
    assert len(seen) == 2  # of the four batches
    assert [path.name for path in sorted(tmp_path.glob("*.npz"))] == [
        f"predictions-{n:05d}-of-00003.npz" for n in range(3)
    ]
    assert not (ours / prediction_writer.KEPT).exists()
    assert len(prediction_file.read(file)) == RECORDS

    again = ["--model", checkpoint, "--out", tmp_path / "again", "--predictions", file]
    assert evaluate(*again) == 0
    first = results.load(ours / "samples" / "depth.npz")
    second = results.load(tmp_path / "again" / "samples" / "predictions.npz")
    np.testing.assert_array_equal(first.image_id, second.image_id)
    before, after = results.flatten(first.scores), results.flatten(second.scores)
    assert before.keys() <= after.keys()  # and found %
    for name, value in before.items():
        np.testing.assert_array_equal(after[name], value, err_msg=name)


def test_what_cannot_be_written_is_said_before_the_work(evaluate, tmp_path, capsys):
    assert evaluate("--write-predictions", tmp_path / "x.json") == 2
    assert "must end in .npz or .parquet" in capsys.readouterr().err
    words = ["--write-predictions", tmp_path / "x.npz", "--peer", "mediapipe"]
    assert evaluate(*words) == 2
    assert "--write-predictions keeps our own estimates" in capsys.readouterr().err
    assert json.dumps(sorted(tmp_path.iterdir())) == "[]"
