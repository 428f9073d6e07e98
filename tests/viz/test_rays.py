"""Rays against a slow twin in float64, which tries every triangle on every ray."""

import numpy as np
import pytest

from twohand_jax import mano
from twohand_jax.viz import overlay, rays


@pytest.fixture(scope="module")
def corners() -> np.ndarray:
    """Two crossed hands half a metre away."""
    model = mano.load()
    shown = np.asarray(model.template) + [0.02, 0.01, 0.5]
    shown[0, :, 2] += 0.01 * np.sin(40 * shown[0, :, 0])
    meshes = overlay.hand_meshes(model, shown, np.array([True, True]))
    return np.concatenate([mesh.vertices[mesh.faces.T] for mesh in meshes], axis=1)


def distances(
    origins: np.ndarray, directions: np.ndarray, corners: np.ndarray
) -> np.ndarray:
    """Of each ray to each triangle, infinite beside it (Moeller and Trumbore, 1997)."""
    start = corners[0]
    edges = corners[1:] - start
    across = np.cross(directions[:, None], edges[1])
    volume = np.einsum("nfc,fc->nf", across, edges[0])
    away = origins[:, None] - start
    u = np.einsum("nfc,nfc->nf", away, across) / volume
    turned = np.cross(away, edges[0])
    v = np.einsum("nc,nfc->nf", directions, turned) / volume
    t = np.einsum("nfc,fc->nf", turned, edges[1]) / volume
    return np.where((u >= 0) & (v >= 0) & (u + v <= 1) & (t > 0), t, np.inf)


def test_first_hits_are_those_of_the_twin(corners):
    drawn = np.random.default_rng(0)
    points = drawn.uniform(-0.2, 0.2, (1000, 2))
    hits = rays.first_hits(points, corners)
    directions = np.pad(points, ((0, 0), (0, 1)), constant_values=1)
    all_depths = distances(np.zeros((1, 3)), directions, corners)
    depth = all_depths.min(axis=1)
    found = np.isfinite(depth)
    assert 150 < found.sum() < 850
    np.testing.assert_array_equal(hits.triangle >= 0, found)
    np.testing.assert_allclose(hits.depth, depth, atol=1e-4)
    np.testing.assert_array_equal(
        hits.triangle[found], all_depths.argmin(axis=1)[found]
    )
    place = np.einsum("nk,knc->nc", hits.share, corners[:, hits.triangle])
    np.testing.assert_allclose(
        place[found], (directions * depth[:, None])[found], atol=2e-4
    )


def test_parallel_rays_are_blocked_as_the_twin_s_within_their_reach(corners):
    drawn = np.random.default_rng(1)
    origins = corners[:, drawn.integers(corners.shape[1], size=300)].mean(axis=0)
    origins = origins + drawn.normal(size=origins.shape) * 0.01
    for direction in drawn.normal(size=(6, 3)):
        direction /= np.linalg.norm(direction)
        paths = np.broadcast_to(direction, origins.shape)
        length = distances(origins, paths, corners).min(axis=1)
        for reach in (0.03, 1.0):
            blocked = rays.are_blocked(origins, direction, corners, reach=reach)
            np.testing.assert_array_equal(blocked, length < reach)
            assert 0 < blocked.sum() < len(blocked)


def test_no_ray_slips_between_the_triangles_of_a_closed_surface():
    """A sphere seen from inside hides all, wherever its corners lie."""
    fan = np.linspace(0, 2 * np.pi, 13)[:-1]
    rim = np.stack([np.cos(fan), np.sin(fan), np.full(12, 0.4)], axis=-1)
    ahead = np.broadcast_to([0.01, 0.02, 2.0], rim.shape)
    behind = np.broadcast_to([0.0, 0.0, -1.0], rim.shape)
    after = np.roll(rim, -1, axis=0)
    cone = np.stack([np.concatenate([ahead, behind]), *([[*rim, *rim], [*after] * 2])])
    y, x = np.mgrid[-3:3:150j, -3:3:150j]
    hits = rays.first_hits(np.stack([x.ravel(), y.ravel()], axis=-1), cone)
    assert (hits.triangle >= 0).all()
    assert (hits.depth > 0).all()


def test_a_triangle_that_passes_the_camera_is_seen_where_it_is_ahead():
    triangle = np.array([[0.0, -1.0, 4.0], [0.5, -1.0, -4.0], [-0.5, -1.0, -4.0]])
    points = np.array([[0.0, -0.5], [0.0, -30.0], [0.0, 0.5], [2.0, -0.5]])
    hits = rays.first_hits(points, triangle[:, None])
    np.testing.assert_array_equal(hits.triangle, [0, 0, -1, -1])
    np.testing.assert_allclose(hits.depth[:2], [2.0, 1 / 30], rtol=1e-5)


def test_surfaces_without_area_hide_nothing(corners):
    flat = corners[[0, 0, 1]]
    points = np.zeros((3, 2))
    assert (rays.first_hits(points, flat).triangle == -1).all()
    assert not rays.are_hit(rays.Sites(points), flat).any()


def test_large_pictures_are_looked_at_in_parts(corners, monkeypatch):
    y, x = np.mgrid[-0.2:0.2:60j, -0.2:0.2:60j]
    points = np.stack([x.ravel(), y.ravel()], axis=-1)
    whole = rays.first_hits(points, corners)
    monkeypatch.setattr(rays, "AT_ONCE", 500)
    for one, other in zip(whole, rays.first_hits(points, corners), strict=True):
        np.testing.assert_array_equal(one, other)
