import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.data import scenes
from tests.mano import fake_mano
from twohand_jax import mano
from twohand_jax.crops import inputs as inputs_module
from twohand_jax.crops.augment import CropConfig, prepare
from twohand_jax.crops.inputs import virtual_cameras
from twohand_jax.crops.predictions import decode
from twohand_jax.geometry import affine, cameras, rotations
from twohand_jax.mano import joint_set, loading
from twohand_jax.types import LEFT, RIGHT, Output

SIZE = 64


@pytest.fixture(scope="module")
def model():
    return mano.load()


@functools.partial(jax.jit, static_argnames="crop")
def run(output, model, inputs, camera, *, crop):
    return decode(output, model, inputs, camera, crop=crop)


@functools.partial(jax.jit, static_argnames="crop")
def labels(scene, crop):
    """Without the pictures, which take long to compile."""
    inputs, targets = prepare(scene, crop=crop)
    return inputs._replace(image=None, cues={}), targets


INTERWILD = {
    "center": "half",
    "flat_hand_mean": False,
    "wrist": "regressed",
}


def setup(
    model, *, crop_view: bool, fingers_up=False, shape=(3,), seed=0, by="camera", **more
):
    """A scene, and what a perfect network would say about it."""
    crop = CropConfig(
        crop_size=SIZE, crop_view=crop_view, fingers_up=fingers_up, placed_by=by, **more
    )
    scene = scenes.batch(seed, shape, model)
    inputs, targets = labels(scene, crop)
    mean = model.pose_mean[RIGHT] if crop.flat_hand_mean else 0.0
    pose = rotations.axis_angle_to_matrix(targets.mano.hand_pose + mean)
    orient = rotations.axis_angle_to_matrix(targets.mano.global_orient)
    lens = virtual_cameras(crop)
    linear = inputs.T_crop_image[..., :2]
    scale = jnp.sqrt(jnp.abs(jnp.linalg.det(linear)))
    depth = scene.targets.joints_3d[..., 0, 2]
    depth = depth * lens.focal[..., 0] / (scenes.FOCAL * scale)
    place = cameras.backproject(targets.joints_2d[..., :1, :], depth[..., None], lens)
    cells = targets.joints_2d * (crop.cells / SIZE)
    output = Output(
        joints_25d=jnp.concatenate([cells, jnp.zeros((*shape, 2, 21, 1))], axis=-1),
        global_orient_6d=rotations.matrix_to_rotation_6d(orient),
        hand_pose_6d=rotations.matrix_to_rotation_6d(pose),
        betas=targets.mano.betas,
        camera=place[..., 0, :],
        rel_trans=targets.rel_trans,
    )
    return crop, scene, inputs, output


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shape", "crop_view", "fingers_up", "by"),
    [
        ((), False, False, "camera"),
        ((3,), True, False, "camera"),
        ((2, 1, 2), True, False, "joints"),
        ((3,), False, True, "camera"),
        ((2, 1, 2), True, True, "joints"),
    ],
    ids=str,
)
def test_a_perfect_network_gives_the_truth(model, crop_view, fingers_up, shape, by):
    crop, scene, inputs, output = setup(
        model, crop_view=crop_view, fingers_up=fingers_up, shape=shape, by=by
    )
    truth = scene.targets
    got = run(output, model, inputs, truth.camera, crop=crop)
    expected = scenes.pose(model, truth.mano)
    np.testing.assert_allclose(got.geometry.joints, expected.joints, atol=1e-5)
    np.testing.assert_allclose(got.geometry.vertices, expected.vertices, atol=1e-5)
    np.testing.assert_allclose(got.rel_trans, truth.rel_trans, atol=1e-5)
    reposed = scenes.pose(model, got.mano)
    np.testing.assert_allclose(got.geometry.joints, reposed.joints, atol=1e-6)


