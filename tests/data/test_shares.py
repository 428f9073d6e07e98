import numpy as np
import pytest

from twohand_jax.data import mixture

WEIGHTS = [
    np.array([1.0]),
    np.array([0.5, 0.5]),
    np.array([0.5, 0.25, 0.125, 0.0625, 0.0625]),
    np.array([0.9, 0.07, 0.02, 0.009, 0.001]),
    np.array([1 / 3, 1 / 7, 11 / 21]),
]


@pytest.mark.parametrize("weights", WEIGHTS, ids=len)
@pytest.mark.parametrize("start", [0, 1, 17, 480, 1_000_003])
def test_counts_are_where_walking_leads(weights: np.ndarray, start: int) -> None:
    """Place by place, in any stretches, the counts are those of the closed form."""
    walked = mixture.share_slots(start, 100, weights)
    parts = [mixture.share_slots(start + k, 7, weights) for k in range(0, 98, 7)]
    np.testing.assert_array_equal(np.concatenate(parts), walked[:98])
    grown = mixture.share_counts(start, weights) + np.bincount(
        walked, minlength=len(weights)
    )
    np.testing.assert_array_equal(grown, mixture.share_counts(start + 100, weights))


@pytest.mark.parametrize("weights", WEIGHTS, ids=len)
def test_each_set_has_its_share_at_every_place(weights: np.ndarray) -> None:
    for places in (0, 1, 5, 48, 1000, 123_457):
        found = mixture.share_counts(places, weights)
        assert found.sum() == places
        behind = places * weights - found
        assert np.abs(behind).max() <= (len(weights) + 1) / 2


def test_batches_of_48_hold_the_proportions() -> None:
    weights = WEIGHTS[2]
    for step in range(20):
        found = np.bincount(mixture.share_slots(48 * step, 48, weights), minlength=5)
        np.testing.assert_array_equal(found, [24, 12, 6, 3, 3])


def test_sets_take_turns() -> None:
    assert mixture.share_slots(0, 6, WEIGHTS[1]).tolist() == [0, 1, 0, 1, 0, 1]
    assert mixture.share_slots(0, 8, WEIGHTS[2]).tolist() == [0, 1, 0, 2, 0, 1, 0, 3]


def test_a_rare_set_comes_evenly() -> None:
    places = np.flatnonzero(mixture.share_slots(0, 10_000, WEIGHTS[3]) == 4)
    assert len(places) == 10
    np.testing.assert_allclose(np.diff(places), 1000, atol=60)
