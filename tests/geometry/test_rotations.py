"""Group laws, round trips and gradients of the rotation conversions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from scipy.spatial.transform import Rotation

from twohand_jax.geometry import rotations

BATCHES = [(), (3,), (2, 1, 4)]
to_matrix = jax.jit(rotations.axis_angle_to_matrix)
to_axis_angle = jax.jit(rotations.matrix_to_axis_angle)
to_quaternion = jax.jit(rotations.matrix_to_quaternion)
from_6d = jax.jit(rotations.rotation_6d_to_matrix)
angle_between = jax.jit(rotations.angle_between)


def axis_angles(*batch: int, angle: float | None = None, seed: int = 0):
    """Random axis-angle vectors of angle below π, or of exactly the given angle."""
    rng = np.random.default_rng(seed)
    axis = rng.normal(size=(*batch, 3))
    axis /= np.linalg.norm(axis, axis=-1, keepdims=True)
    size = rng.uniform(0.01, 3.1, (*batch, 1)) if angle is None else angle
    return (axis * size).astype(np.float32)


@pytest.mark.parametrize("batch", BATCHES)
def test_matrices_agree_with_scipy(batch):
    vectors = axis_angles(*batch)
    expected = Rotation.from_rotvec(vectors.reshape(-1, 3)).as_matrix()
    matrix = to_matrix(vectors)
    assert matrix.shape == (*batch, 3, 3)
    np.testing.assert_allclose(matrix, expected.reshape(*batch, 3, 3), atol=1e-6)


@pytest.mark.parametrize("batch", BATCHES)
def test_round_trips(batch):
    vectors = axis_angles(*batch, seed=1)
    matrix = to_matrix(vectors)
    np.testing.assert_allclose(to_axis_angle(matrix), vectors, atol=1e-5)
    six = rotations.matrix_to_rotation_6d(matrix)
    assert six.shape == (*batch, 6)
    np.testing.assert_allclose(from_6d(six), matrix, atol=1e-6)


@pytest.mark.parametrize(
    "angle", [0.0, 1e-7, 1e-4, 1e-3, 1.0, np.pi - 1e-3, np.pi - 1e-6, np.pi]
)
def test_round_trip_at_and_near_singular_angles(angle):
    vectors = axis_angles(200, angle=angle, seed=2)
    back = np.asarray(to_axis_angle(to_matrix(vectors)))
    expected = vectors
    if angle > 3.14:  # the axis of a half turn has two signs
        sign = np.sign((back * vectors).sum(-1, keepdims=True))
        expected = vectors * sign
    np.testing.assert_allclose(back, expected, atol=1e-6 + 3e-7 * angle, rtol=1e-5)


@pytest.mark.parametrize("axis", range(3))
def test_half_turns_about_the_axes(axis):
    vector = np.pi * np.eye(3, dtype=np.float32)[axis]
    np.testing.assert_allclose(
        np.abs(to_axis_angle(to_matrix(vector))), vector, atol=1e-5
    )


def test_group_laws(variant):
    to_matrix = variant(rotations.axis_angle_to_matrix)
    first, second, third = (to_matrix(axis_angles(50, seed=s)) for s in (3, 4, 5))
    eye = np.broadcast_to(np.eye(3), first.shape)
    inverse = to_matrix(-axis_angles(50, seed=3))
    np.testing.assert_allclose(first @ inverse, eye, atol=1e-6)
    np.testing.assert_allclose(inverse, jnp.swapaxes(first, -1, -2), atol=1e-6)
    left, right = (first @ second) @ third, first @ (second @ third)
    np.testing.assert_allclose(left, right, atol=1e-6)
    np.testing.assert_allclose(jnp.linalg.det(first), 1, atol=1e-6)
    np.testing.assert_array_equal(to_matrix(np.zeros(3, np.float32)), np.eye(3))


def test_quaternions_are_unit_and_point_up():
    quaternion = np.asarray(to_quaternion(to_matrix(axis_angles(300, seed=6))))
    np.testing.assert_allclose(np.linalg.norm(quaternion, axis=-1), 1, atol=1e-6)
    assert (quaternion[:, 0] >= 0).all()
    same = rotations.quaternion_to_axis_angle(-quaternion)
    np.testing.assert_allclose(same, axis_angles(300, seed=6), atol=1e-5)


def test_6d_uses_rows_and_repairs_any_input():
    six = np.random.default_rng(7).normal(size=(100, 6)).astype(np.float32)
    matrix = np.asarray(from_6d(six))
    np.testing.assert_allclose(
        matrix @ matrix.swapaxes(-1, -2),
        np.broadcast_to(np.eye(3), matrix.shape),
        atol=2e-5,
    )
    np.testing.assert_allclose(np.linalg.det(matrix), 1, atol=2e-5)
    first = six[:, :3] / np.linalg.norm(six[:, :3], axis=-1, keepdims=True)
    np.testing.assert_allclose(matrix[:, 0], first, atol=1e-6)
    in_plane = np.einsum("nj,nj->n", np.cross(six[:, :3], six[:, 3:]), matrix[:, 1])
    np.testing.assert_allclose(in_plane, 0, atol=1e-5)
    assert (np.einsum("nj,nj->n", six[:, 3:], matrix[:, 1]) > 0).all()


def test_mirroring_conjugates_with_the_reflection():
    vectors = axis_angles(20, seed=8)
    flip = np.diag([-1.0, 1.0, 1.0]).astype(np.float32)
    expected = flip @ to_matrix(vectors) @ flip
    mirrored = to_matrix(rotations.mirror_axis_angle(vectors))
    np.testing.assert_allclose(mirrored, expected, atol=1e-6)


def test_rotation_z_turns_x_towards_y():
    R = rotations.rotation_z(jnp.array([0.0, np.pi / 2]))
    np.testing.assert_allclose(R[0], np.eye(3), atol=1e-7)
    np.testing.assert_allclose(R[1] @ jnp.array([1.0, 0, 0]), [0, 1, 0], atol=1e-6)


def test_angle_between_is_a_metric():
    first, second = (to_matrix(axis_angles(40, seed=s)) for s in (9, 10))
    there = angle_between(first, second)
    expected = Rotation.from_matrix(np.asarray(first)).inv() * Rotation.from_matrix(
        np.asarray(second)
    )
    np.testing.assert_allclose(there, expected.magnitude(), atol=2e-3)
    np.testing.assert_allclose(angle_between(second, first), there, atol=1e-4)
    np.testing.assert_allclose(angle_between(first, first), 0, atol=1e-3)
    gradient = jax.grad(lambda m: angle_between(m, jnp.eye(3)))(jnp.eye(3))
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("angle", [0.0, 1e-6, 1e-3, 0.7, np.pi - 1e-2, np.pi])
def test_gradients_of_matrices(angle):
    vector = axis_angles(angle=angle, seed=11)
    check_grads(to_matrix, (vector,), 1, modes=["rev"], atol=2e-2, rtol=2e-2)
    jacobian = jax.jacobian(to_matrix)(vector)
    assert np.isfinite(jacobian).all() and np.abs(jacobian).max() > 0.1


def test_the_jacobian_at_zero_is_the_generators():
    jacobian = jax.jacobian(to_matrix)(jnp.zeros(3))
    for axis in range(3):
        expected = np.cross(np.eye(3)[axis], np.eye(3)).T
        np.testing.assert_allclose(jacobian[..., axis], expected, atol=1e-7)


@pytest.mark.parametrize("angle", [1e-3, 0.7, 2.5, np.pi - 1e-2])
def test_gradients_of_the_way_back(angle):
    """Along the group: d log(exp(v)) / dv is the identity."""
    vector = axis_angles(angle=angle, seed=12)
    jacobian = jax.jacobian(lambda v: to_axis_angle(to_matrix(v)))(vector)
    np.testing.assert_allclose(jacobian, np.eye(3), atol=2e-3)


@pytest.mark.parametrize("angle", [0.0, 1e-6, np.pi])
def test_the_way_back_has_finite_gradients_at_singular_angles(angle):
    matrix = to_matrix(axis_angles(angle=angle, seed=13))
    for function in (to_axis_angle, to_quaternion):
        assert np.isfinite(jax.jacobian(function)(matrix)).all()


def test_gradients_of_6d():
    six = np.random.default_rng(14).normal(size=(6,)).astype(np.float32)
    check_grads(from_6d, (six,), 1, modes=["rev"], atol=2e-2, rtol=2e-2)
    for degenerate in (np.zeros(6), np.array([1.0, 0, 0, 2, 0, 0])):
        jacobian = jax.jacobian(from_6d)(jnp.asarray(degenerate, jnp.float32))
        assert np.isfinite(jacobian).all()
