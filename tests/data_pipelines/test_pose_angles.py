import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from twohand_jax import mano
from twohand_jax.pipelines.synthetic.poses import angles, library
from twohand_jax.types import RIGHT

FORWARD = jax.jit(mano.forward_side, static_argnums=1)
TIPS = {"thumb": 4, "index": 8, "middle": 12, "ring": 16, "pinky": 20}


@pytest.fixture(scope="module")
def model():
    return mano.load()


@pytest.fixture(scope="module")
def bones(model):
    return angles.skeleton(model)


def _tips(model, bones, values):
    joints = angles.to_matrices(bones, jnp.asarray(values, jnp.float32))
    still = jnp.zeros(3)
    _, found = FORWARD(model, RIGHT, jnp.eye(3), joints, jnp.zeros(10), still)
    return np.asarray(found)[list(TIPS.values())] @ np.asarray(bones.palm).T


@pytest.mark.slow
def test_the_templates_own_angles_turn_nothing(bones):
    fingers = angles.to_matrices(bones, bones.rest)[:12]
    np.testing.assert_allclose(fingers, np.tile(np.eye(3), (12, 1, 1)), atol=1e-5)


@pytest.mark.parametrize("finger", TIPS)
@pytest.mark.slow
def test_flexion_goes_to_the_palm(model, bones, finger):
    flat = library.named("flat")
    bent = flat.copy()
    for number, name in enumerate(angles.NAMES):
        if name.startswith(finger) and "flexion" in name:
            bent[number] += 0.4
    moved = _tips(model, bones, bent) - _tips(model, bones, flat)
    which = list(TIPS).index(finger)
    assert moved[which, 1] > 0.005
    others = np.delete(moved, which, axis=0)
    np.testing.assert_allclose(others, 0, atol=1e-6)


@pytest.mark.parametrize("finger, side", [("index", 1), ("ring", -1), ("pinky", -1)])
def test_abduction_spreads(model, bones, finger, side):
    flat = library.named("flat")
    spread = flat.copy()
    spread[angles.NAMES.index(f"{finger}_mcp_abduction")] += 0.2
    moved = _tips(model, bones, spread) - _tips(model, bones, flat)
    assert side * moved[list(TIPS).index(finger), 2] > 0.005


@pytest.mark.parametrize("name, axis", [("thumb_radial", 2), ("thumb_palmar", 1)])
def test_thumb_leaves_the_hand(model, bones, name, axis):
    flat = library.named("flat")
    out = flat.copy()
    out[angles.NAMES.index(name)] += 0.4
    assert (_tips(model, bones, out) - _tips(model, bones, flat))[0, axis] > 0.01


@pytest.mark.slow
def test_axes_follow_a_model_that_is_turned(model, bones):
    Q = Rotation.from_rotvec([0.4, -1.1, 0.7]).as_matrix()
    turned = dataclasses.replace(
        model, joint_template=model.joint_template @ jnp.asarray(Q.T, jnp.float32)
    )
    values = jnp.asarray(library.ANGLES[::7], jnp.float32)
    expected = Q @ np.asarray(angles.to_matrices(bones, values)) @ Q.T
    found = angles.to_matrices(angles.skeleton(turned), values)
    np.testing.assert_allclose(found, expected, atol=2e-5)


@pytest.mark.parametrize("batch", [(), (3,), (2, 1, 4)])
def test_any_leading_batch(bones, batch):
    values = jnp.broadcast_to(jnp.asarray(library.named("ok")), (*batch, 21))
    found = jax.eval_shape(angles.to_axis_angle, bones, values)
    assert found.shape == (*batch, 15, 3)


def test_library_is_large_and_within_the_limits():
    assert len(set(library.NAMES)) == len(library.NAMES) >= 40
    clamped = np.asarray(angles.clamp_angles(jnp.asarray(library.ANGLES, jnp.float32)))
    assert np.rad2deg(np.abs(clamped - library.ANGLES)).max() < 3


def test_clamp_is_idempotent_and_inside():
    wild = np.random.default_rng(0).normal(0, 2, (200, 21))
    once = angles.clamp_angles(jnp.asarray(wild, jnp.float32))
    np.testing.assert_allclose(angles.clamp_angles(once), once, atol=1e-6)
    assert np.all(once >= angles.LOW - 1e-6) and np.all(once <= angles.HIGH + 1e-6)


def test_a_bent_finger_hardly_spreads():
    open_hand, fist = np.zeros(21), np.zeros(21)
    open_hand[1] = fist[1] = np.deg2rad(18)
    fist[0] = np.deg2rad(90)
    spread = [float(angles.clamp_angles(jnp.asarray(x))[1]) for x in (open_hand, fist)]
    assert spread[1] < 0.5 * spread[0]


def test_unknown_pose_is_named():
    with pytest.raises(KeyError, match="fist"):
        library.named("fits")
