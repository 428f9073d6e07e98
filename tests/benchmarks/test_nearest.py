"""The nearest-neighbour benchmark: every search finds the same vertices."""

import json

import numpy as np
import pytest

from twohand_jax import mano
from twohand_jax.benchmarks import nearest as benchmark
from twohand_jax.benchmarks.report import Timing
from twohand_jax.cli import main

SMALL = "--batches 2 --seconds 0.01".split()


@pytest.fixture(scope="module")
def meshes():
    return benchmark.hands(mano.load(), 2)


@pytest.mark.parametrize("name", ["scipy", "trimesh"])
def test_the_peers_find_the_same_vertices(name, meshes):
    found = benchmark.ours(meshes)()
    theirs = benchmark.peer(name, mano.load(), meshes)()
    for one, other in zip(found, theirs, strict=True):
        assert (np.asarray(one) == other).mean() > 0.999


def test_a_farther_neighbour_is_an_error(meshes):
    found = [np.asarray(index) for index in benchmark.ours(meshes)()]
    assert benchmark.disagreements(meshes, found, found) == 0
    wrong = found[0].copy()
    wrong[1, 5] = (wrong[1, 5] + 400) % 778
    with pytest.raises(RuntimeError, match="differ by"):
        benchmark.disagreements(meshes, found, (wrong, found[1]))


def test_an_equally_near_neighbour_is_counted():
    point, twins = np.zeros((1, 1, 3)), np.array([[[0.0, 0, 1], [0, 1, 0]]])
    one = (np.array([[0]]), np.array([[0, 0]]))
    other = (np.array([[1]]), np.array([[0, 0]]))
    assert benchmark.disagreements((point, twins), one, other) == 1


def test_speeds_are_pairs_a_second():
    timings = {"twohand_jax": Timing(0.5, 1.0), "scipy": Timing(2.0, 4.0)}
    row = benchmark.NearestRow(8, timings, {"scipy": 0})
    expected = ["8", "2000 (1000)", "500 (250)", "4.0"]
    assert benchmark._cells(row, ("scipy",)) == expected


def test_the_command_measures_and_writes(tmp_path, capsys):
    out = tmp_path / "figures.json"
    assert main.main(["benchmark", "nearest", *SMALL, "--out", str(out)]) == 0
    assert "neighbours chosen otherwise: scipy" in capsys.readouterr().out
    (row,) = json.loads(out.read_text())["rows"]
    assert set(row["milliseconds_a_pair"]) == {"twohand_jax", "scipy", "trimesh"}
