"""The joints without a surface are those of the full forward pass."""

import jax
import numpy as np
import pytest

from tests.programs import forward
from twohand_jax import mano
from twohand_jax.geometry import rotations
from twohand_jax.mano import skeleton as skeletons
from twohand_jax.types import ManoParams


@pytest.mark.slow
def test_joints_equal_the_forward_pass() -> None:
    model = mano.load()
    keys = jax.random.split(jax.random.key(0), 4)
    params = ManoParams(
        global_orient=jax.random.normal(keys[0], (2, 3)),
        hand_pose=0.6 * jax.random.normal(keys[1], (2, 15, 3)),
        betas=jax.random.normal(keys[2], (2, 10)),
        transl=jax.random.normal(keys[3], (2, 3)),
    )
    expected = forward(model, params).joints
    found = skeletons.joints(
        skeletons.skeleton(model),
        rotations.axis_angle_to_matrix(params.global_orient),
        rotations.axis_angle_to_matrix(params.hand_pose + model.pose_mean),
        params.betas,
    )
    np.testing.assert_allclose(found, expected - expected[:, :1], atol=2e-6)
