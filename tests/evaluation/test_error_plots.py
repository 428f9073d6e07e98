"""Plots of errors: the numbers in them, and the files."""

import dataclasses
import struct
import sys

import numpy as np
import pytest

from tests.evaluation.made_results import made
from twohand_jax.errors import InputError, MissingDependencyError
from twohand_jax.evaluation import bootstrap, breakdown, error_plots
from twohand_jax.types import Mean

NAMES = ("pck", "overlap", "occlusion", "joints")


@pytest.fixture(scope="module")
def methods():
    return [made(method="image", scale=1.5), made(method="+ keypoints")]


@pytest.fixture(scope="module")
def curves(methods):
    return breakdown.curves(methods)


def without_scores(result, **changes):
    """The same with fields of its scores made NaN."""
    nothing = {
        name: np.full_like(getattr(result.scores, name), np.nan) for name in changes
    }
    return dataclasses.replace(result, scores=result.scores._replace(**nothing))


def test_every_plot_has_a_line_for_each_method_in_order(curves):
    assert tuple(curves) == NAMES
    for lines in curves.values():
        assert [line.method for line in lines] == ["image", "+ keypoints"]


def test_the_pck_curve_is_the_share_of_joints_but_the_root(curves, methods):
    line = curves["pck"][1]
    errors = methods[1].scores.joints_mm[..., 1:]
    errors = errors[np.isfinite(errors)]
    share = [100 * (errors <= at).mean() for at in np.linspace(0, 50, 100)]
    np.testing.assert_allclose(line.y, share)
    assert line.area == pytest.approx(np.trapezoid(share) / 9900, rel=1e-5)
    assert line.x[0] == 0.0 and line.x[-1] == 50.0
    assert set(line.records) == {60}
    assert line.area > curves["pck"][0].area


def test_servers_protocols_have_their_own_aligned_curve():
    result = dataclasses.replace(made(), protocol="freihand")
    rng = np.random.default_rng(0)
    aligned = Mean(np.sort(rng.integers(0, 22, (60, 100))), np.full((60, 100), 21.0))
    metrics = result.scores.metrics | {
        "PA-PCK-J": aligned,
        "PA-MPJPE": result.scores.metrics["MPVPE"],
    }
    result = dataclasses.replace(result, scores=result.scores._replace(metrics=metrics))
    line = breakdown.pck_lines(result)
    np.testing.assert_allclose(line.y, aligned.total.sum(0) / (60 * 0.21))
    assert line.area == pytest.approx(result.figures()["PA-AUC-J"])
    assert breakdown.metric_lines("freihand") == "PA-MPJPE"
    assert breakdown.overlap_lines(result).y[0] == pytest.approx(
        result.take(result.scores.overlap == 0).figures()["PA-MPJPE"]
    )


@pytest.mark.parametrize(
    ("name", "by"),
    [("overlap", breakdown.OVERLAP), ("occlusion", breakdown.OCCLUSION)],
)
def test_points_by_difficulty_are_the_tables_figures(curves, methods, name, by):
    line = curves[name][0]
    found = [p for p in breakdown.parts(methods[0]) if p.by == by.name]
    assert [by.labels[int(x)] for x in line.x] == [part.name for part in found]
    assert line.records.tolist() == [part.records for part in found]
    np.testing.assert_allclose(line.y, [part.figures["MPJPE"] for part in found])
    assert (line.low < line.y).all() and (line.y < line.high).all()


def test_intervals_by_difficulty_are_those_of_the_records_alone(curves, methods):
    alone = methods[1].take(methods[1].scores.overlap == 0)
    low, high = bootstrap.intervals(alone)["MPJPE"]
    line = curves["overlap"][1]
    assert (line.low[0], line.high[0]) == pytest.approx((low, high))


