"""The composed picture: where the hands lie, its size, and the empty case."""

import numpy as np
import pytest

from twohand_jax.types import Camera, ManoModel
from twohand_jax.viz import overlay as overlays
from twohand_jax.viz.render import HAND_COLORS

BOTH = np.array([True, True])


def test_only_present_hands_become_closed_meshes(
    model: ManoModel, vertices: np.ndarray
) -> None:
    meshes = overlays.hand_meshes(model, vertices, np.array([False, True]))
    assert [m.color for m in meshes] == [HAND_COLORS[1]]
    assert len(meshes[0].faces) == 1538 + 14
    positions = np.round(meshes[0].vertices, 9)
    _, merged = np.unique(positions, axis=0, return_inverse=True)
    faces = merged.reshape(-1)[meshes[0].faces]
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    there = {tuple(e) for e in edges.tolist()}
    assert all((b, a) in there for a, b in there), "the surface is not closed"


def test_hands_are_drawn_where_they_project(
    model: ManoModel, vertices: np.ndarray
) -> None:
    camera = Camera(focal=np.full(2, 500.0), center=np.array([199.5, 149.5]))
    meshes = overlays.hand_meshes(model, vertices, BOTH)
    grey = np.full((300, 400, 3), 128, np.uint8)
    picture = overlays.overlay(grey, meshes, camera)
    assert picture.shape[0] == 300 + 2 * 6 and picture.dtype == np.uint8
    photo = picture[6:306, 6:406].astype(int)
    changed = np.abs(photo - 128).max(axis=-1) > 8
    expected = np.zeros_like(changed)
    for side, mesh in enumerate(meshes):
        pixels = mesh.vertices[:, :2] / mesh.vertices[:, 2:] * 500 + [199.5, 149.5]
        low, high = pixels.min(0), pixels.max(0)
        x0, y0 = np.maximum(low.astype(int) - 1, 0)
        x1, y1 = high.astype(int) + 3
        expected[y0:y1, x0:x1] = True
        x, y = np.round((low + high) / 2).astype(int)
        assert changed[y, x]
        warm = photo[y, x, 0] > photo[y, x, 2]
        assert warm == (side == 0)
    assert not changed[~expected].any()


@pytest.mark.parametrize(("height", "width"), [(40, 60), (3000, 500), (1, 1)])
def test_any_picture_size(
    model: ManoModel, vertices: np.ndarray, height: int, width: int
) -> None:
    camera = Camera(
        focal=np.full(2, float(max(height, width))),
        center=np.array([(width - 1) / 2, (height - 1) / 2]),
    )
    image = np.zeros((height, width, 3), np.uint8)
    meshes = overlays.hand_meshes(model, vertices, BOTH)
    picture = overlays.overlay(image, meshes, camera)
    assert max(picture.shape[:2]) <= 2 * overlays.MAX_SIDE + 60
    assert min(picture.shape[:2]) >= 1


def test_no_hands_leaves_the_photo_untouched(camera: Camera) -> None:
    image = np.random.default_rng(0).integers(0, 255, (320, 320, 3), np.uint8)
    picture = overlays.overlay(image, [], camera)
    np.testing.assert_array_equal(picture[6:326, 6:326], image)
    panel = picture[10:-10, 340:-10]
    assert (panel == overlays.PAPER).all()


def test_side_view_shows_depth_across(model: ManoModel, vertices: np.ndarray) -> None:
    apart = vertices + np.array([[[0, 0, 0]], [[0, 0, 0.3]]])
    meshes = overlays.hand_meshes(model, apart, BOTH)
    view = overlays._from_the_side(meshes, 300, 300)
    middle = [m.vertices.mean(axis=0) for m in view.meshes]
    assert abs(middle[1][0] - middle[0][0]) > 0.2
    for mesh in view.meshes:
        pixels = mesh.vertices[:, :2] / mesh.vertices[:, 2:] * view.camera.focal
        pixels = pixels + view.camera.center
        assert pixels.min() > 0 and pixels.max() < 300
