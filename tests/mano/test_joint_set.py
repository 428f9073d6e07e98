"""Which joints of a posed hand are meant: regressed from its surface, or posed."""

import jax.numpy as jnp
import numpy as np
import pytest

from tests.evaluation import twins
from tests.mano import fake_mano
from twohand_jax import mano
from twohand_jax.mano import joint_set
from twohand_jax.mano.joints import TIPS, fingertips
from twohand_jax.types import HandGeometry


def geometry(shape: tuple[int, ...] = ()) -> HandGeometry:
    rng = np.random.default_rng(0)
    sizes = (*shape, 2, 778, 3), (*shape, 2, 21, 3)
    return HandGeometry(*(jnp.asarray(rng.normal(size=s), jnp.float32) for s in sizes))


@pytest.mark.parametrize("shape", [(), (3,), (2, 1, 4)])
def test_regressed_joints_are_the_regressors_of_each_side_and_tips(shape):
    model, hands = fake_mano.random_model(), geometry(shape)
    found = np.asarray(joint_set.FREIHAND.of(model, hands))
    assert found.shape == (*shape, 2, 21, 3)
    last = np.asarray(hands.vertices, float).reshape(-1, 2, 778, 3)[-1]
    for side in (0, 1):
        regressor = np.asarray(model.joint_regressor[side], float)
        expected = twins.regress(regressor, last[side], "freihand")
        ours = found.reshape(-1, 2, 21, 3)[-1, side]
        np.testing.assert_allclose(ours, expected, atol=1e-5)


def test_kinematic_joints_change_their_fingertips_only():
    hands = geometry()
    found = joint_set.HO3D.of(fake_mano.random_model(), hands)
    others = np.setdiff1d(np.arange(21), TIPS)
    np.testing.assert_array_equal(found[:, others], hands.joints[:, others])
    tips = hands.vertices[:, list(fingertips("ho3d"))]
    np.testing.assert_array_equal(found[:, list(TIPS)], tips)


@pytest.mark.slow
def test_the_open_hands_regressor_is_of_the_rest_pose():
    model, hands = mano.load(), geometry()
    posed = joint_set.JointSet("interwild", "kinematic").of(model, hands)
    np.testing.assert_array_equal(joint_set.INTERWILD.of(model, hands), posed)
    at_rest = mano.forward(model, mano.zeros()._replace(hand_pose=-model.pose_mean))
    regressed = jnp.einsum("hjv,hvc->hjc", model.joint_regressor, at_rest.vertices)
    wrist, base = regressed[:, 0], regressed[:, 4]
    np.testing.assert_allclose(at_rest.joints[:, 0], wrist, atol=1e-5)
    np.testing.assert_allclose(at_rest.joints[:, 9], base, atol=1e-5)
