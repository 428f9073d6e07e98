import itertools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.data import scenes
from twohand_jax import mano
from twohand_jax.crops import labels
from twohand_jax.crops.augment import (
    AugmentConfig,
    CropConfig,
    augment,
    prepare,
    recolor,
)
from twohand_jax.errors import InputError
from twohand_jax.geometry import affine, cameras, rotations, view
from twohand_jax.mano import forward_side
from twohand_jax.types import LEFT, RIGHT, Batch, Inputs, Targets

CROP = CropConfig(crop_size=96)
NONE = AugmentConfig(
    scale=0.0, rotation_probability=0.0, color=(1.0, 1.0), flip_probability=0.0
)
# Whether the network speaks of a hand along its crop's ray, and as its crop is turned.
VIEWS = ((False, False), (True, False), (False, True), (True, True))
ONE_AT_A_TIME = {
    "nothing": {},
    "scale": {"scale": 0.25},
    "rotation": {"rotation_probability": 1.0},
    "flip": {"flip_probability": 1.0},
    "color": {"color": (0.8, 1.2)},
    "box": {"box_jitter": 0.1},
    "all": {
        "scale": 0.25,
        "rotation_probability": 1.0,
        "flip_probability": 0.5,
        "color": (0.8, 1.2),
        "box_jitter": 0.05,
        "angle_jitter": 0.2,
        "keypoint_jitter": 0.01,
        "cue_dropout": {"keypoints": 0.2, "segmentation": 0.2, "depth": 0.2},
        "grey_probability": 0.2,
        "noise": 0.01,
    },
}


def changed(**settings) -> AugmentConfig:
    base = {
        name: getattr(NONE, name)
        for name in ("scale", "rotation_probability", "color", "flip_probability")
    }
    return AugmentConfig(**(base | settings))


@pytest.fixture(scope="module")
def model():
    return mano.load()


@pytest.fixture(scope="module")
def batch(model):
    return scenes.batch(0, (4,), model)


PROGRAMS: dict[str, Callable[..., Any]] = {}  # by their settings, compiled once


def compiled(config: AugmentConfig, crop: CropConfig, pictures: bool):
    """The step, with or without the pictures, which take long to compile."""

    def step(key, batch, model):
        inputs, targets = augment(key, batch, model, crop=crop, augment=config)
        bare = inputs._replace(image=None, cues={})
        return (inputs if pictures else bare), targets

    return PROGRAMS.setdefault(f"{config} {crop} {pictures}", jax.jit(step))


def run(
    batch: Batch, model, config, *, crop=CROP, seed=0, pictures=True
) -> tuple[Inputs, Targets]:
    return compiled(config, crop, pictures)(jax.random.key(seed), batch, model)


def in_picture(joints, targets: Targets, inputs: Inputs, crop: CropConfig):
    """Joints of the network frame, back in the picture's camera frame."""
    joints = labels.mirror_left_points(joints)
    camera = jax.tree.map(lambda x: x[..., None, :], targets.camera)
    if crop.fingers_up:
        joints = view.turn(view.roll_rotation(inputs.T_crop_image), joints)
    if crop.crop_view:
        R = view.rotation(inputs.T_crop_image, camera, size=crop.crop_size)
        joints = view.turn(R, joints)
    return joints, camera


@pytest.mark.parametrize(("crop_view", "fingers_up"), VIEWS)
@pytest.mark.parametrize("name", ONE_AT_A_TIME)
@pytest.mark.slow
def test_projected_3d_labels_are_the_2d_labels(
    batch, model, name, crop_view, fingers_up
):
    crop = CropConfig(crop_size=96, crop_view=crop_view, fingers_up=fingers_up)
    inputs, targets = run(
        batch, model, changed(**ONE_AT_A_TIME[name]), crop=crop, pictures=False
    )
    joints, camera = in_picture(targets.joints_3d, targets, inputs, crop)
    px = affine.apply(inputs.T_crop_image, cameras.project(joints, camera))
    np.testing.assert_allclose(px, targets.joints_2d, atol=5e-3)
    relative = joints[:, LEFT, 0] - joints[:, RIGHT, 0]
    np.testing.assert_allclose(relative, targets.rel_trans, atol=2e-6)


