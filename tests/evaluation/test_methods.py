"""Which rows a network can fill."""

import pytest

from twohand_jax.evaluation import methods


@pytest.mark.parametrize(
    ("cues", "dropout", "rows"),
    [
        ((True, True, True), (0.2, 0.5, 0.5), tuple(methods.CUE_SETS)),
        ((True, True, True), (0.0, 0.0, 0.0), ("+ depth",)),
        ((True, True, True), (0.0, 0.5, 0.5), tuple(methods.CUE_SETS)[1:]),
        ((True, False, False), (0.0, 0.0, 0.0), ("+ keypoints",)),
        ((False, False, False), (0.0, 0.0, 0.0), ("image",)),
        ((False, True, False), (0.0, 0.5, 0.0), ("image",)),
        ((False, True, False), (0.0, 0.0, 0.0), ()),
    ],
)
def test_a_network_fills_the_rows_it_was_trained_for(cues, dropout, rows):
    assert tuple(methods.trained_rows(cues, dropout)) == rows
