"""Cutting, decimating and relaxing meshes on surfaces whose answers are known."""

import numpy as np
import pytest

from twohand_jax.pipelines.open_hand import decimate, skin


def _bowl(size: int = 17) -> tuple[np.ndarray, np.ndarray]:
    """A grid disc bent to a paraboloid: vertices and triangles."""
    x, y = np.meshgrid(np.linspace(-1, 1, size), np.linspace(-1, 1, size))
    vertices = np.stack([x, y, 0.3 * (x**2 + y**2)], -1).reshape(-1, 3)
    index = np.arange(size * size).reshape(size, size)
    quads = np.stack(
        [index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]], -1
    ).reshape(-1, 4)
    return vertices, decimate.triangulate(quads, vertices)


def _decimated(pinned: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    vertices, triangles = _bowl()
    return decimate.decimate(
        vertices,
        triangles,
        num_vertices=100,
        num_boundary=16,
        importance=np.ones(len(vertices)),
        pinned=pinned,
    )


def test_triangulate_takes_the_shorter_diagonal():
    vertices = np.array([[0, 0, 0], [1, 0, 0], [3, 1, 0], [0, 1, 0]], float)
    triangles = decimate.triangulate(np.array([[0, 1, 2, 3]]), vertices)
    assert {tuple(sorted(t)) for t in triangles.tolist()} == {(0, 1, 3), (1, 2, 3)}


def test_cut_ends_on_the_plane_and_keeps_the_area():
    vertices, triangles = _bowl()
    flat = vertices * [1, 1, 0]
    part = decimate.cut_surface(flat, triangles, flat[:, 0] - 0.3)
    points = part.combine @ flat
    assert points[:, 0].max() == pytest.approx(0.3)
    normals, _ = decimate.triangle_quality(points[part.triangles])
    assert 0.5 * np.linalg.norm(normals, axis=-1).sum() == pytest.approx(1.3 * 2)


def test_decimation_reaches_exact_counts_as_a_disc():
    vertices, triangles, _ = _decimated(np.array([8 * 17 + 8]))
    assert vertices.shape == (100, 3)
    assert len(triangles) == 2 * 100 - 2 - 16
    assert len(decimate.boundary_loop(triangles)) == 16


def test_pinned_vertices_stay():
    pinned = np.array([8 * 17 + 8, 3 * 17 + 5])
    vertices, _, rows = _decimated(pinned)
    np.testing.assert_array_equal(vertices[rows], _bowl()[0][pinned])


def test_boundary_loop_refuses_two_loops():
    _, triangles = _bowl()
    middle = (triangles == 8 * 17 + 8).any(-1)
    with pytest.raises(ValueError, match="more than one boundary"):
        decimate.boundary_loop(triangles[~middle])


def test_attach_reproduces_points_of_the_surface():
    vertices, triangles = _bowl()
    shares = np.random.default_rng(0).dirichlet(np.ones(3), size=len(triangles))
    points = np.einsum("tk,tkc->tc", shares, vertices[triangles])
    weights = decimate.attach(points, vertices, triangles)
    np.testing.assert_allclose(weights @ vertices, points, atol=1e-9)
    np.testing.assert_allclose(weights.sum(1), 1)


def test_attach_clamps_points_beyond_the_border():
    vertices, triangles = _bowl()
    nearest = (
        decimate.attach(np.array([[5.0, 0.0, 0.3]]), vertices, triangles) @ vertices
    )
    np.testing.assert_allclose(nearest[0], [1.0, 0.0, 0.3], atol=1e-9)


def test_relaxing_evens_triangles_and_keeps_fixed_vertices():
    reference, reference_triangles = _bowl()
    vertices, triangles, rows = _decimated(np.array([8 * 17 + 8]))
    weights, relaxed = decimate.relax(
        vertices, triangles, reference, reference_triangles, pinned=rows
    )
    points = weights @ reference
    fixed = np.union1d(rows, decimate.boundary_loop(triangles))
    np.testing.assert_allclose(points[rows], vertices[rows], atol=1e-9)
    assert np.linalg.norm(points[fixed] - vertices[fixed], axis=-1).max() < 0.05
    before = decimate.triangle_quality(vertices[triangles])[1].mean()
    assert decimate.triangle_quality(points[relaxed])[1].mean() > before
    assert len(relaxed) == len(triangles)


def test_flip_removes_a_thin_pair():
    vertices = np.array([[0, 0, 0], [1, -0.1, 0], [2, 0, 0], [1, 0.1, 0]], float)
    flipped = decimate.flip_edges(vertices, np.array([[0, 1, 2], [0, 2, 3]]))
    assert {tuple(sorted(t)) for t in flipped.tolist()} == {(0, 1, 3), (1, 2, 3)}


def test_baking_a_square_gives_its_coordinates():
    uv = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    faces = np.array([[0, 1, 2], [0, 2, 3]])
    texels = skin.bake_texels(uv, faces, faces, uv, 8)
    assert texels.covered.all()
    image = texels.values.reshape(8, 8, 2)
    centres = (np.arange(8) + 0.5) / 8
    np.testing.assert_allclose(image[0, :, 0], centres, atol=1e-9)
    np.testing.assert_allclose(image[:, 0, 1], centres[::-1], atol=1e-9)


def test_spread_fills_from_the_nearest_texel():
    covered = np.zeros((4, 4), bool)
    covered[0, 0] = covered[3, 3] = True
    image = skin.spread_texels(covered, np.array([[1.0, 0, 0], [0, 1.0, 0]]))
    np.testing.assert_array_equal(image[1, 0], [1, 0, 0])
    np.testing.assert_array_equal(image[2, 3], [0, 1, 0])