@pytest.mark.parametrize(("crop_view", "fingers_up"), VIEWS)
@pytest.mark.parametrize("name", ["flip", "rotation", "all"])
def test_both_hands_pose_as_right_hands(batch, model, name, crop_view, fingers_up):
    crop = CropConfig(crop_size=96, crop_view=crop_view, fingers_up=fingers_up)
    _, targets = run(
        batch, model, changed(**ONE_AT_A_TIME[name]), crop=crop, pictures=False
    )
    hands = targets.mano
    joints = as_right_hands(model, hands)
    np.testing.assert_allclose(joints, targets.joints_3d, atol=3e-6)


@jax.jit
def as_right_hands(model, hands):
    R = rotations.axis_angle_to_matrix(hands.hand_pose + model.pose_mean[RIGHT])
    orient = rotations.axis_angle_to_matrix(hands.global_orient)
    return forward_side(model, RIGHT, orient, R, hands.betas, hands.transl)[1]


def centroid(picture: np.ndarray, around: np.ndarray) -> np.ndarray:
    """Middle of the brightness within four pixels."""
    y, x = np.mgrid[: picture.shape[0], : picture.shape[1]]
    near = np.hypot(x - around[0], y - around[1]) < 4
    weight = np.where(near, picture, 0.0)
    return np.array([(x * weight).sum(), (y * weight).sum()]) / weight.sum()


@pytest.mark.parametrize("name", ["rotation", "all"])
@pytest.mark.slow
def test_dots_of_the_picture_lie_at_the_2d_labels(model, name):
    """Each hand's dots have a channel of their own, which tells who was swapped."""
    scene = scenes.batch(7, (4,), model)
    crop = CropConfig(crop_size=96, crop_scale=1.2)
    settings = ONE_AT_A_TIME[name] | {"noise": 0.0, "grey_probability": 0.0}
    inputs, targets = run(scene, model, changed(**settings), crop=crop)
    flipped = np.linalg.det(inputs.T_crop_image[:, RIGHT, :, :2]) < 0
    assert not flipped.any()
    swapped = targets.mano.betas[:, RIGHT, 0] == scene.targets.mano.betas[:, LEFT, 0]
    found = 0
    for sample, hand in itertools.product(range(4), (RIGHT, LEFT)):
        channel = 1 - hand if swapped[sample] else hand
        picture = np.asarray(inputs.image[sample, hand, :, :, channel])
        points = np.asarray(targets.joints_2d[sample, hand])[list(scenes.DOTS)]
        gaps = np.linalg.norm(points[:, None] - points[None], axis=-1)
        alone = (gaps + 99 * np.eye(6)).min(axis=-1) > 11
        inside = ((points > 5) & (points < 90)).all(axis=-1)
        for point in points[alone & inside]:
            assert np.linalg.norm(centroid(picture, point) - point) < 0.15
            found += 1
    assert found > 15


@pytest.mark.slow
def test_skeleton_is_drawn_on_the_labels(model):
    scene = scenes.batch(8, (3,), model)
    crop = CropConfig(crop_size=96, gate=())
    inputs, targets = run(scene, model, changed(flip_probability=1.0), crop=crop)
    drawn = np.asarray(inputs.cues["keypoints"])
    px = np.asarray(targets.joints_2d).round().astype(int)
    inside = ((px >= 0) & (px < 96)).all(axis=-1)
    for sample, hand, joint in zip(*np.nonzero(inside), strict=True):
        x, y = px[sample, hand, joint]
        assert drawn[sample, hand, y, x].max() > 0.5


def mirrored(scene: Batch) -> Batch:
    """The mirrored picture with labels written down by hand."""
    targets, cues = scene.targets, scene.cues
    T = scene.T_canvas_image
    end = scene.canvas.shape[-2] - 1
    twice_middle = (end - 2 * T[..., 0, 2]) / T[..., 0, 0]

    def flip_x(points):
        total = twice_middle.reshape(-1, *(1,) * (points.ndim - 1))
        return jnp.concatenate([total - points[..., :1], points[..., 1:2]], axis=-1)

    sign = jnp.array([-1.0, 1.0, 1.0])
    box = targets.box[:, ::-1]
    total = twice_middle[:, None]
    box = jnp.stack(
        [total - box[..., 2], box[..., 1], total - box[..., 0], box[..., 3]], axis=-1
    )
    labels_, points = cues.values["segmentation"], cues.values["keypoints"][:, ::-1]
    keypoints = jnp.concatenate([flip_x(points), points[..., 2:]], axis=-1)
    values = {
        "keypoints": keypoints,
        "segmentation": jnp.array([0, 2, 1], jnp.uint8)[labels_[..., ::-1]],
        "depth": cues.values["depth"][..., ::-1],
    }
    return scene._replace(
        canvas=scene.canvas[:, :, ::-1],
        cues=cues._replace(values=values),
        targets=targets._replace(
            camera=targets.camera._replace(center=flip_x(targets.camera.center)),
            box=box,
            joints_2d=flip_x(targets.joints_2d[:, ::-1]),
            joints_3d=targets.joints_3d[:, ::-1] * sign,
            mano=mano.mirror(targets.mano),
            rel_trans=-targets.rel_trans * sign,
        ),
    )


