"""Anatomical axes: orthonormal, mirrored, and flexion closes the hand."""

import jax.numpy as jnp
import numpy as np
import pytest

from tests.programs import forward
from twohand_jax import mano
from twohand_jax.mano import anatomy
from twohand_jax.pipelines.synthetic.poses import angles as sampler
from twohand_jax.types import ManoModel


@pytest.fixture(scope="module")
def model() -> ManoModel:
    return mano.load()


def bent(model: ManoModel, flexion: float) -> np.ndarray:
    """Joints of both hands, all finger joints bent by an angle from the rest pose."""
    angles = jnp.zeros((2, 15, 3)).at[:, :12, 0].set(flexion)
    pose = jnp.einsum("hjak,hja->hjk", anatomy.axes(model), angles) - model.pose_mean
    params = mano.zeros()._replace(hand_pose=pose)
    return np.asarray(forward(model, params).joints)


def test_axes_are_rotations_and_mirror_images(model: ManoModel) -> None:
    axes = np.asarray(anatomy.axes(model))
    unit = np.einsum("hjak,hjbk->hjab", axes, axes)
    np.testing.assert_allclose(unit, np.broadcast_to(np.eye(3), unit.shape), atol=1e-5)
    rotated = axes[0] * [1.0, -1.0, -1.0]
    np.testing.assert_allclose(axes[1][:, 0], rotated[:, 0], atol=1e-4)


def test_flexion_brings_the_fingertips_to_the_palm(model: ManoModel) -> None:
    straight, half, closed = (bent(model, angle) for angle in (0.0, 0.5, 1.2))
    for tip, base in ((8, 5), (12, 9), (16, 13), (20, 17)):
        open_reach = np.linalg.norm(straight[:, tip] - straight[:, base], axis=-1)
        closed_reach = np.linalg.norm(closed[:, tip] - closed[:, base], axis=-1)
        assert (closed_reach < 0.7 * open_reach).all()
    assert (half[:, 12, 1] < straight[:, 12, 1] - 0.02).all()  # towards the palm, -y


def test_angles_undo_the_axes(model: ManoModel) -> None:
    angles = jnp.asarray(np.random.default_rng(0).normal(size=(4, 2, 15, 3)))
    pose = jnp.einsum("hjak,...hja->...hjk", anatomy.axes(model), angles)
    found = anatomy.angles(model, pose - model.pose_mean)
    np.testing.assert_allclose(found, angles, atol=1e-5)


def test_implausibility_is_zero_at_rest_and_grows_beyond_the_limits(
    model: ManoModel,
) -> None:
    limits, rest = anatomy.flexion_limits(model), jnp.zeros((2, 15, 3))
    assert not np.asarray(anatomy.implausibility(rest, limits)).any()
    back = rest.at[0, 1, 0].set(-0.8)  # a middle joint bent backwards
    twisted = rest.at[1, 4, 1].set(0.5)
    assert np.abs(anatomy.implausibility(back, limits)[0, 1, 0]) > 5
    assert np.abs(anatomy.implausibility(twisted, limits)[1, 4, 1]) > 4
    curled = rest.at[..., 1:12:3, 0].set(1.0).at[..., 2:12:3, 0].set(0.6)
    assert np.abs(np.asarray(anatomy.implausibility(curled, limits))).max() < 1e-5


def test_the_fit_and_the_pose_sampler_agree_on_what_a_hand_can_do(
    model: ManoModel,
) -> None:
    """The sampler's extremes of flexion lie at the fit's limits, from either rest."""
    bones = sampler.skeleton(model)
    limits = np.rad2deg(anatomy.flexion_limits(model))
    np.testing.assert_allclose(limits[0], limits[1], atol=0.5)
    for number, name in enumerate(mano.joints.MODEL_JOINT_NAMES[1:]):
        finger, joint = name.split("_")
        if finger == "thumb" and joint == "1":
            continue  # the two turn about other axes
        names = ("mcp", "pip", "dip") if finger != "thumb" else ("", "mcp", "ip")
        place = sampler.NAMES.index(f"{finger}_{names[int(joint) - 1]}_flexion")
        low, high = sampler.LOW[place], sampler.HIGH[place]
        expected = np.rad2deg(np.array([low, high]) - bones.rest[place])
        np.testing.assert_allclose(limits[0, number], expected, atol=1.5, err_msg=name)
