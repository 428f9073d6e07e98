import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.collision import shapes
from twohand_jax import collision


@pytest.mark.parametrize("batch", [(), (3,), (2, 1, 4)])
@pytest.mark.slow
def test_point_away_from_a_sphere(batch):
    vertices, faces = shapes.sphere(12, 0.5, (0.1, 0.2, 0.3))
    outward = (vertices - [0.1, 0.2, 0.3]) / 0.5
    many = jnp.broadcast_to(
        jnp.asarray(vertices, jnp.float32), (*batch, *vertices.shape)
    )
    normals = np.asarray(collision.vertex_normals(many, jnp.asarray(faces)))
    assert normals.shape == many.shape
    assert np.min(np.sum(normals * outward, axis=-1)) > 0.99
    np.testing.assert_allclose(np.linalg.norm(normals, axis=-1), 1, atol=1e-5)


@pytest.mark.parametrize("batch", [(), (2, 1, 4)])
def test_host_arrays_stay_host_arrays_and_agree(batch):
    vertices, faces = shapes.sphere(6, 0.5, (0.1, 0.2, 0.3))
    many = np.array(np.broadcast_to(vertices, (*batch, *vertices.shape)), np.float64)
    many += np.random.default_rng(0).normal(0, 0.02, many.shape)
    found = collision.vertex_normals(many, faces)
    assert isinstance(found, np.ndarray) and found.dtype == np.float64
    expected = collision.vertex_normals(jnp.asarray(many), jnp.asarray(faces))
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.slow
def test_degenerate_faces_give_zero_and_finite_gradient():
    faces = jnp.array([[0, 1, 2]])
    line = jnp.array([[0.0, 0, 0], [1, 0, 0], [2, 0, 0]])
    assert np.all(np.asarray(collision.vertex_normals(line, faces)) == 0)
    host = collision.vertex_normals(np.asarray(line), np.asarray(faces))
    np.testing.assert_array_equal(host, np.zeros((3, 3)))
    gradient = jax.grad(lambda v: jnp.sum(collision.vertex_normals(v, faces)))(line)
    assert np.all(np.isfinite(gradient))
