"""Which rows a network can fill."""

import pytest

from twohand_jax.evaluation import methods

ALL = ("keypoints", "segmentation", "depth")
ROWS = ("image", "+ keypoints", "+ segmentation", "+ depth")
EVERY = (*ALL, "normals")


def test_each_row_shows_its_cue_and_those_before_it():
    shown = [EVERY[:count] for count in range(5)]
    assert methods.CUE_SETS == dict(zip((*ROWS, "+ normals"), shown, strict=True))


@pytest.mark.parametrize(
    ("cues", "dropout", "rows"),
    [
        (ALL, dict.fromkeys(ALL, 0.2), ROWS),
        (ALL, {}, ("+ depth",)),
        (EVERY, {"normals": 0.5}, ("+ depth", "+ normals")),
        (ALL, {"keypoints": 0.0, "segmentation": 0.5, "depth": 0.5}, ROWS[1:]),
        (("keypoints",), {}, ("+ keypoints",)),
        ((), {}, ("image",)),
        (("segmentation",), {"segmentation": 0.5}, ("image",)),
        (("segmentation",), {}, ()),
    ],
)
def test_a_network_fills_the_rows_it_was_trained_for(cues, dropout, rows):
    assert tuple(methods.trained_rows(cues, dropout)) == rows
