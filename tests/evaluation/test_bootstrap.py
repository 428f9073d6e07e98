"""Intervals by bootstrap: against a plain loop, coverage, pairs, groups."""

import dataclasses

import numpy as np
import pytest

from tests.evaluation.made_results import made
from twohand_jax.errors import InputError
from twohand_jax.evaluation import bootstrap
from twohand_jax.types import Mean

DRAWS = 400


def loop(result, *, draws, seed, groups=None):
    """Draw rows one set after another and compute the figures of each set anew."""
    rng = np.random.default_rng(seed)
    groups = np.arange(len(result)) if groups is None else groups
    names = np.unique(groups)
    rows = []
    for _ in range(draws):
        chosen = names[rng.integers(len(names), size=len(names))]
        picked = np.concatenate([np.flatnonzero(groups == name) for name in chosen])
        rows.append(figures(result, picked))
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def figures(result, picked):
    """The three figures of made results from scratch, in float64."""
    joints = result.scores.joints_mm[picked]
    both = np.isfinite(joints).all(axis=(1, 2))
    means = []
    for split in (joints[~both], joints[both]):
        for hand in range(2):
            for joint in range(21):
                errors = split[:, hand, joint]
                errors = errors[np.isfinite(errors)]
                means += [errors.mean()] if len(errors) else []
    known = joints[np.isfinite(joints)]
    share = [(known <= at).mean() for at in np.linspace(0, 50, 100)]
    vertices = result.scores.vertices_mm[picked]
    return {
        "MPJPE": np.mean(means),
        "AUC-J": np.trapezoid(share) / 99,
        "MPVPE": np.nanmean(vertices),
    }


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("chunk", [1 << 22, 100])
def test_draws_are_those_of_a_plain_loop(grouped, chunk, monkeypatch):
    monkeypatch.setattr(bootstrap, "CHUNK", chunk)
    result = made(records=24)
    groups = np.array([f"pose {i % 7}" for i in range(24)]) if grouped else None
    expected = loop(result, draws=20, seed=3, groups=groups)
    found = bootstrap.resample(result.scores.metrics, draws=20, seed=3, groups=groups)
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=2e-6)


def test_an_interval_is_the_middle_of_the_draws_and_holds_the_figure():
    result = made()
    drawn = loop(result, draws=DRAWS, seed=5)
    found = bootstrap.intervals(result, draws=DRAWS, seed=5, level=0.9)
    assert list(found) == list(result.figures())
    for name, (low, high) in found.items():
        expected = np.quantile(drawn[name], [0.05, 0.95])
        np.testing.assert_allclose([low, high], expected, rtol=2e-6)
        assert low < result.figures()[name] < high


def test_the_same_seed_gives_the_same_intervals_and_another_one_others():
    first, again, other = (
        bootstrap.intervals(made(), draws=DRAWS, seed=seed) for seed in (0, 0, 1)
    )
    assert first == again
    assert first != other


def test_intervals_cover_the_true_mean_as_often_as_they_say():
    rng = np.random.default_rng(0)
    covered = []
    for trial in range(400):
        errors = rng.normal(10.0, 3.0, 80)
        means = {"MRRPE": Mean(errors, np.ones(80))}
        low, high = bootstrap.interval_of_means(means, draws=DRAWS, seed=trial)["MRRPE"]
        covered.append(low <= 10.0 <= high)
    assert 0.92 <= np.mean(covered) <= 0.97


def test_a_wider_level_gives_a_wider_interval():
    narrow, wide = (
        bootstrap.intervals(made(), draws=DRAWS, level=level)["MPVPE"]
        for level in (0.5, 0.99)
    )
    assert wide.low < narrow.low < narrow.high < wide.high


def test_copies_of_a_record_in_one_group_do_not_narrow_the_interval():
    once = made(records=40)
    copies = once.take(np.repeat(np.arange(40), 8))
    options = {"draws": 2000, "seed": 1}
    alone = bootstrap.intervals(once, **options)["MPVPE"]
    pretended = bootstrap.intervals(copies, **options)["MPVPE"]
    grouped = bootstrap.intervals(copies, groups=copies.record, **options)["MPVPE"]
    np.testing.assert_allclose(grouped, alone, rtol=1e-6)
    assert pretended.high - pretended.low < 0.5 * (alone.high - alone.low)


def test_a_paired_difference_is_narrower_than_separate_draws():
    first, second = made(method="a"), made(method="bb", scale=1.1)
    found = bootstrap.difference(first, second)["MPVPE"]
    assert found.value == pytest.approx(
        first.figures()["MPVPE"] - second.figures()["MPVPE"]
    )
    assert found.low < found.value < found.high < 0
    apart = bootstrap.resample(first.scores.metrics, draws=2000, seed=1)["MPVPE"]
    apart -= bootstrap.resample(second.scores.metrics, draws=2000, seed=2)["MPVPE"]
    low, high = np.quantile(apart, [0.025, 0.975])
    assert found.high - found.low < 0.3 * (high - low)


def test_a_method_differs_from_itself_by_nothing_in_any_order_of_records():
    result = made()
    shuffled = result.take(np.random.default_rng(0).permutation(len(result)))
    for found in bootstrap.difference(result, shuffled, draws=50).values():
        np.testing.assert_allclose(found, 0.0, atol=1e-5)


def test_a_figure_of_nothing_stays_nan_and_leaves_the_others_alone():
    result = made(records=12)
    metrics = dict(result.scores.metrics)
    metrics["MRRPE"] = Mean(np.zeros(12), np.zeros(12))
    scores = result.scores._replace(metrics=metrics)
    result = dataclasses.replace(result, scores=scores)
    found = bootstrap.intervals(result, draws=50)
    assert np.isnan(found["MRRPE"]).all()
    assert np.isfinite(found["MPJPE"]).all()
    assert np.isnan(bootstrap.difference(result, result, draws=50)["MRRPE"]).all()


def test_draws_in_which_a_figure_counts_nothing_are_left_out():
    means = {"MRRPE": Mean(np.array([4.0, 0, 0]), np.array([1.0, 0, 0]))}
    assert np.isnan(bootstrap.resample(means, draws=50, seed=0)["MRRPE"]).any()
    assert bootstrap.interval_of_means(means, draws=50)["MRRPE"] == (4.0, 4.0)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"protocol": "mcp"}, "the protocol of one is 'wrist', of the other 'mcp'"),
        ({"split": "val"}, "the split of one is 'test', of the other 'val'"),
        ({"record": np.arange(1, 61)}, "2 records are in one only.*0, 60"),
    ],
)
def test_methods_on_other_records_are_not_compared(change, says):
    result = made()
    with pytest.raises(InputError, match=says):
        bootstrap.difference(result, dataclasses.replace(result, **change))


def test_a_result_with_fewer_records_is_not_compared():
    with pytest.raises(InputError, match="of 60 records and 'a' of 50; 10 records"):
        bootstrap.difference(made(), made().take(np.arange(50)))


def test_no_records_and_wrong_groups_are_refused():
    with pytest.raises(InputError, match="no record to draw from"):
        bootstrap.intervals(made().take(np.arange(0)))
    with pytest.raises(InputError, match="3 group names were given for 60 records"):
        bootstrap.intervals(made(), groups=np.arange(3))
