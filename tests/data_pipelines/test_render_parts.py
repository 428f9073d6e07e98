"""Skin, light, background, camera and mesh tables of the renderer, without OpenGL."""

import numpy as np
import pytest

from twohand_jax.errors import InputError
from twohand_jax.pipelines.synthetic.render.background import make_background
from twohand_jax.pipelines.synthetic.render.draw_list import ambient_visibility
from twohand_jax.pipelines.synthetic.render.environment import (
    load_environments,
    sh_basis,
)
from twohand_jax.pipelines.synthetic.render.hand_mesh import (
    boundary_loop,
    palm_albedo,
    skin_albedo,
    tube_faces,
)
from twohand_jax.pipelines.synthetic.render.renderer import develop, tone_table
from twohand_jax.pipelines.synthetic.render.sample_scene import (
    BACKGROUNDS,
    Background,
    sample_scene,
)


def _scene(seed: int):
    return sample_scene(np.random.default_rng(seed))


def test_skin_darkens_with_melanin_and_stays_skin():
    tones = np.array([skin_albedo(m, 0.1, 0.05) for m in np.linspace(0, 1, 21)])
    assert (np.diff(tones, axis=0) < 0).all()
    assert (tones[:, 0] > tones[:, 1]).all() and (tones[:, 1] > tones[:, 2]).all()
    assert tones[0, 1] > 0.5 and tones[-1, 1] < 0.03


@pytest.mark.parametrize("melanin", [0.3, 0.6, 1.0])
def test_palms_are_lighter(melanin):
    assert palm_albedo(melanin, 0, 0).mean() > skin_albedo(melanin, 0, 0).mean()


def test_irradiance_is_positive_with_mean_one():
    normals = np.random.default_rng(0).normal(size=(2000, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    light = np.einsum("nk,ekc->enc", sh_basis(normals), load_environments().irradiance)
    np.testing.assert_allclose(light.mean(axis=(1, 2)), 1, atol=0.1)
    assert np.mean(light > 0) > 0.97


def test_spherical_harmonics_are_orthonormal():
    points = np.random.default_rng(0).normal(size=(400_000, 3))
    basis = sh_basis(points / np.linalg.norm(points, axis=1, keepdims=True))
    gram = basis.T @ basis / len(points) * 4 * np.pi
    np.testing.assert_allclose(gram, np.eye(9), atol=0.02)


@pytest.mark.parametrize("kind", range(len(BACKGROUNDS)))
@pytest.mark.parametrize("size", [(64, 96), (256, 256)])
def test_backgrounds_are_light(kind, size):
    for seed in range(4):
        light = _scene(seed).light
        picture = make_background(Background(kind, seed), light, size)
        assert picture.shape == (*size, 3) and picture.dtype == np.float32
        assert np.isfinite(picture).all() and picture.min() >= 0


def test_tone_curve_rises_from_black_to_white():
    for gamma, contrast in [(0.8, 0.85), (1.0, 1.0), (1.2, 1.25)]:
        table = tone_table(gamma=gamma, contrast=contrast)
        assert (np.diff(table) >= 0).all()
        assert table[0] < 0.1 and table[-1] > 0.9


def test_camera_effects_do_not_move_the_picture():
    y, x = np.mgrid[:64, :64]
    blob = np.exp(-((x - 31.5) ** 2 + (y - 31.5) ** 2) / 30.0).astype(np.float32)
    effects = _scene(0).effects._replace(
        motion=np.array([6.0, 3.0]), defocus=1.5, reduction=2.0, jpeg_quality=95,
        shot_noise=0.0, read_noise=0.0, vignette=0.0, sharpen=0.5, contrast=1.0,
    )  # fmt: skip
    seen = develop(np.repeat(blob[..., None], 3, 2), effects).astype(float).sum(-1)
    assert abs((seen * x).sum() / seen.sum() - 31.5) < 0.15
    assert abs((seen * y).sum() / seen.sum() - 31.5) < 0.15


def test_grey_pictures_are_grey():
    color = np.random.default_rng(0).uniform(0, 1, (32, 32, 3)).astype(np.float32)
    pixels = develop(color, _scene(0).effects._replace(grey=True))
    assert np.ptp(pixels.astype(int), axis=-1).max() <= 2


def test_share_of_grey_and_occluded_scenes():
    scenes = [_scene(seed) for seed in range(600)]
    assert 0.1 < np.mean([scene.effects.grey for scene in scenes]) < 0.2
    assert 0.2 < np.mean([len(scene.occluders) > 0 for scene in scenes]) < 0.36
    bare = [np.isinf(scene.forearms.sleeve_start[0]) for scene in scenes]
    assert 0.4 < np.mean(bare) < 0.6
    kinds = np.bincount([scene.background.kind for scene in scenes])
    assert (kinds > 15).all()


def test_facing_patches_shade_each_other():
    patch, normal = np.array([[0.0, 0, 0.01]]), np.array([[0.0, 0, -1]])
    point = np.zeros((2, 3))
    normals = np.array([[0.0, 0, 1], [0, 0, -1]])
    seen = ambient_visibility(point, normals, patch, normal, 3e-4, strength=1.0)
    factor = 3e-4 / (np.pi * 1e-4 + 3e-4)
    np.testing.assert_allclose(seen, [1 - factor + 0.35 * factor**2, 1], atol=1e-3)


def test_boundary_loop_of_an_open_tube_and_a_closed_one():
    faces = tube_faces(3, 5, capped=True)
    assert sorted(boundary_loop(faces).tolist()) == [0, 1, 2, 3, 4]
    with pytest.raises(InputError, match="one loop|single loop"):
        boundary_loop(tube_faces(3, 5, capped=False))
    tetrahedron = np.array([[0, 1, 2], [0, 2, 3], [0, 3, 1], [1, 3, 2]])
    with pytest.raises(InputError, match="closed"):
        boundary_loop(tetrahedron)
