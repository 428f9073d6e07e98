"""Pairs on a sheet: both hands in both views, whole, and in any position."""

import numpy as np
import pytest

from twohand_jax.types import ManoModel
from twohand_jax.viz import contact_sheet

HEIGHT = 96


def hand_pixels(picture: np.ndarray) -> list[np.ndarray]:
    """Where the warm right and the cold left hand are."""
    red, blue = picture[..., 0].astype(int), picture[..., 2].astype(int)
    return [red - blue > 40, blue - red > 40]


def test_both_hands_are_whole_in_both_views(
    model: ManoModel, vertices: np.ndarray
) -> None:
    drawn = contact_sheet.pair_tile(model, vertices, height=HEIGHT)
    assert drawn.shape == (HEIGHT, 2 * HEIGHT, 3)
    for view in (drawn[:, :HEIGHT], drawn[:, HEIGHT:]):
        border = np.concatenate([view[0], view[-1], view[:, 0], view[:, -1]])
        assert (border == contact_sheet.PAPER).all()
        assert all(mask.sum() > 50 for mask in hand_pixels(view))


@pytest.mark.parametrize("seed", [0, 1])
def test_the_picture_does_not_depend_on_where_the_pair_is(
    model: ManoModel, vertices: np.ndarray, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    turn *= np.sign(np.linalg.det(turn))
    here = hand_pixels(contact_sheet.pair_tile(model, vertices, height=HEIGHT))
    moved = vertices @ turn.T + rng.normal(size=3)
    there = hand_pixels(contact_sheet.pair_tile(model, moved, height=HEIGHT))
    for a, b in zip(here, there, strict=True):
        assert abs(a.sum() - b.sum()) < 0.1 * a.sum()


def test_a_sheet_has_its_tiles_in_rows(model: ManoModel, vertices: np.ndarray) -> None:
    three = np.stack([vertices] * 3)
    sheet = contact_sheet.pair_sheet(model, three, columns=2, height=HEIGHT)
    one = contact_sheet.pair_sheet(model, three[:1], columns=2, height=HEIGHT)
    assert sheet.shape[0] > 2 * HEIGHT and sheet.shape[1] > 4 * HEIGHT
    assert one.shape[1] < 3 * HEIGHT