@pytest.mark.slow
def test_a_mirrored_picture_gives_what_flipping_gives(batch, model):
    flipped = run(batch, model, changed(flip_probability=1.0))
    plain = jax.jit(lambda b: prepare(b, crop=CROP))(mirrored(batch))
    drawn = [{"image": one[0].image, **one[0].cues} for one in (flipped, plain)]
    assert drawn[0].keys() == {"image", "keypoints", "segmentation", "depth"}
    for name in drawn[0]:
        got, expected = (one[name] for one in drawn)
        assert np.abs(got - expected).mean() < 1e-4, name
        # A pixel that lies on the edge of two may round to the other one.
        assert (np.abs(got - expected) > 0.02).mean() < 2e-3, name
    np.testing.assert_array_equal(flipped[0].overlap, plain[0].overlap)
    for got, expected in zip(
        jax.tree.leaves((flipped[0].T_crop_image, flipped[0].box, flipped[1])),
        jax.tree.leaves((plain[0].T_crop_image, plain[0].box, plain[1])),
        strict=True,
    ):
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=2e-3)


@pytest.mark.slow
def test_no_change_is_prepare(batch, model):
    got = run(batch, model, NONE)
    plain = jax.jit(lambda b: prepare(b, crop=CROP))(batch)
    for a, b in zip(jax.tree.leaves(got[1]), jax.tree.leaves(plain[1]), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-3)
    assert np.abs(got[0].image - plain[0].image).max() < 1e-3


@pytest.mark.slow
def test_same_key_same_result_and_other_key_another(batch, model):
    config = changed(**ONE_AT_A_TIME["all"])
    first, second = (run(batch, model, config, seed=3)[0] for _ in range(2))
    jax.tree.map(np.testing.assert_array_equal, first, second)
    other = run(batch, model, config, seed=4)[0]
    assert np.abs(other.image - first.image).max() > 0.1


@pytest.mark.slow
def test_dropout_clears_flags_at_its_rate(model):
    scene = scenes.batch(0, (), model)
    many = jax.tree.map(lambda x: jnp.broadcast_to(x, (400, *x.shape)), scene)
    config = changed(cue_dropout={"segmentation": 0.5, "depth": 1.0})
    crop = CropConfig(crop_size=8)
    present = run(many, model, config, crop=crop)[0].present
    assert present["keypoints"].all() and not present["depth"].any()
    assert 0.4 < present["segmentation"].mean() < 0.6


def test_dropout_of_what_is_no_cue_is_refused():
    with pytest.raises(InputError, match="cue_dropout names the cue 'flow'; cues are"):
        AugmentConfig(cue_dropout={"depth": 0.1, "flow": 0.5})


@pytest.mark.slow
def test_one_cue_is_dropped_as_beside_the_others(model):
    """A network without some cues trains on the same records with the others."""
    scene = scenes.batch(0, (4,), model)
    alone = scene._replace(cues=scene.cues.only(["depth"]))
    config, crop = changed(cue_dropout={"depth": 1.0}), CropConfig(crop_size=8)
    inputs, _ = run(alone, model, config, crop=crop)
    assert tuple(inputs.cues) == tuple(inputs.present) == ("depth",)
    assert not inputs.present["depth"].any()
    none = scene._replace(cues=scene.cues.only([]))
    inputs, _ = run(none, model, config, crop=crop)
    assert inputs.cues == inputs.present == {}


