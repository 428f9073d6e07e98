"""Rays against geometry that can be computed by hand."""

import numpy as np
import pytest

from twohand_jax.types import Camera
from twohand_jax.viz import render as rendering
from twohand_jax.viz.render import Mesh, RayScene


def square(z: float, half: float, color: tuple[float, float, float]) -> Mesh:
    corners = [[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]]
    points = np.array(corners) * half + [0, 0, z]
    return Mesh(points, np.array([[0, 2, 1], [0, 3, 2]]), color)


CAMERA = Camera(focal=np.full(2, 100.0), center=np.array([50.0, 40.0]))


def test_square_covers_its_projection_at_its_depth() -> None:
    scene = RayScene([square(2.0, 0.5, (1, 0, 0))])
    picture = rendering.render(scene, CAMERA, height=81, width=101)
    inside = np.zeros((81, 101), bool)
    inside[16:65, 26:75] = True  # 25 px about (50, 40), without the border pixels
    assert (picture.rgba[inside, 3] == 255).all()
    np.testing.assert_allclose(picture.depth[inside], 2.0, rtol=1e-5)
    outside = np.ones((81, 101), bool)
    outside[14:67, 24:77] = False
    assert (picture.rgba[outside] == 0).all()
    assert np.isinf(picture.depth[outside]).all()


def test_nearer_mesh_hides_the_farther_in_any_order() -> None:
    near, far = square(1.0, 0.1, (1, 0, 0)), square(2.0, 0.6, (0, 0, 1))
    for meshes in ([near, far], [far, near]):
        picture = rendering.render(RayScene(meshes), CAMERA, height=81, width=101)
        assert picture.depth[40, 50] == pytest.approx(1.0)
        assert picture.depth[40, 65] == pytest.approx(2.0)
        red, _, blue, _ = picture.rgba[40, 50].astype(int)
        assert red > blue + 50


def test_outline_is_smoothed() -> None:
    tilted = square(1.0, 0.2, (1, 1, 1))
    turn = np.array([[0.96, -0.28, 0], [0.28, 0.96, 0], [0, 0, 1]])
    tilted = tilted._replace(vertices=tilted.vertices @ turn.T)
    picture = rendering.render(RayScene([tilted]), CAMERA, height=81, width=101)
    levels = np.unique(picture.rgba[..., 3])
    assert len(levels) > 3
    coverage = picture.rgba[..., 3].sum() / 255
    assert coverage == pytest.approx(40.0**2, rel=0.01)


def test_behind_the_camera_and_beside_the_picture() -> None:
    behind, beside = square(-1.0, 0.3, (1, 1, 1)), square(1.0, 0.1, (1, 1, 1))
    beside = beside._replace(vertices=beside.vertices + [5.0, 0, 0])
    for mesh in (behind, beside):
        picture = rendering.render(RayScene([mesh]), CAMERA, height=81, width=101)
        assert not picture.rgba.any()


def test_vertex_normals_of_a_square_face_the_camera() -> None:
    mesh = square(1.0, 0.2, (1, 1, 1))
    normals = rendering.vertex_normals(mesh.vertices, mesh.faces)
    np.testing.assert_allclose(normals, np.tile([0, 0, -1.0], (4, 1)), atol=1e-6)


def test_sphere_points_are_even() -> None:
    points = rendering.sphere_points(200)
    np.testing.assert_allclose(np.linalg.norm(points, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(points.mean(axis=0), 0, atol=0.01)


def test_paste_mixes_by_alpha() -> None:
    ground = np.full((1, 3, 3), 100, np.uint8)
    drawing = np.array([[[200, 0, 0, 0], [200, 0, 0, 51], [200, 0, 0, 255]]], np.uint8)
    mixed = rendering.paste(drawing, ground)
    np.testing.assert_array_equal(mixed[0, :, 0], [100, 120, 200])


def test_occlusion_darkens_between_two_walls() -> None:
    alone = RayScene([square(1.0, 0.02, (1, 1, 1))])
    lid = square(0.97, 0.2, (1, 1, 1))
    covered = RayScene([square(1.0, 0.02, (1, 1, 1)), lid])
    assert alone.openness[:4].min() > 0.95
    assert covered.openness[:4].max() < 0.3
