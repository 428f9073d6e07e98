"""Changing the representation, side and frame of MANO parameters."""

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from twohand_jax.geometry import rotations
from twohand_jax.types import ManoModel, ManoParams

HIGHEST = jax.lax.Precision.HIGHEST


def zeros(*batch: int, dtype: jnp.dtype = jnp.float32) -> ManoParams:
    """Parameters of both hands in the mean pose and shape, at the origin."""
    return ManoParams(
        global_orient=jnp.zeros((*batch, 2, 3), dtype),
        hand_pose=jnp.zeros((*batch, 2, 15, 3), dtype),
        betas=jnp.zeros((*batch, 2, 10), dtype),
        transl=jnp.zeros((*batch, 2, 3), dtype),
    )


def assert_shapes(params: ManoParams) -> None:
    """Fail unless the arrays have the shapes of two hands' parameters."""
    chex.assert_shape(
        list(params), [(..., 2, 3), (..., 2, 15, 3), (..., 2, 10), (..., 2, 3)]
    )


def from_pca(
    model: ManoModel, coefficients: Float[Array, "*b 2 n"]
) -> Float[Array, "*b 2 15 3"]:
    """Hand pose, relative to the mean, from the first n <= 45 PCA coefficients."""
    count = coefficients.shape[-1]
    flat = jnp.einsum(
        "...hn,hnk->...hk",
        coefficients,
        model.pose_components[:, :count],
        precision=HIGHEST,
    )
    return flat.reshape(*flat.shape[:-1], 15, 3)


def to_pca(
    model: ManoModel, hand_pose: Float[Array, "*b 2 15 3"]
) -> Float[Array, "*b 2 45"]:
    """All 45 PCA coefficients of a hand pose; the exact inverse of ``from_pca``."""
    flat = hand_pose.reshape(*hand_pose.shape[:-2], 45)
    inverse = jnp.linalg.inv(model.pose_components)
    return jnp.einsum("...hk,hkn->...hn", flat, inverse, precision=HIGHEST)


def from_6d(
    model: ManoModel, six: Float[Array, "*b 2 15 6"]
) -> Float[Array, "*b 2 15 3"]:
    """Hand pose relative to the mean from absolute 6D rotations."""
    absolute = rotations.matrix_to_axis_angle(rotations.rotation_6d_to_matrix(six))
    return absolute - model.pose_mean


def from_flat(
    model: ManoModel, absolute: Float[Array, "*b 2 15 3"]
) -> Float[Array, "*b 2 15 3"]:
    """Hand pose relative to the mean from absolute axis-angles (``flat_hand_mean``)."""
    return absolute - model.pose_mean


def mirror(params: ManoParams) -> ManoParams:
    """Parameters of the hands seen in a mirror that negates x; the sides swap.

    Exact when the model's left hand is its mirrored right hand (METHOD §1).
    """
    assert_shapes(params)
    flip_x = jnp.array([-1.0, 1.0, 1.0], params.transl.dtype)
    return ManoParams(
        global_orient=rotations.mirror_axis_angle(params.global_orient[..., ::-1, :]),
        hand_pose=rotations.mirror_axis_angle(params.hand_pose[..., ::-1, :, :]),
        betas=params.betas[..., ::-1, :],
        transl=params.transl[..., ::-1, :] * flip_x,
    )


def rest_wrist(
    model: ManoModel, betas: Float[Array, "*b 2 10"]
) -> Float[Array, "*b 2 3"]:
    """Rest position J0 of each wrist, metres, about which the hand rotates."""
    moved = jnp.einsum(
        "hkc,...hc->...hk", model.joint_shapedirs[:, 0], betas, precision=HIGHEST
    )
    return model.joint_template[:, 0] + moved


def to_camera(
    model: ManoModel,
    params: ManoParams,
    R: Float[Array, "*b 3 3"],
    t: Float[Array, "*b 3"],
) -> ManoParams:
    """Move parameters from world to camera: ``p_cam = R p + t`` for every vertex.

    The hand rotates about its own wrist, so ``t' = R (J0 + transl) + t - J0``.
    """
    assert_shapes(params)
    chex.assert_shape([R, t], [(..., 3, 3), (..., 3)])
    orient = rotations.axis_angle_to_matrix(params.global_orient)
    turned = jnp.einsum("...ij,...hjk->...hik", R, orient, precision=HIGHEST)
    wrist = rest_wrist(model, params.betas)
    moved = jnp.einsum(
        "...ij,...hj->...hi", R, wrist + params.transl, precision=HIGHEST
    )
    return params._replace(
        global_orient=rotations.matrix_to_axis_angle(turned),
        transl=moved + t[..., None, :] - wrist,
    )