def bent_model():
    """Hands whose mean pose is bent, and whose surface says where joints are."""
    fields = fake_mano.corrected_fields(RIGHT)
    model = fake_mano.model_of(fields, loading.mirrored(fields))
    assert np.abs(model.pose_mean).max() > 0.1
    return model


@pytest.mark.slow
@pytest.mark.parametrize("by", ["camera", "transnet"])
def test_a_perfect_interwild_gives_the_truth(by):
    """Poses relative to the mean, another centre, wrists regressed from the surface."""
    model = bent_model()
    crop, scene, inputs, output = setup(
        model, crop_view=False, seed=3, by=by, **INTERWILD
    )
    truth = scene.targets
    got = run(output, model, inputs, truth.camera, crop=crop)
    expected = scenes.pose(model, truth.mano)
    joints, true = (
        joint_set.INTERWILD.of(model, hands) for hands in (got.geometry, expected)
    )
    # The wrists come to lie where the labels have theirs, which are kinematic.
    close = functools.partial(np.testing.assert_allclose, atol=1e-5)
    close(joints - joints[..., :1, :], true - true[..., :1, :])
    surface, true_surface = got.geometry.vertices, expected.vertices
    close(surface - joints[..., :1, :], true_surface - true[..., :1, :])
    close(got.rel_trans, joints[..., LEFT, 0, :] - joints[..., RIGHT, 0, :])
    close(joints[..., 0, :], truth.joints_3d[..., 0, :], atol=1e-4)


def test_transnet_places_all_pairs_of_two_hands(model):
    crop, scene, inputs, output = setup(model, crop_view=False, by="transnet")
    inputs = inputs._replace(
        overlap=jnp.array([True, False, False]),
        hand_valid=jnp.array([[True, True], [True, True], [False, True]]),
    )
    told = jnp.array([0.3, 0.2, 0.1])
    output = output._replace(rel_trans=jnp.broadcast_to(told, (3, 3)))
    got = run(output, model, inputs, scene.targets.camera, crop=crop)
    np.testing.assert_allclose(got.rel_trans[:2], [told, told], atol=1e-6)
    assert np.abs(got.rel_trans[2] - told).max() > 0.01


@pytest.mark.parametrize("center", ["middle", "half"])
def test_a_left_crop_is_a_mirrored_right_crop(center):
    crop = CropConfig(crop_size=SIZE, center=center)
    box = jnp.array([10.0, 20.0, 42.0, 52.0])
    T_crop_image = jax.jit(inputs_module._crop_maps, static_argnums=3)(
        jnp.stack([box, box]), None, 1.0, crop
    )
    points = jnp.array([[3.0, 50.0], [26.0, 36.0]])
    right, left = affine.apply(T_crop_image, jnp.stack([points, points]))
    mirror = np.array([SIZE - 1.0, 0.0]) + np.array([-1.0, 1.0]) * right
    np.testing.assert_allclose(left, mirror, atol=1e-4)
    middle = (SIZE - 1) / 2 if center == "middle" else SIZE / 2
    np.testing.assert_allclose(right[1], [middle, middle], atol=1e-4)
    seen_from = virtual_cameras(crop).center
    np.testing.assert_array_equal(seen_from[RIGHT], [SIZE / 2, SIZE / 2])
    if center == "half":
        np.testing.assert_array_equal(seen_from[LEFT], [SIZE / 2 - 1, SIZE / 2])


@pytest.mark.slow
def test_only_overlapping_hands_use_the_relative_translation(model):
    crop, scene, inputs, output = setup(model, crop_view=False)
    inputs = inputs._replace(overlap=jnp.array([True, False, False]))
    told = jnp.array([0.3, 0.2, 0.1])
    output = output._replace(rel_trans=jnp.broadcast_to(told, (3, 3)))
    camera = scene.targets.camera
    got = run(output, model, inputs, camera, crop=crop)
    np.testing.assert_allclose(got.rel_trans[0], told, atol=1e-6)
    np.testing.assert_allclose(
        got.rel_trans[1:], scene.targets.rel_trans[1:], atol=1e-5
    )
    wrists = got.geometry.joints[:, :, 0]
    np.testing.assert_allclose(
        wrists[:, LEFT] - wrists[:, RIGHT], got.rel_trans, atol=1e-6
    )


