"""The view in the browser: what it needs, and what its scene holds."""

import sys

import numpy as np
import pytest

from twohand_jax import mano
from twohand_jax.cli import main as cli
from twohand_jax.types import Camera
from twohand_jax.viz import browser
from twohand_jax.viz.hand_page import ShownHand, ShownPicture

CAMERA = Camera(np.array([500.0, 500.0]), np.array([319.5, 239.5]))


def picture(number: int) -> ShownPicture:
    """A picture with as many right hands as its number says, half a metre away.

    That of picture 1 was a centimetre off before the refinement.
    """
    vertices = np.asarray(mano.load().template[0]) + (0, 0, 0.5)
    before = vertices + 0.01 if number == 1 else None
    return ShownPicture(
        title=f"<b>{number}",
        image=np.zeros((48, 64, 3), np.uint8),
        height=480,
        width=640,
        camera=CAMERA,
        hands=[ShownHand(0, vertices, before)] * number,
        header=("hand",),
        rows=[("right",)] * number,
        notes=[],
    )


def test_a_missing_viser_names_the_extra(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "viser", None)
    assert cli.main(["view", str(tmp_path / "photo.json")]) == 2
    told = capsys.readouterr().err
    assert "pip install 'twohand_jax[view]'" in told and told.count("\n") == 1


def test_the_whole_picture_shows_in_narrow_and_wide_windows():
    one = picture(0)
    fields = [browser._whole(one, aspect) for aspect in (0.5, 4 / 3, 3.0)]
    tall = np.tan(np.array(fields) / 2)
    assert (tall * CAMERA.focal[1] >= 240).all()
    assert (tall * (0.5, 4 / 3, 3.0) * CAMERA.focal[0] >= 320).all()
    assert fields[1] == fields[2]


def test_paging_draws_each_picture_s_hands():
    viewer = browser.Viewer(picture, 3, mano.load(), port=8123)
    try:
        for number in (0, 2, 1):
            viewer.show(number)
            frustum, *hands = [
                one for one in viewer._drawn if not one.name.startswith("/earlier")
            ]
            assert frustum.aspect == pytest.approx(4 / 3)
            assert len(hands) == number
            assert f"&lt;b&gt;{number}" in viewer._about.content
        np.testing.assert_array_equal(
            hands[0].vertices, np.float32(picture(1).hands[0].vertices)
        )
        earlier = [one for one in viewer._drawn if one.name.startswith("/earlier")]
        assert len(earlier) == 3 and not any(one.visible for one in earlier)
        aside = earlier[0].vertices - hands[0].vertices
        assert (aside[:, 0] < 0).all() and np.ptp(aside, axis=0).max() < 1e-6
        assert -aside[0, 0] > np.ptp(hands[0].vertices[:, 0])
        viewer._compares.value = True
        viewer._fade()
        assert all(one.visible for one in earlier)
        assert viewer.url.startswith("http://127.0.0.1:")
    finally:
        viewer.server.stop()
