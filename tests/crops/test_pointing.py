"""Crops that are turned so that fingers point up."""

import functools
import math

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.data import scenes
from tests.inference import networks
from twohand_jax import mano
from twohand_jax.crops import cue_table, labels
from twohand_jax.crops import inputs as inputs_
from twohand_jax.crops.augment import AugmentConfig, CropConfig, augment, prepare
from twohand_jax.crops.motion import motion
from twohand_jax.crops.pointing import pointing_angles, record_angles
from twohand_jax.cues import palm
from twohand_jax.evaluation import methods
from twohand_jax.geometry import affine, rotations
from twohand_jax.inference import predict
from twohand_jax.inference.detections import Detections
from twohand_jax.mano.joints import CANONICAL, WRIST
from twohand_jax.types import LEFT, RIGHT

CROP = CropConfig(crop_size=64, fingers_up=True, crop_view=True)
UPRIGHT = CropConfig(crop_size=64, crop_view=True)
TURNS = (0.4, -1.3, 3.0)
prepared = jax.jit(prepare, static_argnames="crop")


@pytest.fixture(scope="module")
def model():
    return mano.load()


@pytest.fixture(scope="module")
def scene(model):
    """Two hands that point anywhere, with surface normals beside the other cues."""
    batch = scenes.batch(0, (2,), model)
    shape = batch.cues.values["depth"].shape
    normals = np.random.default_rng(0).normal(size=(*shape, 3)).astype(np.float32)
    known = batch.cues.present["depth"]
    return batch._replace(cues=batch.cues.put("normals", jnp.asarray(normals), known))


def turned(batch, model, angle: float):
    """The batch of a picture turned about its camera's centre; pixels stay where
    they are on the canvas, and its map takes the motion in."""
    count = batch.weight.shape
    move = motion(
        jnp.zeros(count, bool), jnp.full(count, angle), batch.targets.camera.center
    )
    return batch._replace(
        T_canvas_image=affine.compose(
            batch.T_canvas_image, affine.invert(move.T_moved_image)
        ),
        cues=cue_table.move(batch.cues, move),
        targets=labels.move_targets(batch.targets, move, model),
    )


def test_angles_are_those_of_mediapipes_regions():
    points = np.random.default_rng(0).normal(size=(3, 2, 21, 2))
    known = np.ones((3, 2, 21), bool)
    found = pointing_angles(points, known)
    ways = points[..., CANONICAL.MIDDLE_BASE, :] - points[..., WRIST, :]
    expected = [palm.pointing_angle(way) for way in ways.reshape(-1, 2)]
    np.testing.assert_allclose(found.ravel(), expected)
    traced = pointing_angles(jnp.asarray(points), jnp.asarray(known))
    np.testing.assert_allclose(traced, found, atol=1e-5)


@pytest.mark.parametrize("joint", [WRIST, CANONICAL.MIDDLE_BASE])
def test_without_both_joints_a_hand_stands_upright(joint):
    points = np.random.default_rng(0).normal(size=(21, 2))
    known = np.arange(21) != joint
    assert pointing_angles(points, known) == 0
    assert pointing_angles(points * 0, known | True) == 0


def test_keypoints_tell_before_labels(scene):
    targets = scene.targets
    by_labels = record_angles(targets, scene.cues.only(()))
    apart = scene.cues.values["keypoints"][..., ::-1, :, :]
    cues = scene.cues.put("keypoints", apart, jnp.array([True, False]))
    found = record_angles(targets, cues)
    np.testing.assert_allclose(found[0], by_labels[0, ::-1], atol=1e-5)
    np.testing.assert_array_equal(found[1], by_labels[1])
    blind = cues.put("keypoints", apart.at[0, RIGHT, WRIST, 2].set(0.0), True)
    np.testing.assert_array_equal(
        record_angles(targets, blind)[0, RIGHT], by_labels[0, RIGHT]
    )
    nothing = targets._replace(joints_2d_valid=targets.joints_2d_valid & False)
    assert not record_angles(nothing, scene.cues.only(())).any()


