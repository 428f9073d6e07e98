import jax.numpy as jnp
import numpy as np
import pytest

from tests.data import scenes
from twohand_jax import mano
from twohand_jax.crops import inputs as inputs_
from twohand_jax.crops.inputs import CropConfig
from twohand_jax.errors import InputError
from twohand_jax.geometry import affine
from twohand_jax.types import LEFT, RIGHT

CROP = CropConfig(crop_size=64)


@pytest.fixture(scope="module")
def scene():
    return scenes.batch(0, (2,), mano.load())


def cut(scene, box, valid=None, **settings):
    valid = jnp.ones(box.shape[:-1], bool) if valid is None else valid
    return inputs_.make_inputs(
        scene.canvas, scene.T_canvas_image, scene.cues, box, valid, **settings
    )


@pytest.mark.slow
def test_crops_are_twice_the_square_box_and_the_left_is_mirrored(scene):
    box = jnp.broadcast_to(
        jnp.array([[50.0, 100.0, 150.0, 160.0], [300.0, 120.0, 340.0, 200.0]]),
        (2, 2, 4),
    )
    got = cut(scene, box, crop=CROP)
    corner = jnp.array([[[-0.5, -0.5], [63.5, 63.5]]])
    for hand, side in ((RIGHT, 200.0), (LEFT, 160.0)):
        T = affine.invert(got.T_crop_image[0, hand])
        first, last = np.asarray(affine.apply(T, corner[0]))
        middle = np.asarray((box[0, hand, :2] + box[0, hand, 2:]) / 2)
        turn = np.array([-1.0 if hand == LEFT else 1.0, 1.0])
        np.testing.assert_allclose(last - first, side * turn, atol=1e-2)
        np.testing.assert_allclose((first + last) / 2, middle, atol=1e-2)


def test_boxes_grow_from_the_joints_else_they_are_the_labels(scene):
    targets = scene.targets
    grown = inputs_.hand_boxes(targets, crop=CROP)
    extent = targets.box[..., 2:] - targets.box[..., :2]
    np.testing.assert_allclose(grown[..., 2:] - grown[..., :2], 1.2 * extent, rtol=1e-4)
    few = targets._replace(
        joints_2d_valid=targets.joints_2d_valid.at[..., 10:].set(False)
    )
    np.testing.assert_array_equal(inputs_.hand_boxes(few, crop=CROP), targets.box)


def test_overlapping_boxes_gate_keypoints_and_segmentation(scene):
    apart = jnp.array([[100.0, 100, 200, 200], [300, 100, 400, 200]])
    meet = jnp.array([[100.0, 100, 301, 200], [300, 100, 400, 200]])
    got = cut(scene, jnp.stack([apart, meet]), crop=CROP)
    np.testing.assert_array_equal(got.overlap, [False, True])
    assert set(np.unique(got.cues["segmentation"][1])) <= {0.0, 1.0}
    free = CropConfig(crop_size=64, gate=())
    ungated = cut(scene, jnp.stack([apart, meet]), crop=free)
    np.testing.assert_array_equal(ungated.overlap, [False, True])
    drawn, reduced = ungated.cues["keypoints"], got.cues["keypoints"]
    np.testing.assert_array_equal(drawn[0], reduced[0])
    assert np.abs(drawn[1] - reduced[1]).max() > 0.5


@pytest.mark.parametrize(
    ("gate", "message"),
    [
        (("keypoints", "flow"), "gate names the cue 'flow'; cues are"),
        (("depth",), "gate names the cue 'depth'; cues are keypoints, segm"),
    ],
)
def test_what_cannot_be_gated_is_refused(gate, message):
    with pytest.raises(InputError, match=message):
        CropConfig(gate=gate)


def test_own_hand_is_brighter_in_both_crops(scene):
    wide = jnp.broadcast_to(jnp.array([0.0, 0.0, 512.0, 512.0]), (2, 2, 4))
    crop = CropConfig(crop_size=64, crop_scale=1.0, gate=("keypoints",))
    got = np.asarray(cut(scene, wide, crop=crop).cues["segmentation"][..., 0])
    right, left = got[:, RIGHT], got[:, LEFT, :, ::-1]
    np.testing.assert_array_equal(right == 1.0, left == 0.5)
    assert (right == 1.0).any() and (right == 0.5).any()


def test_depth_spans_its_range_within_the_hands_only(scene):
    box = inputs_.hand_boxes(scene.targets, crop=CROP)
    got = cut(scene, box, crop=CROP)
    depth = np.asarray(got.cues["depth"][..., 0])
    mask = np.asarray(got.cues["segmentation"][..., 0]) > 0
    assert (depth[~mask] == 0).all() and (depth[mask] > 0).all()
    np.testing.assert_allclose(depth.max(axis=(-2, -1)), 1.0, atol=1e-6)


def test_missing_cues_are_empty_and_flagged(scene):
    none = jnp.zeros(2, bool)
    cues = scene.cues._replace(present=dict.fromkeys(scene.cues.present, none))
    box = inputs_.hand_boxes(scene.targets, crop=CROP)
    got = cut(scene._replace(cues=cues), box, crop=CROP)
    assert not any(flag.any() for flag in got.present.values())
    assert not got.cues["keypoints"].any() and not got.cues["depth"].any()
    assert got.image.max() > 0.5


@pytest.mark.parametrize("names", [(), ("depth",), ("keypoints", "segmentation")])
def test_only_cues_that_are_given_are_drawn(scene, names):
    """Each as it is beside the others; depth lies on labels where there are some."""
    box = inputs_.hand_boxes(scene.targets, crop=CROP)
    whole = cut(scene, box, crop=CROP)
    got = cut(scene._replace(cues=scene.cues.only(names)), box, crop=CROP)
    assert tuple(got.cues) == tuple(got.present) == names
    for name in names:
        np.testing.assert_allclose(got.cues[name], whole.cues[name], atol=1e-6)
