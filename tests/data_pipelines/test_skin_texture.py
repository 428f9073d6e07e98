"""Painted skin: where nails and creases lie, and that people differ."""

from pathlib import Path

import numpy as np
import pytest

import twohand_jax.mano
from twohand_jax.errors import InputError
from twohand_jax.pipelines.synthetic.render.hand_mesh import (
    load_hand_mesh,
    paint_textures,
)
from twohand_jax.pipelines.synthetic.render.skin_texture import bake_atlas, hand_axes

ASSETS = Path(twohand_jax.mano.__file__).parent / "assets"


@pytest.fixture(scope="module")
def fields() -> dict[str, np.ndarray]:
    with np.load(ASSETS / "open_hand.npz") as file:
        return {name: file[name] for name in file.files}


def test_atlas_holds_each_vertex_at_its_texel():
    vertices = np.array([[0.0, 0, 5], [8, 0, 5], [0, 8, 5]])
    normals = np.tile([0.0, 0, 1], (3, 1))
    uv, faces = np.array([[0.0, 0], [1, 0], [0, 1]]), np.array([[0, 1, 2]])
    atlas = bake_atlas(vertices, normals, faces, uv, faces, size=64)
    rows, columns = np.nonzero(atlas.inside)
    expected = np.stack([(columns + 0.5) / 8, (63.5 - rows) / 8], axis=1)
    np.testing.assert_allclose(atlas.position[:, :2], expected, atol=1e-5)
    np.testing.assert_allclose(atlas.position[:, 2], 5, atol=1e-6)
    assert 0.45 < atlas.inside.mean() < 0.7


def test_axes_are_a_frame_and_the_thumb_is_thumbward(fields):
    joints = fields["J_regressor"] @ fields["v_template"]
    axes = np.stack(hand_axes(joints))
    np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-6)
    assert (joints[15] - joints[0]) @ axes[1] > 0.02
    assert axes[2][1] > 0.8  # in MANO's rest frame the back looks up


def test_people_differ_and_repeat(fields):
    first, second = paint_textures(fields, count=2, size=128)
    assert (np.abs(first.astype(int) - second) > 8).mean() > 0.01
    np.testing.assert_array_equal(paint_textures(fields, count=1, size=128)[0], first)


def test_mesh_zones_and_uv(fields):
    mesh = load_hand_mesh(ASSETS, num_textures=0)
    num_hand = int(mesh.arm_faces.min())
    owner = mesh.limb_of_drawn[:num_hand]
    up = fields["v_template"][owner, 1]
    assert np.corrcoef(up, mesh.palm[:num_hand])[0, 1] < -0.2
    assert mesh.uv.min() >= 0 and mesh.uv.max() <= 1
    assert len(mesh.loop) == 16
    clusters = mesh.cluster_mean
    np.testing.assert_allclose(clusters.sum(axis=1), 1, atol=1e-5)


def test_missing_hand_is_named(tmp_path):
    with pytest.raises(InputError, match="open_hand.npz"):
        load_hand_mesh(tmp_path)