def test_the_middle_finger_stands_above_the_wrist_in_both_crops(scene):
    _, targets = prepared(scene, crop=CROP)
    ends = targets.joints_2d[..., jnp.array([WRIST, CANONICAL.MIDDLE_BASE]), :]
    across, down = np.moveaxis(np.asarray(ends[..., 1, :] - ends[..., 0, :]), -1, 0)
    np.testing.assert_allclose(across, 0.0, atol=1e-3)
    assert (down < 0).all()
    middle = (targets.joints_2d.max(axis=-2) + targets.joints_2d.min(axis=-2)) / 2
    np.testing.assert_allclose(middle, (64 - 1) / 2, atol=1e-3)


@pytest.mark.parametrize("angle", TURNS)
@pytest.mark.slow
def test_a_turned_picture_gives_the_same_crops_and_labels(scene, model, angle):
    before, labelled = prepared(scene, crop=CROP)
    after, relabelled = prepared(turned(scene, model, angle), crop=CROP)
    assert np.abs(before.T_crop_image - after.T_crop_image).max() > 0.1
    np.testing.assert_allclose(after.image, before.image, atol=2e-3)
    np.testing.assert_array_equal(after.overlap, before.overlap)
    for name, drawn in before.cues.items():
        gap = np.abs(np.asarray(after.cues[name]) - drawn)
        assert (gap > 1e-3).mean() < 2e-3, name  # a border's pixel may go either way
    hands, same = relabelled.mano, labelled.mano
    for new, old in (
        (relabelled.joints_2d, labelled.joints_2d),
        (_about_wrist(relabelled.joints_3d), _about_wrist(labelled.joints_3d)),
        *(
            (rotations.axis_angle_to_matrix(x), rotations.axis_angle_to_matrix(y))
            for x, y in zip(hands[:2], same[:2], strict=True)
        ),
    ):
        np.testing.assert_allclose(new, old, atol=2e-3)


def _about_wrist(joints):
    return joints - joints[..., :1, :]


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> predict.Trained:
    return networks.saved(
        tmp_path_factory.mktemp("up"), crop__fingers_up=True, crop__crop_view=True
    )


@pytest.fixture(scope="module")
def ask(trained, model):
    said = jax.jit(
        functools.partial(
            predict.predict, apply=trained.make_apply(), crop=trained.crop
        )
    )
    return lambda view: said(trained.variables, model, view)


@pytest.mark.parametrize("angle", TURNS)
@pytest.mark.slow
def test_predictions_turn_with_the_picture(scene, model, trained, ask, angle):
    views = (
        methods.view_of(batch, crop=trained.crop)
        for batch in (scene, turned(scene, model, angle))
    )
    before, after = map(ask, views)
    R = np.asarray(rotations.rotation_z(jnp.asarray(angle)))
    for name in ("vertices", "joints"):
        expected = np.asarray(getattr(before.geometry, name)) @ R.T
        found = np.asarray(getattr(after.geometry, name))
        size = np.ptp(expected, axis=-2).max()
        np.testing.assert_allclose(found, expected, atol=2e-3 * size)
    assert np.abs(before.geometry.joints - after.geometry.joints).max() > 0.01


def test_a_picture_turned_pixel_by_pixel_gives_nearly_the_same_crops(scene, model):
    """Canvases as pictures, with their pixels resampled."""
    angle, size = 0.7, scene.canvas.shape[-2]
    T = scene.T_canvas_image
    plain = scene._replace(
        T_canvas_image=jnp.broadcast_to(jnp.eye(2, 3), T.shape),
        cues=scene.cues.only(()),
    )
    points = affine.apply(T[:, None], scene.targets.joints_2d)
    plain = plain._replace(targets=scene.targets._replace(joints_2d=points))
    middle = (size - 1) / 2
    warp = cv2.getRotationMatrix2D((middle, middle), -math.degrees(angle), 1.0)
    turned_canvas = np.stack(
        [cv2.warpAffine(np.asarray(one), warp, (size, size)) for one in scene.canvas]
    )
    moved = affine.apply(jnp.asarray(warp, jnp.float32), points)
    other = plain._replace(
        canvas=jnp.asarray(turned_canvas),
        targets=plain.targets._replace(joints_2d=moved),
    )
    first, second = (
        np.asarray(prepared(one, crop=CROP)[0].image) for one in (plain, other)
    )
    shown = (np.minimum(first, second)[..., 2] > 0.29)[..., None]
    gap = np.where(shown, np.abs(first - second), 0.0)
    assert shown.mean() > 0.7 and np.ptp(first[..., :2]) > 0.5
    assert gap.mean() < 2e-3 and gap.max() < 0.3  # two resamplings of sharp dots


