import jax.numpy as jnp
import numpy as np
import pytest

from tests.collision import shapes
from twohand_jax import collision
from twohand_jax.collision import surface
from twohand_jax.collision.penetration import intersection_volume
from twohand_jax.errors import InputError


def _spheres(distance: float):
    a, faces = shapes.sphere(24, 0.03, (0, 0, 0))
    b, _ = shapes.sphere(24, 0.03, (0.6 * distance, 0.0, 0.8 * distance))
    return a, b, faces


@pytest.mark.parametrize("distance", [0.03, 0.045, 0.055])
def test_two_spheres_have_the_analytic_volume_and_depth(distance):
    a, b, faces = _spheres(distance)
    found = collision.measure(a, b, faces, faces)
    expected = shapes.lens_volume(0.03, distance) * 1e6
    np.testing.assert_allclose(found.volume_cm3, expected, rtol=0.05)
    np.testing.assert_allclose(found.max_depth_mm, 1e3 * (0.06 - distance), rtol=0.05)


def test_apart_is_zero():
    a, b, faces = _spheres(0.07)
    found = collision.measure(a, b, faces, faces)
    assert found.volume_cm3 == found.max_depth_mm == found.contact_ratio == 0


def test_contact_ratio_counts_near_and_inside():
    a, b, faces = _spheres(0.0605)
    touching = collision.measure(a, b, faces, faces, volume=False)
    assert touching.max_depth_mm == 0
    assert 0 < touching.contact_ratio < 0.1
    same = collision.measure(a, a, faces, faces, volume=False)
    assert same.contact_ratio == 1


@pytest.mark.parametrize("batch", [(), (3,), (2, 1, 2)])
def test_batches(batch):
    a, b, faces = _spheres(0.045)
    many = [np.broadcast_to(x, (*batch, *x.shape)) for x in (a, b)]
    found = collision.measure(*many, faces, faces)
    single = collision.measure(a, b, faces, faces)
    for value, expected in zip(found, single, strict=True):
        assert np.shape(value) == batch
        np.testing.assert_allclose(value, np.broadcast_to(expected, batch), rtol=1e-6)


@pytest.mark.slow
def test_process_pool_gives_the_same_volumes():
    a, b, faces = _spheres(0.045)
    many = [np.broadcast_to(x, (4, *x.shape)) for x in (a, b)]
    pooled = collision.measure(*many, faces, faces, workers=2)
    alone = collision.measure(*many, faces, faces)
    np.testing.assert_array_equal(pooled.volume_cm3, alone.volume_cm3)


def test_winding_number_counts_layers():
    inner, faces = shapes.sphere(12, 0.02, (0, 0, 0))
    outer, _ = shapes.sphere(12, 0.04, (0, 0, 0))
    both = np.concatenate([inner, outer])
    doubled = np.concatenate([faces, faces + len(inner)])
    points = jnp.array([[0.0, 0, 0], [0.03, 0, 0], [0.05, 0, 0]])
    number = surface.winding_number(
        points, jnp.asarray(both, jnp.float32), jnp.asarray(doubled)
    )
    np.testing.assert_allclose(number, [2, 1, 0], atol=1e-4)


def test_distance_to_face_edge_and_corner():
    triangle = jnp.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]])
    points = jnp.array([[0.2, 0.2, 0.5], [0.5, -2.0, 0.0], [3.0, 0.0, 4.0], [1, 1, 0]])
    found = surface.surface_distance(points, triangle, jnp.array([[0, 1, 2]]))
    np.testing.assert_allclose(found, [0.5, 2.0, np.sqrt(20), np.sqrt(0.5)], rtol=1e-6)


def test_open_mesh_is_refused():
    a, _, faces = _spheres(0.04)
    with pytest.raises(InputError, match="close_wrist"):
        intersection_volume(a, a, faces[:-1], faces)


def test_bad_input_is_refused():
    a, b, faces = _spheres(0.04)
    with pytest.raises(InputError, match="finite"):
        collision.measure(a * np.nan, b, faces, faces)
    with pytest.raises(InputError, match="batch shapes"):
        collision.measure(a[None], b, faces, faces)
