"""The evaluation benchmark: equal figures, honest tables."""

import dataclasses
import json

import numpy as np
import pytest

from tests.evaluation import golden, twins
from twohand_jax import mano
from twohand_jax.benchmarks import evaluate as benchmark
from twohand_jax.benchmarks.examples import examples
from twohand_jax.benchmarks.peers import numpy_metrics
from twohand_jax.benchmarks.report import Timing
from twohand_jax.cli import main

COUNT = 5  # the fourth picture shows one hand
SMALL = "--batches 5 --seconds 0.01 --programs metrics --protocols wrist".split()


@pytest.fixture(scope="module")
def model():
    return dataclasses.replace(mano.load(), name="MANO")


@pytest.fixture(scope="module")
def given(model):
    return examples(model, COUNT, canvas=8)


def twin(name, samples, regressor):
    if name == "freihand":
        found = twins.server(samples, name, regressor)
        return {key: value for key, value in found.items() if key[:2] != "ST"}
    if name == "mcp":
        return twins.mcp(samples, regressor, scaled=False)
    return twins.wrist(samples, regressor)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "metrics"),
    [
        *numpy_metrics.METRICS.items(),
        pytest.param(
            "freihand", numpy_metrics.freihand_by_points, id="freihand-published"
        ),
    ],
)
def test_peers_find_the_published_figures_with_all_that_can_be_missing(name, metrics):
    case = golden.case()
    samples = golden.samples(case)
    truth = np.stack([sample.true_vertices for sample in samples])
    pictures = numpy_metrics.pictures(case.prediction, case.targets, truth)
    regressor = np.asarray(case.model.joint_regressor)
    found = metrics(pictures, regressor)
    wanted = twin(name, samples, regressor.astype(float))
    for figure, value in wanted.items():
        assert found[figure] == pytest.approx(value, rel=2e-5), figure


def test_there_is_a_peer_of_every_protocol():
    assert tuple(numpy_metrics.METRICS) == benchmark.PROTOCOLS


@pytest.mark.slow
def test_the_examples_have_pictures_of_one_hand_and_hidden_joints(given):
    targets = given.batch.targets
    np.testing.assert_array_equal(
        targets.hand_valid[:, 1], [True, True, True, False, True]
    )
    assert 0 < np.mean(targets.joints_2d_valid) < 0.95
    gap = given.prediction.geometry.vertices - given.truth.vertices
    assert 0.005 < np.abs(gap).mean() < 0.1


def test_smplx_poses_the_same_truth(model, given):
    pytest.importorskip("torch")
    pytest.importorskip("smplx")
    plain, posed = (
        benchmark.peer(name, "mcp", model, given, threads=1)()
        for name in (benchmark.NUMPY, benchmark.PUBLISHED)
    )
    assert plain.keys() == posed.keys()
    for figure, value in plain.items():
        assert posed[figure] == pytest.approx(value, abs=1e-3), figure


def test_another_figure_is_an_error(model, given):
    right = benchmark.peer(benchmark.NUMPY, "wrist", model, given, threads=1)()
    benchmark.compare_figures("wrist", model, given, {"numpy": lambda: right})
    wrong = right | {"RRVE": right["RRVE"] + 0.01}
    with pytest.raises(RuntimeError, match="numpy finds .* for RRVE"):
        benchmark.compare_figures("wrist", model, given, {"numpy": lambda: wrong})


def test_a_part_of_a_batch_is_all_the_peers_get(monkeypatch, model, given):
    monkeypatch.setattr(benchmark, "PEER_PICTURES", 2)
    row = benchmark._timed(
        {benchmark.OURS: lambda: None, "numpy": lambda: None}, COUNT, 0.0, iter_clock()
    )
    assert row[benchmark.OURS].minimum_ms == pytest.approx(1e3 / COUNT)
    assert row["numpy"].minimum_ms == pytest.approx(1e3 / 2)


def iter_clock():
    """A clock on which every call takes a second."""
    ticks = iter(range(1000))
    return lambda: float(next(ticks))


def test_speeds_are_images_a_second():
    timings = {"twohand_jax": Timing(0.5, 1.0), "numpy": Timing(2.0, 4.0)}
    names = ("numpy",)
    row = benchmark.EvaluationRow("wrist", "metrics", 64, timings)
    expected = ["wrist", "metrics", "64", "2000 (1000)", "500 (250)", "4.0"]
    assert benchmark._cells(row, names) == expected
    alone = benchmark.EvaluationRow(
        "mcp", "network", 8, {"twohand_jax": Timing(0.5, 1.0)}
    )
    expected = ["mcp", "network", "8", "2000 (1000)", "-", "-"]
    assert benchmark._cells(alone, names) == expected


@pytest.mark.parametrize("task", [benchmark.SCORES, benchmark.NETWORK])
@pytest.mark.slow
def test_whole_evaluations_score_every_picture(task, model):
    small = examples(model, 2, canvas=benchmark.CANVAS)
    (part,) = benchmark.ours(task, "wrist", model, small)()
    np.testing.assert_array_equal(part.record, [0, 1])
    assert np.isfinite(part.scores[task].joints_mm).all()


@pytest.mark.slow
def test_the_command_measures_and_writes(tmp_path, capsys):
    out = tmp_path / "figures.json"
    words = ["benchmark", "evaluate", *SMALL, "--peers", "numpy", "--out", str(out)]
    assert main.main(words) == 0
    assert "images a second of the wall clock" in capsys.readouterr().out
    (row,) = json.loads(out.read_text())["rows"]
    assert set(row["milliseconds_an_image"]) == {"twohand_jax", "numpy"}
