import numpy as np
import pytest

from twohand_jax.data import schema

REAL = [feature for feature in schema.FEATURES if feature.dtype is np.float32]


@pytest.fixture
def fields() -> dict:
    """Three records in which everything counts."""
    rng = np.random.default_rng(0)
    return {
        feature.name: rng.normal(size=(3, *feature.shape)).astype(np.float32)
        if feature.dtype is np.float32
        else np.ones((3, *feature.shape), np.int64)
        for feature in schema.FEATURES
        if feature.encoding is schema.Encoding.TENSOR
    }


def test_every_real_feature_has_a_flag_that_fits_it() -> None:
    for feature in REAL:
        assert feature.flag is not None
        shape = schema.BY_NAME[feature.flag].shape
        assert feature.shape[: len(shape)] == shape


def test_good_labels_are_left_alone(fields: dict) -> None:
    before = {name: value.copy() for name, value in fields.items()}
    assert schema.settle_labels(fields) == {}
    for name, value in fields.items():
        np.testing.assert_array_equal(value, before[name])


@pytest.mark.parametrize("feature", REAL, ids=lambda feature: feature.name)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_label_that_counts_and_is_no_number_is_named(
    fields: dict, feature: schema.Feature, value: float
) -> None:
    fields[feature.name].reshape(3, -1)[1, -1] = value
    problems = schema.settle_labels(fields)
    assert list(problems) == [1]
    assert repr(feature.name) in problems[1] and "NaN or infinity" in problems[1]


@pytest.mark.parametrize("feature", REAL, ids=lambda feature: feature.name)
def test_a_label_that_does_not_count_becomes_zero(
    fields: dict, feature: schema.Feature
) -> None:
    assert feature.flag is not None
    fields[feature.name].reshape(3, -1)[1, -1] = np.nan
    fields[feature.flag].reshape(3, -1)[1, -1] = 0
    kept = fields[feature.name].copy()
    assert schema.settle_labels(fields) == {}
    np.testing.assert_array_equal(fields[feature.name], np.nan_to_num(kept))
