import numpy as np
import pytest

from twohand_jax.inspection import summary


def test_quantiles_are_exact_to_a_bin():
    rng = np.random.default_rng(0)
    values = rng.gamma(2.0, 20.0, 4000)
    for plot in (
        summary.linear_histogram("x", 0, 400, 800),
        summary.logarithmic_histogram("x", 1e-3, 1e4),
    ):
        for part in np.array_split(values, 7):
            plot.add(part.reshape(-1, 1))
        assert plot.total == len(values)
        for share in (0.05, 0.5, 0.95):
            expected = np.quantile(values, share)
            assert plot.quantile(share) == pytest.approx(expected, rel=0.03, abs=0.6)
        assert plot.quantile(0.0) >= plot.low == values.min()
        assert plot.quantile(1.0) == plot.high == values.max()


def test_numbers_beyond_the_edges_count_and_nan_does_not():
    plot = summary.linear_histogram("x", 0, 1, 10)
    plot.add(np.array([-5.0, 0.5, 7.0, np.nan, np.inf]))
    assert plot.total == 3
    assert (plot.low, plot.high) == (-5.0, 7.0)
    assert plot.counts[0] == plot.counts[-1] == 1


def test_bars_hold_every_number():
    rng = np.random.default_rng(1)
    plot = summary.linear_histogram("x", 0, 1, 997)
    plot.add(np.clip(rng.normal(0.5, 0.02, 5000), 0, 1))
    plot.add(np.array([0.0, 1.0]))  # two far ones do not stretch the axis
    edges, counts = plot.bars(count=30)
    assert counts.sum() == plot.total
    assert len(counts) <= 30
    assert len(edges) == len(counts) + 1
    assert (np.diff(edges) > 0).all()
    assert edges[0] > 0.4
    assert edges[-1] < 0.6


def test_bars_of_one_value():
    plot = summary.linear_histogram("x", 0, 1, 10)
    plot.add(np.full(9, 0.55))
    edges, counts = plot.bars()
    np.testing.assert_allclose(edges, [0.5, 0.6])
    assert counts.tolist() == [9]


def test_an_empty_histogram():
    plot = summary.linear_histogram("x", 0, 1, 10)
    plot.add(np.zeros((0, 3)))
    assert plot.total == 0
    assert plot.text() == "none"
    assert len(plot.bars()[1]) == 0
    assert np.isnan(plot.quantile(0.5))
