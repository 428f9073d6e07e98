"""Laws of the forward pass: batches, mirror, frames, gradients, chunks, joint sets."""

import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from tests.mano import fake_mano
from twohand_jax import mano
from twohand_jax.errors import InputError
from twohand_jax.geometry import rotations
from twohand_jax.mano import params as mano_params
from twohand_jax.types import LEFT, RIGHT, ManoParams

forward = jax.jit(mano.forward, static_argnames="fingertips")
forward_side = jax.jit(mano.forward_side, static_argnums=1)
forward_matrices = jax.jit(mano.forward_matrices)
to_camera = jax.jit(mano.to_camera)


@pytest.fixture(scope="module")
def model():
    return fake_mano.random_model(0)


def random_params(*batch: int, seed: int = 0, scale: float = 0.5) -> ManoParams:
    keys = jax.random.split(jax.random.key(seed), 4)
    shapes = ((3,), (15, 3), (10,), (3,))
    return ManoParams(
        *(
            scale * jax.random.normal(key, (*batch, 2, *shape))
            for key, shape in zip(keys, shapes, strict=True)
        )
    )


@pytest.mark.parametrize("batch", [(), (3,), (2, 1, 4)])
@pytest.mark.slow
def test_any_leading_batch(model, batch):
    params = random_params(*batch)
    out = forward(model, params)
    assert out.vertices.shape == (*batch, 2, 778, 3)
    assert out.joints.shape == (*batch, 2, 21, 3)
    last = tuple(n - 1 for n in batch)
    one = forward(model, jax.tree.map(lambda x: x[last], params))
    np.testing.assert_allclose(out.vertices[last], one.vertices, atol=2e-6)
    np.testing.assert_allclose(out.joints[last], one.joints, atol=2e-6)


def test_an_empty_batch(model):
    assert forward(model, random_params(0)).vertices.shape == (0, 2, 778, 3)


def test_the_mean_pose_at_the_origin(model):
    flat = mano_params.from_flat(model, jnp.zeros((2, 15, 3)))
    out = forward(model, mano.zeros()._replace(hand_pose=flat))
    np.testing.assert_allclose(out.vertices, model.template, atol=1e-6)
    np.testing.assert_allclose(out.joints[:, 0], model.joint_template[:, 0], atol=1e-6)


@pytest.mark.parametrize("side", [RIGHT, LEFT])
@pytest.mark.slow
def test_one_side_alone(model, side):
    params = random_params(4)
    pose = params.hand_pose + model.pose_mean
    both = forward(model, params)
    vertices, joints = forward_side(
        model,
        side,
        rotations.axis_angle_to_matrix(params.global_orient[:, side]),
        rotations.axis_angle_to_matrix(pose[:, side]),
        params.betas[:, side],
        params.transl[:, side],
    )
    np.testing.assert_allclose(vertices, both.vertices[:, side], atol=2e-6)
    np.testing.assert_allclose(joints, both.joints[:, side], atol=2e-6)


def test_arguments_of_one_side_broadcast(model):
    pose = rotations.axis_angle_to_matrix(random_params(4).hand_pose[:, 0])
    vertices, joints = forward_side(
        model, RIGHT, jnp.eye(3), pose, jnp.zeros(10), jnp.zeros(3)
    )
    assert vertices.shape == (4, 778, 3) and joints.shape == (4, 21, 3)


def test_rigid_motion_moves_every_point(model):
    """Orientation turns about the wrist, translation shifts."""
    params = random_params()
    still = params._replace(global_orient=jnp.zeros((2, 3)), transl=jnp.zeros((2, 3)))
    moved, rest = forward(model, params), forward(model, still)
    R = rotations.axis_angle_to_matrix(params.global_orient)
    wrist = mano_params.rest_wrist(model, params.betas)[:, None]
    for after, before in zip(moved, rest, strict=True):
        expected = jnp.einsum("hij,hvj->hvi", R, before - wrist) + wrist
        expected += params.transl[:, None]
        np.testing.assert_allclose(after, expected, atol=5e-6)


def test_mirror_law(variant):
    """Mirrored parameters give the mirror image, sides exchanged."""
    forward = variant(mano.forward)
    model = fake_mano.random_model(1, mirrored=True)
    params = random_params(3)
    before, after = forward(model, params), forward(model, mano.mirror(params))
    flip = jnp.array([-1.0, 1.0, 1.0])
    for image, original in zip(after, before, strict=True):
        np.testing.assert_allclose(image, original[:, ::-1] * flip, atol=5e-6)
    twice = mano.mirror(mano.mirror(params))
    jax.tree.map(np.testing.assert_array_equal, twice, params)


@pytest.mark.parametrize("batch", [(), (3,), (2, 1, 4)])
@pytest.mark.slow
def test_to_camera_law(model, batch):
    """The transformed parameters give the transformed vertices."""
    params = random_params(*batch)
    R = rotations.axis_angle_to_matrix(
        jax.random.normal(jax.random.key(7), (*batch, 3)) * 2
    )
    t = jax.random.normal(jax.random.key(8), (*batch, 3))
    world = forward(model, params)
    camera = forward(model, to_camera(model, params, R, t))
    for after, before in zip(camera, world, strict=True):
        expected = jnp.einsum("...ij,...hvj->...hvi", R, before) + t[..., None, None, :]
        np.testing.assert_allclose(after, expected, atol=1e-5)


def test_pca_round_trip(model):
    pose = random_params(2, 3).hand_pose
    coefficients = mano_params.to_pca(model, pose)
    np.testing.assert_allclose(
        mano_params.from_pca(model, coefficients), pose, atol=2e-5
    )