def test_upright_crops_do_not_look_at_the_angle(scene):
    cut = functools.partial(
        inputs_.make_inputs,
        scene.canvas,
        scene.T_canvas_image,
        scene.cues,
        inputs_.hand_boxes(scene.targets, crop=UPRIGHT),
        scene.targets.hand_valid,
        crop=UPRIGHT,
    )
    jax.tree.map(np.testing.assert_array_equal, cut(), cut(angle=jnp.ones((2, 2))))


def test_an_absent_hands_crop_is_the_others_turned_as_that_one(scene):
    targets = scene.targets
    angle = inputs_.hand_angles(targets, scene.cues, crop=CROP)
    box = inputs_.hand_boxes(targets, crop=CROP, angle=angle)
    there = jnp.array([[True, False], [False, False]])
    found = inputs_.make_inputs(
        scene.canvas,
        scene.T_canvas_image,
        scene.cues,
        box,
        there,
        crop=CROP,
        angle=angle,
    )
    T = np.asarray(found.T_crop_image)
    np.testing.assert_allclose(T[0, LEFT, 1], T[0, RIGHT, 1], atol=1e-4)
    np.testing.assert_allclose(T[0, LEFT, 0, :2], -T[0, RIGHT, 0, :2], atol=1e-5)
    np.testing.assert_array_equal(T[1, :, 1, 0], 0.0)


@pytest.mark.slow
def test_angles_are_disturbed_within_their_limit_and_nothing_else(scene, model):
    still = AugmentConfig(rotation_probability=0.0, box_jitter=0.05)
    shaken = AugmentConfig(rotation_probability=0.0, box_jitter=0.05, angle_jitter=0.2)
    key = jax.random.key(0)

    def maps(config):
        run = functools.partial(augment, crop=CROP, augment=config)
        inputs, _ = jax.jit(run)(key, scene, model)
        return inputs.T_crop_image, inputs.present

    (before, flags), (after, same) = maps(still), maps(shaken)
    jax.tree.map(np.testing.assert_array_equal, same, flags)
    angles = [np.arctan2(-T[..., 1, 0], T[..., 1, 1]) for T in (before, after)]
    gap = np.angle(np.exp(1j * (angles[1] - angles[0])))
    assert (np.abs(gap) <= 0.2 + 1e-4).all() and (np.abs(gap) > 1e-3).all()


def test_photographs_are_turned_as_records_are(scene):
    keypoints = np.asarray(scene.cues.values["keypoints"])
    for row in range(2):
        hands = Detections(
            np.asarray(scene.targets.box[row]), keypoints[row], np.ones(2, np.float32)
        )
        box, angle = hands.turned()
        view = methods.view_of(scene, crop=CROP)
        np.testing.assert_allclose(box, view.box[row], atol=1e-2)
        np.testing.assert_allclose(angle, view.angle[row], atol=1e-5)
        few = hands._replace(keypoints=keypoints[row] * (np.arange(21) < 10)[:, None])
        box, angle = few.turned()
        np.testing.assert_array_equal(box, hands.boxes)
        np.testing.assert_allclose(angle, view.angle[row], atol=1e-5)


def test_a_canvas_has_room_for_crops_that_turn():
    assert CROP.canvas().room == pytest.approx(2**0.5)
    assert UPRIGHT.canvas().room == 1.0
    assert CROP.canvas(room=2.0).room == 2.0
