"""The keypoint fit on hands whose truth is known."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from twohand_jax import mano
from twohand_jax.geometry import alignment, cameras, rotations, view
from twohand_jax.inference.fit import fit
from twohand_jax.inference.reconstruct import keypoint_error
from twohand_jax.mano import anatomy
from twohand_jax.types import ManoModel, ManoParams, Prediction

CAMERA = cameras.default(480, 720)


@pytest.fixture(scope="module")
def model() -> ManoModel:
    return mano.load()


@functools.cache
def compiled():
    return jax.jit(fit)


def predict(model: ManoModel, params: ManoParams) -> Prediction:
    geometry = mano.forward(model, params)
    return Prediction(
        mano=params,
        geometry=geometry,
        rel_trans=geometry.joints[1, 0] - geometry.joints[0, 0],
        camera=CAMERA,
        box=jnp.zeros((2, 4)),
        score=jnp.ones(2),
    )


def scene(model: ManoModel, seed: int) -> tuple[Prediction, Prediction, jax.Array]:
    """The truth, a network-like estimate of it, and the truth's exact keypoints.

    Both palms face the camera within half a radian, so the poses are well seen.
    """
    rng = np.random.default_rng(seed)

    def draw(sigma: float, *shape: int) -> jax.Array:
        return jnp.asarray(rng.normal(0, sigma, shape), jnp.float32)

    angles = np.zeros((2, 15, 3))
    angles[..., 0] = rng.uniform(0.0, 0.8, (2, 15))
    angles[:, 2:12:3, 0] = 0.6 * angles[:, 1:12:3, 0]
    angles[:, 12:] *= 0.4
    axes = anatomy.axes(model)
    pose = jnp.einsum("hjak,hja->hjk", axes, jnp.asarray(angles, jnp.float32))
    truth = ManoParams(
        global_orient=jnp.array([[1.57, 0.0, 0.0]] * 2) + draw(0.3, 2, 3),
        hand_pose=pose - model.pose_mean,
        betas=jnp.tile(draw(0.7, 1, 10), (2, 1)),
        transl=jnp.array([[-0.13, 0.0, 0.6], [0.13, 0.0, 0.6]]) + draw(0.02, 2, 3),
    )
    turn = rotations.axis_angle_to_matrix(draw(0.15, 2, 3))
    orient = turn @ rotations.axis_angle_to_matrix(truth.global_orient)
    wrong = draw(1.0, 2, 15, 3) * jnp.array([0.25, 0.05, 0.1])
    start = ManoParams(
        global_orient=rotations.matrix_to_axis_angle(orient),
        hand_pose=truth.hand_pose + jnp.einsum("hjak,hja->hjk", axes, wrong),
        betas=jnp.zeros((2, 10)),
        transl=truth.transl + draw(0.01, 2, 3),
    )
    true = predict(model, truth)
    pixels = cameras.project(true.geometry.joints, CAMERA)
    keypoints = jnp.concatenate([pixels, jnp.ones((2, 21, 1))], axis=-1)
    return true, predict(model, start), keypoints


def pa_mpjpe_mm(found: Prediction, true: Prediction) -> np.ndarray:
    joints, target = found.geometry.joints, true.geometry.joints
    moved = alignment.procrustes(joints, target)
    return 1e3 * np.asarray(jnp.linalg.norm(moved - target, axis=-1).mean(-1))


@pytest.mark.slow
def test_recovers_2d_and_improves_3d(model: ManoModel) -> None:
    before, after, error = [], [], []
    for seed in range(6):
        true, start, keypoints = scene(model, seed)
        fitted = compiled()(model, start, keypoints)
        error.append(keypoint_error(fitted, np.asarray(keypoints)))
        before.append(pa_mpjpe_mm(start, true))
        after.append(pa_mpjpe_mm(fitted, true))
    assert np.max(error) < 0.01
    assert np.mean(after) < 0.5 * np.mean(before)
    assert (np.array(after) < np.array(before)).mean() > 0.8


def test_result_is_consistent_and_plausible(model: ManoModel) -> None:
    _, start, keypoints = scene(model, 10)
    fitted = compiled()(model, start, keypoints)
    geometry = mano.forward(model, fitted.mano)
    np.testing.assert_allclose(fitted.geometry.joints, geometry.joints, atol=1e-5)
    wrists = fitted.geometry.joints[:, 0]
    np.testing.assert_allclose(fitted.rel_trans, wrists[1] - wrists[0], atol=1e-6)
    angles = anatomy.angles(model, fitted.mano.hand_pose)
    limits = anatomy.flexion_limits(model)
    assert np.abs(anatomy.implausibility(angles, limits)[..., 0]).max() < 2.5
    assert np.abs(np.asarray(fitted.mano.betas)).max() < 4


def test_relative_depth_stays_with_the_network(model: ManoModel) -> None:
    true, start, keypoints = scene(model, 11)
    fitted = compiled()(model, start, keypoints)
    ratio = fitted.geometry.joints[:, 0, 2] / start.geometry.joints[:, 0, 2]
    assert abs(float(ratio[0] - ratio[1])) < 0.03


def test_absent_hand_and_outliers(model: ManoModel) -> None:
    _, start, keypoints = scene(model, 12)
    keypoints = np.array(keypoints)
    keypoints[0, 8, :2] += 200.0  # one wild fingertip
    keypoints[1, :, 2] = 0.0
    fitted = compiled()(model, start, jnp.asarray(keypoints))
    for new, old in zip(fitted.mano, start.mano, strict=True):
        np.testing.assert_array_equal(new[1], old[1])
    keypoints[0, 8, 2] = 0.0
    assert keypoint_error(fitted, keypoints)[0] < 0.04


def test_doubtful_evidence_hardly_moves_a_hand(model: ManoModel) -> None:
    """A hand that a detector took for another, turned by half a circle."""
    true, start, keypoints = scene(model, 12)
    pixels = keypoints[..., :2]
    middle = jnp.mean(pixels, axis=1, keepdims=True)
    wrong = jnp.concatenate([2 * middle - pixels, keypoints[..., 2:]], axis=-1)
    off = {}
    for score in (1.0, 1e-5):
        doubted = wrong * jnp.array([1.0, 1.0, score])
        found = compiled()(model, start, doubted)
        gap = found.geometry.joints - true.geometry.joints
        off[score] = float(jnp.linalg.norm(gap, axis=-1).mean())
    begun = start.geometry.joints - true.geometry.joints
    assert off[1e-5] < float(jnp.linalg.norm(begun, axis=-1).mean()) + 0.01
    assert off[1e-5] < 0.5 * off[1.0]


def test_without_any_keypoints_nothing_changes(model: ManoModel) -> None:
    _, start, _ = scene(model, 13)
    fitted = compiled()(model, start, jnp.zeros((2, 21, 3)))
    for new, old in zip(fitted.mano, start.mano, strict=True):
        np.testing.assert_array_equal(new, old)


def test_start_may_lie_far_off_in_the_picture(model: ManoModel) -> None:
    _, start, keypoints = scene(model, 14)
    turn = rotations.rotation_z(jnp.array([2.0, -1.0]))
    orient = turn @ rotations.axis_angle_to_matrix(start.mano.global_orient)
    params = start.mano._replace(
        global_orient=rotations.matrix_to_axis_angle(orient),
        transl=start.mano.transl * jnp.array([0.3, 1.0, 0.4]),
    )
    fitted = compiled()(model, predict(model, params), keypoints)
    assert (keypoint_error(fitted, np.asarray(keypoints)) < 0.01).all()
    depth = fitted.geometry.joints[:, 0, 2]
    np.testing.assert_allclose(depth, start.geometry.joints[:, 0, 2], rtol=0.2)


def detected(true: Prediction, keypoints: jax.Array, *, scale: float) -> jax.Array:
    """Joints in metres as a crop's detector gives them: own size, own middle.

    The ray to the hand is the detector's optical axis.
    """
    middle = jnp.mean(keypoints[..., :2], axis=1)
    R = view.toward(cameras.backproject(middle, jnp.ones(2), CAMERA))
    joints = true.geometry.joints - true.geometry.joints.mean(axis=1, keepdims=True)
    return scale * jnp.einsum("hji,hnj->hni", R, joints)


@pytest.mark.parametrize("scale", [0.8, 1.0, 1.3])
@pytest.mark.slow
def test_joints_in_metres_tell_depth_whatever_their_size(
    model: ManoModel, scale: float
) -> None:
    """A palm 0.8 rad off and 2D points alone leave fingers bent the wrong way."""
    errors = []
    for seed in range(4):
        true, start, keypoints = scene(model, 20 + seed)
        turn = rotations.axis_angle_to_matrix(jnp.array([[0.8, 0.0, 0.0]] * 2))
        orient = turn @ rotations.axis_angle_to_matrix(start.mano.global_orient)
        off = predict(
            model,
            start.mano._replace(global_orient=rotations.matrix_to_axis_angle(orient)),
        )
        world = detected(true, keypoints, scale=scale)
        without, found = (
            compiled()(model, off, keypoints, each) for each in (None, world)
        )
        errors.append([pa_mpjpe_mm(each, true) for each in (off, without, found)])
        assert (keypoint_error(found, np.asarray(keypoints)) < 0.01).all()
    off, without, found = np.mean(errors, axis=(0, 2))
    assert found < 3.0
    assert found < 0.5 * min(off, without)


def test_unknown_joints_in_metres_are_no_evidence(model: ManoModel) -> None:
    true, start, keypoints = scene(model, 30)
    world = detected(true, keypoints, scale=1.0)
    without = compiled()(model, start, keypoints)
    of_left = compiled()(model, start, keypoints, world.at[0].set(0.0))
    none = compiled()(model, start, keypoints, jnp.zeros_like(world))
    np.testing.assert_allclose(none.geometry.joints, without.geometry.joints, atol=1e-6)
    moved = np.abs(of_left.geometry.joints - without.geometry.joints).max(axis=(1, 2))
    # Both hands share shape and depth, so the right one follows a little.
    assert moved[0] < 0.25 * moved[1]


def test_wild_joints_in_metres_do_not_carry_the_hand_away(model: ManoModel) -> None:
    true, start, keypoints = scene(model, 31)
    world = detected(true, keypoints, scale=1.0)
    wild = world.at[:, 7].add(jnp.array([0.0, 0.0, 0.06]))
    found = compiled()(model, start, keypoints, wild)
    assert (pa_mpjpe_mm(found, true) < 8.0).all()
    assert (keypoint_error(found, np.asarray(keypoints)) < 0.015).all()