def test_6d_and_matrices_agree_with_axis_angle(model):
    params = random_params(3)
    R = rotations.axis_angle_to_matrix(params.hand_pose + model.pose_mean)
    pose = mano_params.from_6d(model, rotations.matrix_to_rotation_6d(R))
    expected = forward(model, params).vertices
    again = forward(model, params._replace(hand_pose=pose)).vertices
    np.testing.assert_allclose(again, expected, atol=1e-5)
    orient = rotations.axis_angle_to_matrix(params.global_orient)
    out = forward_matrices(model, orient, R, params.betas, params.transl)
    np.testing.assert_allclose(out.vertices, expected, atol=2e-6)


@pytest.mark.parametrize("name", sorted(mano.joints.FINGERTIPS))
def test_fingertip_sets(model, name):
    out = forward(model, random_params(), fingertips=name)
    tips = np.array(mano.joints.FINGERTIPS[name])
    np.testing.assert_array_equal(out.joints[:, 4::4], out.vertices[:, tips])


def test_unknown_fingertips_are_named(model):
    with pytest.raises(InputError, match="'nails'.*freihand.*smplx"):
        mano.forward(model, mano.zeros(), fingertips="nails")


def test_canonical_order_follows_the_names():
    """Each canonical joint comes from the model joint of the same name, or a tip."""
    names = mano.joints.MODEL_JOINT_NAMES + tuple(
        f"{finger}_4" for finger in mano.joints.FINGERS
    )
    picked = [names[i] for i in mano.joints.CANONICAL_FROM_MODEL]
    assert tuple(picked) == mano.joints.JOINT_NAMES
    interhand = [f"{f}_{i}" for f in mano.joints.FINGERS for i in (4, 3, 2, 1)]
    picked = [(*interhand, "wrist")[i] for i in mano.joints.CANONICAL_FROM_INTERHAND]
    assert tuple(picked) == mano.joints.JOINT_NAMES
    for order, found in (
        (mano.joints.JOINT_NAMES, mano.joints.CANONICAL),
        (mano.joints.MODEL_JOINT_NAMES, mano.joints.MANO16),
    ):
        for name, place in found._asdict().items():
            assert order[place] == name.lower().replace("base", "1")
    tips = [mano.joints.JOINT_NAMES[tip] for tip in mano.joints.TIPS]
    assert tips == [f"{finger}_4" for finger in mano.joints.FINGERS]
    for parent, child in mano.joints.BONES:
        a, b = mano.joints.JOINT_NAMES[parent], mano.joints.JOINT_NAMES[child]
        assert a == ("wrist" if b.endswith("_1") else f"{b[:-1]}{int(b[-1]) - 1}")


def energy(params: ManoParams, model) -> jax.Array:
    out = mano.forward(model, params)
    weights = jnp.sin(jnp.arange(778.0))[:, None]
    return jnp.sum(weights * out.vertices) + jnp.sum(out.joints**2)


def test_gradients_are_those_of_finite_differences(model):
    params = random_params()
    total = jax.jit(lambda p: energy(p, model))
    check_grads(total, (params,), 1, modes=["rev"], atol=0.05, rtol=0.05)


@pytest.mark.parametrize("angle", [0.0, 1e-8, 1e-4, np.pi - 1e-6, np.pi, 2 * np.pi])
@pytest.mark.slow
def test_no_nan_gradients_at_singular_rotations(model, angle):
    params = mano.zeros()._replace(
        global_orient=jnp.zeros((2, 3)).at[:, 1].set(angle),
        hand_pose=jnp.zeros((2, 15, 3)).at[..., 2].set(angle) - model.pose_mean,
    )
    gradient = jax.jit(jax.grad(energy))(params, model)
    for leaf in jax.tree.leaves(gradient):
        assert np.isfinite(leaf).all()
    assert np.abs(gradient.hand_pose).min() > 0


def test_no_nan_gradients_through_to_camera_at_zero_and_pi(model):
    def total(params, R):
        moved = mano.to_camera(model, params, R, jnp.ones(3))
        return jnp.sum(moved.global_orient) + jnp.sum(moved.transl)

    gradient = jax.jit(jax.grad(total))
    for R in (jnp.eye(3), jnp.diag(jnp.array([1.0, -1.0, -1.0]))):
        for leaf in jax.tree.leaves(gradient(mano.zeros(), R)):
            assert np.isfinite(leaf).all()


@pytest.mark.parametrize("count", [64, 70])
@pytest.mark.slow
def test_chunked_path_equals_the_plain_one(model, count, monkeypatch):
    """Values and gradients, also where the last chunk is padded."""
    params = random_params(count)
    run = jax.jit(jax.value_and_grad(lambda p: energy(p, model)))
    jaxpr = str(jax.make_jaxpr(run)(params))
    assert "scan" in jaxpr
    value, gradient = run(params)
    vertices = forward(model, params).vertices
    module = importlib.import_module("twohand_jax.mano.forward")
    monkeypatch.setattr(module, "CPU_CHUNK", 10**6)
    plain = jax.jit(jax.value_and_grad(lambda p: energy(p, model) * 1))
    assert "scan" not in str(jax.make_jaxpr(plain)(params))
    expected, expected_gradient = plain(params)
    np.testing.assert_allclose(value, expected, rtol=1e-4)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=2e-4 * np.abs(b).max()),
        gradient,
        expected_gradient,
    )
    out = jax.jit(lambda p: mano.forward(model, p))(params)
    np.testing.assert_allclose(vertices, out.vertices, atol=2e-6)