def test_points_by_joint_are_means_over_both_hands_without_the_root(curves, methods):
    line = curves["joints"][0]
    errors = methods[0].scores.joints_mm
    assert line.x.tolist() == list(range(1, 21))
    np.testing.assert_allclose(line.y, np.nanmean(errors, axis=(0, 1))[1:])
    assert (line.low < line.y).all() and (line.y < line.high).all()
    relative_to_middle = dataclasses.replace(methods[0], protocol="mcp")
    assert 9 not in breakdown.joint_lines(relative_to_middle).x


def test_a_range_of_few_records_has_no_point():
    result = made()
    rows = np.flatnonzero(result.scores.overlap > 0.3)
    few = breakdown.MIN_RECORDS - 1
    line = breakdown.overlap_lines(result.take(np.setdiff1d(np.arange(60), rows[few:])))
    assert line.x.tolist() == [0, 1, 2]


def test_methods_without_numbers_for_a_plot_are_not_in_it(methods):
    full = methods[0]
    silent = dataclasses.replace(full, method="silent")
    silent = without_scores(silent, joints_mm=True, overlap=True)
    found = breakdown.curves([silent, full])
    assert [line.method for line in found["pck"]] == ["image"]
    assert [line.method for line in found["overlap"]] == ["image"]
    assert [line.method for line in found["joints"]] == ["image"]
    assert [line.method for line in found["occlusion"]] == ["silent", "image"]
    assert tuple(breakdown.curves([silent])) == ("occlusion",)


def test_a_method_without_vertices_has_all_plots_of_joints(methods):
    joints_only = without_scores(methods[0], vertices_mm=True)
    metrics = {k: v for k, v in methods[0].scores.metrics.items() if k != "MPVPE"}
    scores = joints_only.scores._replace(metrics=metrics)
    found = breakdown.curves([dataclasses.replace(joints_only, scores=scores)])
    assert tuple(found) == NAMES


def png_size(content):
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    assert content.rstrip().endswith(b"IEND\xaeB`\x82")
    return struct.unpack(">II", content[16:24])


def test_files_are_pngs_of_the_right_size_and_the_same_each_time(methods, tmp_path):
    paths = error_plots.write(methods, tmp_path / "new" / "plots")
    assert [path.name for path in paths] == [f"wrist_{name}.png" for name in NAMES]
    assert sorted(paths[0].parent.iterdir()) == sorted(paths)
    contents = [path.read_bytes() for path in paths]
    assert [png_size(content) for content in contents] == [(1040, 680)] * 3 + [
        (1520, 680)
    ]
    again = error_plots.write(methods, tmp_path / "again")
    assert [path.read_bytes() for path in again] == contents
    assert b"Software" not in contents[0] and b"Date" not in contents[0]


def test_many_methods_fit_and_other_figures_are_left_alone(tmp_path):
    import matplotlib

    def state():
        settings = [matplotlib.rcParams[name] for name in error_plots.STYLE]
        return settings, "matplotlib.pyplot" in sys.modules

    before = state()
    many = [made(method=f"method {i}", seed=i) for i in range(9)]
    assert len(error_plots.write(many, tmp_path)) == 4
    assert state() == before


def test_sets_of_single_hands_have_plots_of_joints_only(tmp_path):
    single = made().take(np.arange(3, 60, 4))
    paths = error_plots.write([single], tmp_path)
    assert [path.name for path in paths] == ["wrist_pck.png", "wrist_joints.png"]


def test_results_of_other_sets_do_not_share_a_plot(methods, tmp_path):
    other = dataclasses.replace(methods[1], protocol="mcp")
    with pytest.raises(InputError, match="mcp, synthetic_benchmark, test; wrist"):
        error_plots.write([methods[0], other], tmp_path / "out")
    with pytest.raises(InputError, match="no results to plot"):
        error_plots.write([], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_without_matplotlib_it_is_said_how_to_install_it(
    methods, tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.style", None)
    with pytest.raises(MissingDependencyError, match=r"twohand_jax\[evaluation\]"):
        error_plots.write(methods, tmp_path / "out")
    assert not (tmp_path / "out").exists()
