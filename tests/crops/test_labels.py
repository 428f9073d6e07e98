import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.data import scenes
from twohand_jax import mano
from twohand_jax.crops import cue_table, labels
from twohand_jax.crops.motion import motion
from twohand_jax.geometry import cameras
from twohand_jax.types import LEFT, RIGHT, Targets

ATOL_M, ATOL_PX = 2e-6, 2e-3
MOTIONS = {
    "mirror": (True, 0.0),
    "turn": (False, 0.7),
    "both": (True, -2.3),
    "nothing": (False, 0.0),
}


@pytest.fixture(scope="module")
def model():
    return mano.load()


@jax.jit
def moved(targets: Targets, model, mirror: bool, angle: float) -> Targets:
    shape = targets.camera_valid.shape
    pivot = jnp.broadcast_to(jnp.array([240.0, 200.0]), (*shape, 2))
    move = motion(jnp.full(shape, mirror), jnp.full(shape, angle), pivot)
    return labels.move_targets(targets, move, model)


def assert_consistent(targets: Targets, model) -> None:
    """Labels of an ordinary picture agree with each other."""
    camera = jax.tree.map(lambda x: x[..., None, :], targets.camera)
    projected = cameras.project(targets.joints_3d, camera)
    np.testing.assert_allclose(projected, targets.joints_2d, atol=ATOL_PX)
    posed = scenes.pose(model, targets.mano).joints
    np.testing.assert_allclose(posed, targets.joints_3d, atol=ATOL_M)
    wrists = targets.joints_3d[..., 0, :]
    relative = wrists[..., LEFT, :] - wrists[..., RIGHT, :]
    np.testing.assert_allclose(relative, targets.rel_trans, atol=ATOL_M)


@pytest.mark.parametrize("shape", [(), (2,), (2, 1, 2)], ids=str)
@pytest.mark.parametrize("name", MOTIONS)
def test_moved_labels_agree_with_each_other(model, name, shape):
    targets = scenes.targets(0, shape, model)
    assert_consistent(moved(targets, model, *MOTIONS[name]), model)


def test_mirroring_twice_is_the_identity(model):
    targets = scenes.targets(1, (2,), model)
    twice = moved(moved(targets, model, True, 0.0), model, True, 0.0)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4), twice, targets
    )


def test_mirroring_exchanges_flags_with_hands(model):
    targets = scenes.targets(1, (2,), model)
    flags = jnp.array([True, False])
    targets = targets._replace(
        hand_valid=jnp.broadcast_to(flags, (2, 2)),
        mano_valid=jnp.broadcast_to(flags, (2, 2)),
        joints_3d_valid=jnp.broadcast_to(flags[:, None], (2, 2, 21)),
        joints_2d_valid=jnp.broadcast_to(flags[:, None], (2, 2, 21)),
    )
    got = moved(targets, model, True, 0.0)
    assert not got.hand_valid[:, RIGHT].any() and got.hand_valid[:, LEFT].all()
    assert not got.mano_valid[:, RIGHT].any() and got.mano_valid[:, LEFT].all()
    for valid in (got.joints_2d_valid, got.joints_3d_valid):
        assert not valid[:, RIGHT].any() and valid[:, LEFT].all()


def test_turning_back_is_the_identity(model):
    targets = scenes.targets(2, (2,), model)
    back = moved(moved(targets, model, False, 0.6), model, False, -0.6)
    for name in ("joints_2d", "joints_3d", "rel_trans", "mano"):
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, atol=1e-3),
            getattr(back, name),
            getattr(targets, name),
        )


def test_mirrored_relative_translation_keeps_x(model):
    targets = scenes.targets(3, (), model)
    got = moved(targets, model, True, 0.0).rel_trans
    np.testing.assert_allclose(got, targets.rel_trans * jnp.array([1.0, -1.0, -1.0]))


def test_every_vertex_moves_rigidly(model):
    targets = scenes.targets(4, (2,), model)
    before = scenes.pose(model, targets.mano).vertices
    got = scenes.pose(model, moved(targets, model, True, 0.4).mano).vertices
    mirrored = np.asarray(before)[:, ::-1] * [-1.0, 1.0, 1.0]
    c, s = np.cos(0.4), np.sin(0.4)
    R = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
    np.testing.assert_allclose(got, mirrored @ R.T, atol=ATOL_M)


def test_mirror_left_is_its_own_inverse_and_leaves_the_right(model):
    hands = scenes.params(5, (2,), model)
    once = labels.mirror_left(hands)
    twice = labels.mirror_left(once)
    jax.tree.map(np.testing.assert_array_equal, twice, hands)
    for field, changed in zip(hands, once, strict=True):
        np.testing.assert_array_equal(changed[:, RIGHT], field[:, RIGHT])


def test_cue_labels_change_places_with_the_hands(model):
    cues = scenes.batch(6, (2,), model).cues
    pivot = jnp.full((2, 2), 100.0)
    mirror = jnp.array([True, False])
    move = motion(mirror, jnp.zeros(2), pivot)
    got = cue_table.move(cues, move)
    before, after = (np.asarray(one.values["segmentation"]) for one in (cues, got))
    np.testing.assert_array_equal(after[0] == 1, before[0] == 2)
    np.testing.assert_array_equal(after[0] == 2, before[0] == 1)
    np.testing.assert_array_equal(after[1], before[1])
    flipped = cues.values["keypoints"][0, ::-1, :, 0]
    found = got.values["keypoints"][0, ..., 0]
    np.testing.assert_allclose(found, 200 - flipped, atol=1e-3)
    np.testing.assert_array_equal(got.values["depth"], cues.values["depth"])
    assert got.present == cues.present