@pytest.mark.slow
def test_colour_is_one_factor_a_channel(batch, model):
    plain = np.asarray(jax.jit(lambda b: prepare(b, crop=CROP))(batch)[0].image)
    got = np.asarray(run(batch, model, changed(color=(0.8, 1.2)))[0].image)
    for channel in range(3):
        used = (plain[0, ..., channel] > 0.2) & (got[0, ..., channel] < 1)
        factor = got[0, ..., channel][used] / plain[0, ..., channel][used]
        assert np.ptp(factor) < 1e-4 and 0.8 <= factor.mean() <= 1.2


def test_contrast_moves_each_picture_about_its_mean():
    key = jax.random.key(1)
    image = jax.random.uniform(key, (5, 2, 8, 8, 3), minval=0.4, maxval=0.6)
    plain = {"color": (1.0, 1.0), "grey_probability": 0.0, "noise": 0.0}
    np.testing.assert_array_equal(recolor(key, image, **plain), image)
    got = np.asarray(recolor(key, image, **plain, contrast=0.3))
    mean = image.mean(axis=(-3, -2), keepdims=True)
    np.testing.assert_allclose(got.mean(axis=(-3, -2), keepdims=True), mean, atol=1e-5)
    wider = (got - mean).std(axis=(1, 2, 3, 4)) / (image - mean).std(axis=(1, 2, 3, 4))
    assert np.ptp(wider) > 0.05 and 0.7 <= wider.min() and wider.max() <= 1.3
    expected = mean + wider[:, None, None, None, None] * (image - mean)
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_noise_that_varies_is_at_most_the_deviation_and_another_for_each_sample():
    key = jax.random.key(2)
    image = jnp.full((40, 1, 16, 16, 3), 0.5)
    plain = {"color": (1.0, 1.0), "grey_probability": 0.0, "noise": 0.04}
    fixed, drawn = (
        np.std(recolor(key, image, **plain, noise_varies=varies), axis=(1, 2, 3, 4))
        for varies in (False, True)
    )
    np.testing.assert_allclose(fixed, 0.04, rtol=0.12)
    assert drawn.max() < 0.044 and drawn.min() < 0.01 < 0.03 < drawn.max()


@pytest.mark.slow
def test_changes_of_pixels_and_cues_leave_every_label_alone(batch, model):
    config = changed(
        color=(0.8, 1.2),
        grey_probability=0.5,
        noise=0.1,
        keypoint_jitter=0.05,
        cue_dropout=dict.fromkeys(("keypoints", "segmentation", "depth"), 0.5),
    )
    got = run(batch, model, config, pictures=False)
    plain = run(batch, model, NONE, pictures=False)
    for name, found, expected in zip(Targets._fields, got[1], plain[1], strict=True):
        jax.tree.map(
            lambda a, b, name=name: np.testing.assert_allclose(
                a, b, atol=1e-6, err_msg=name
            ),
            found,
            expected,
        )


@pytest.mark.parametrize("shape", [(), (2, 1, 2)], ids=str)
@pytest.mark.slow
def test_any_leading_batch(model, shape):
    scene = scenes.batch(9, shape, model)
    config = changed(**ONE_AT_A_TIME["all"])
    key, crop = jax.random.key(0), CropConfig(crop_size=16)
    inputs, targets = jax.eval_shape(
        lambda k, b, m: augment(k, b, m, crop=crop, augment=config), key, scene, model
    )
    assert inputs.image.shape == (*shape, 2, 16, 16, 3)
    assert inputs.T_crop_image.shape == (*shape, 2, 2, 3)
    assert targets.joints_3d.shape == (*shape, 2, 21, 3)


def test_an_absent_hand_leaves_everything_finite(batch, model):
    gone = jnp.array([[True, False], [False, True], [False, False], [True, True]])
    targets = batch.targets._replace(
        hand_valid=gone,
        joints_2d_valid=jnp.broadcast_to(gone[..., None], (4, 2, 21)),
        joints_2d=jnp.where(gone[..., None, None], batch.targets.joints_2d, 0.0),
        box=jnp.where(gone[..., None], batch.targets.box, 0.0),
    )
    config = changed(**ONE_AT_A_TIME["all"])
    inputs, labels_ = run(batch._replace(targets=targets), model, config)
    for leaf in jax.tree.leaves((inputs, labels_)):
        assert np.isfinite(np.asarray(leaf, np.float64)).all()
    assert not inputs.overlap[:3].any()
    assert (np.asarray(inputs.box[..., 2:] - inputs.box[..., :2]) > 1).all()
