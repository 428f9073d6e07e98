import jax.numpy as jnp
import numpy as np
import pytest

from twohand_jax.geometry import affine, cameras, view
from twohand_jax.types import Camera

CAMERA = Camera(focal=jnp.array([500.0, 480.0]), center=jnp.array([255.0, 240.0]))


def crop_at(x: float, y: float, *, mirror: bool = False):
    box = jnp.array([x - 50, y - 50, x + 50, y + 50])
    return affine.crop(box, size=64, mirror=mirror)


@pytest.mark.parametrize("mirror", [False, True])
def test_the_axis_turns_to_the_middle_of_the_crop(mirror):
    R = view.rotation(crop_at(400.0, 90.0, mirror=mirror), CAMERA, size=64)
    point = R @ jnp.array([0.0, 0.0, 0.7])
    seen = cameras.project(point[None], CAMERA)[0]
    np.testing.assert_allclose(seen, [400.0, 90.0], atol=1e-2)
    np.testing.assert_allclose(R @ R.T, np.eye(3), atol=1e-6)
    np.testing.assert_allclose(jnp.linalg.det(R), 1.0, atol=1e-6)


def test_it_is_the_smallest_such_rotation():
    R = view.rotation(crop_at(400.0, 90.0), CAMERA, size=64)
    angle = np.arccos((np.trace(np.asarray(R)) - 1) / 2)
    np.testing.assert_allclose(angle, np.arccos(R[2, 2]), atol=1e-5)


def test_a_crop_in_the_middle_is_not_turned():
    R = view.rotation(crop_at(255.0, 240.0), CAMERA, size=64)
    np.testing.assert_allclose(R, np.eye(3), atol=1e-6)


@pytest.mark.parametrize("shape", [(), (3,), (2, 1)], ids=str)
@pytest.mark.slow
def test_turning_keeps_the_first_point_and_turns_back(shape):
    points = jnp.asarray(np.random.default_rng(0).normal(size=(*shape, 5, 3)))
    T = jnp.broadcast_to(crop_at(300.0, 20.0), (*shape, 2, 3))
    camera = Camera(*(jnp.broadcast_to(x, (*shape, 2)) for x in CAMERA))
    R = view.rotation(T, camera, size=64)
    turned = view.turn(R, points)
    np.testing.assert_array_equal(turned[..., 0, :], points[..., 0, :])
    assert np.abs(turned - points).max() > 0.05
    back = view.turn(jnp.swapaxes(R, -1, -2), turned)
    np.testing.assert_allclose(back, points, atol=1e-5)


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("angle", [0.0, 0.7, -2.5])
def test_a_roll_is_the_angle_that_a_crop_was_turned_by(angle, mirror):
    """A direction of the picture, from the crop's axes."""
    box = jnp.array([100.0, 40.0, 200.0, 140.0])
    T = affine.crop(box, size=64, angle=-angle, mirror=mirror)
    np.testing.assert_allclose(view.roll(T), angle, atol=1e-6)
    up = affine.invert(T)[:, :2] @ jnp.array([0.0, -1.0])
    R = view.roll_rotation(T)
    expected = R @ jnp.array([0.0, -1.0, 0.0])
    np.testing.assert_allclose(up / jnp.linalg.norm(up), expected[:2], atol=1e-6)
    np.testing.assert_array_equal(R[2], [0.0, 0.0, 1.0])
