import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.diffusion import fakes
from twohand_jax import mano
from twohand_jax.diffusion import representation
from twohand_jax.geometry import rotations
from twohand_jax.types import LEFT, RIGHT, ManoParams

pack = jax.jit(representation.pack)
frame_of = jax.jit(representation.pair_frame)
forward = jax.jit(mano.forward)


def _there_and_back(model, params, reference):
    vectors = representation.pack(model, params, reference)
    frame = representation.pair_frame(model, params, reference)
    return vectors, representation.unpack(model, vectors, reference, frame)


def _both_references(batch):
    return jnp.arange(np.prod(batch, dtype=int)).reshape(batch) % 2


@pytest.mark.parametrize("batch", [(), (3,), (2, 1, 4)])
@pytest.mark.slow
def test_round_trip_of_random_hands(batch):
    model = fakes.hand_model()
    params = fakes.hands(*batch)
    for reference in (_both_references(batch), 1 - _both_references(batch)):
        vectors, back = jax.jit(_there_and_back)(model, params, reference)
        assert vectors.shape == (*batch, 2, 64)
        wanted = forward(model, params).vertices
        found = forward(model, back).vertices
        np.testing.assert_allclose(found, wanted, atol=1e-6)


@pytest.mark.slow
def test_round_trip_in_double_precision():
    with jax.enable_x64(True):
        model = mano.load(dtype=jnp.float64)
        params = fakes.hands(8, dtype=np.float64)
        _, back = jax.jit(_there_and_back)(model, params, _both_references((8,)))
        wanted = forward(model, params).vertices
        found = forward(model, back).vertices
        np.testing.assert_allclose(found, wanted, atol=1e-12)


def test_reference_is_still_and_at_the_origin():
    params, reference = fakes.hands(4), _both_references((4,))
    vectors = pack(fakes.hand_model(), params, reference)
    still = vectors[:, representation.REFERENCE, representation.RELATIVE]
    expected = np.tile([1.0, 0, 0, 0, 1, 0, 0, 0, 0], (4, 1))
    np.testing.assert_array_equal(still, expected)


@pytest.mark.slow
def test_mirrored_pair_has_the_same_vectors(variant):
    pack = variant(representation.pack)
    model, params = fakes.hand_model(), fakes.hands(3)
    right = pack(model, params, jnp.full(3, RIGHT))
    left = pack(model, mano.mirror(params), jnp.full(3, LEFT))
    np.testing.assert_allclose(right, left, atol=1e-6)


@pytest.mark.slow
def test_moving_both_hands_together_changes_nothing():
    model, params, reference = fakes.hand_model(), fakes.hands(4), jnp.arange(4) % 2
    R = rotations.axis_angle_to_matrix(jnp.array([0.3, -1.0, 0.5]))
    moved = mano.to_camera(model, params, R, jnp.array([0.2, 0.1, 0.4]))
    np.testing.assert_allclose(
        pack(model, params, reference),
        pack(model, moved, reference),
        atol=2e-6,
    )


def test_relative_translation_joins_the_middle_finger_bases():
    model, params = fakes.hand_model(), fakes.hands(3)
    joints = forward(model, params).joints[:, :, mano.joints.CANONICAL.MIDDLE_BASE]
    orient = rotations.axis_angle_to_matrix(params.global_orient)[:, LEFT]
    vectors = pack(model, params, jnp.full(3, LEFT))
    between = jnp.einsum("nji,nj->ni", orient, joints[:, RIGHT] - joints[:, LEFT])
    found = vectors[:, representation.OTHER, representation.TRANSLATION]
    np.testing.assert_allclose(found, between, atol=1e-6)


@pytest.mark.slow
def test_other_hand_and_frames_agree_with_the_camera():
    model, params, reference = fakes.hand_model(), fakes.hands(4), jnp.arange(4) % 2
    vectors = pack(model, params, reference)
    frame = frame_of(model, params, reference)
    vertices, joints = representation.other_hand(model, vectors[:, 1])
    geometry = forward(model, params)
    other = (jnp.arange(4), 1 - reference)
    placed = representation.to_camera(vertices, reference, frame)
    np.testing.assert_allclose(placed, geometry.vertices[other], atol=1e-6)
    seen = representation.to_prior(geometry.joints[other], reference, frame)
    np.testing.assert_allclose(joints, seen, atol=1e-6)


@pytest.mark.slow
def test_at_origin_the_reference_is_the_left_hand():
    model, params = fakes.hand_model(), fakes.hands(2)
    vectors = pack(model, params, jnp.array([RIGHT, LEFT]))
    posed = forward(model, representation.unpack_at_origin(model, vectors))
    base = posed.joints[:, :, mano.joints.CANONICAL.MIDDLE_BASE]
    np.testing.assert_allclose(base[:, LEFT], np.zeros((2, 3)), atol=1e-6)
    np.testing.assert_allclose(
        base[:, RIGHT], vectors[:, 1, representation.TRANSLATION], atol=1e-6
    )


@pytest.mark.parametrize("reference", [RIGHT, LEFT])
@pytest.mark.slow
def test_gradients_are_finite_at_identity(reference):
    model = fakes.hand_model()

    def value(params: ManoParams):
        vectors, back = _there_and_back(model, params, jnp.array(reference))
        parts = [jnp.sum(jnp.sin(1 + x)) for x in back]
        return sum(parts) + jnp.sum(jnp.sin(vectors))

    for params in (mano.zeros(), fakes.hands()):
        gradient = jax.jit(jax.grad(value))(params)
        assert all(np.all(np.isfinite(leaf)) for leaf in gradient)


def test_round_trip_has_the_identity_as_derivative():
    model, params = fakes.hand_model(), fakes.hands()
    direction = fakes.hands(seed=1)

    @jax.jit
    def derivative(params, direction):
        def back(p):
            return _there_and_back(model, p, jnp.array(RIGHT))[1]

        return jax.jvp(back, (params,), (direction,))[1]

    tangent = derivative(params, direction)
    for found, wanted in zip(tangent, direction, strict=True):
        np.testing.assert_allclose(found, wanted, atol=2e-5)