def test_by_the_joints_every_pair_has_transnets_depth_and_its_own_pixels(model):
    crop, scene, inputs, output = setup(model, crop_view=True, by="joints")
    truth, camera = scene.targets, scene.targets.camera
    inputs = inputs._replace(
        overlap=jnp.array([True, False, False]),
        hand_valid=jnp.array([[True, True], [True, True], [True, False]]),
    )
    told = jnp.broadcast_to(jnp.array([9.0, 9.0, 0.04]), (3, 3))
    got = run(output._replace(rel_trans=told), model, inputs, camera, crop=crop)
    wrists, true = got.geometry.joints[:, :, 0], truth.joints_3d[:, :, 0]
    np.testing.assert_allclose(got.rel_trans[:2, 2], 0.04, atol=1e-5)
    np.testing.assert_allclose(
        wrists[:2, :, 2].mean(axis=1), true[:2, :, 2].mean(axis=1), atol=1e-4
    )
    seen = wrists[..., :2] / wrists[..., 2:]
    np.testing.assert_allclose(seen, true[..., :2] / true[..., 2:], atol=1e-4)
    np.testing.assert_allclose(wrists[2, RIGHT], true[2, RIGHT], atol=1e-4)


def test_without_an_estimate_places_give_the_relative_translation(model):
    """Of overlapping hands as well: a network without transnet says nothing."""
    crop, scene, inputs, output = setup(model, crop_view=False)
    inputs = inputs._replace(overlap=jnp.ones(3, bool))
    silent = output._replace(rel_trans=None)
    got = run(silent, model, inputs, scene.targets.camera, crop=crop)
    np.testing.assert_allclose(got.rel_trans, scene.targets.rel_trans, atol=1e-5)
    expected = scenes.pose(model, scene.targets.mano)
    np.testing.assert_allclose(got.geometry.joints, expected.joints, atol=1e-5)


def test_absent_hands_have_no_score(model):
    crop, scene, inputs, output = setup(model, crop_view=False)
    there = jnp.array([[True, False], [False, False], [True, True]])
    got = run(
        output,
        model,
        inputs._replace(hand_valid=there),
        scene.targets.camera,
        crop=crop,
    )
    np.testing.assert_array_equal(got.score > 0, there)


@jax.jit
def in_crop(output, model):
    """The joints in the crop's virtual camera, which the projection loss trains."""
    root = rotations.rotation_6d_to_matrix(output.global_orient_6d)
    pose = rotations.rotation_6d_to_matrix(output.hand_pose_6d)
    _, joints = mano.forward_side(
        model, RIGHT, root, pose, output.betas, jnp.zeros_like(output.camera)
    )
    placed = joints - joints[..., :1, :] + output.camera[..., None, :]
    return cameras.project(placed, cameras.virtual(SIZE, focal=5000.0))


def off_crop(model, crop_view: bool) -> float:
    """Mean distance, as a share of the hand box, between crop and picture camera."""
    crop, scene, inputs, output = setup(model, crop_view=crop_view)
    camera = scene.targets.camera
    got = run(output, model, inputs, camera, crop=crop)
    each = jax.tree.map(lambda x: x[..., None, :], camera)
    seen = affine.apply(inputs.T_crop_image, cameras.project(got.geometry.joints, each))
    gap = jnp.linalg.norm(in_crop(output, model) - seen, axis=-1)
    return float(jnp.mean(gap) / (SIZE / crop.crop_scale))


def test_the_picture_shows_joints_where_the_crop_camera_does(model):
    """Looking along the crop removes what its distance from the middle adds."""
    plain, turned = off_crop(model, False), off_crop(model, True)
    assert turned < 0.05
    assert turned < plain
