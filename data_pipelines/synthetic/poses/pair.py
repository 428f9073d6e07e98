"""Two posed hands as the sampler moves them: joint angles, wrists and orientations."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from twohand_jax import mano
from twohand_jax.geometry import rotations
from twohand_jax.pipelines.synthetic.poses import angles as anatomy
from twohand_jax.types import HandGeometry, ManoModel, ManoParams

HIGHEST = jax.lax.Precision.HIGHEST
_MIRROR = (-1.0, 1.0, 1.0)


class Pair(NamedTuple):
    """Both hands, right first, metres and radians.

    ``wobble`` is a small rotation of each joint on top of its anatomical angles;
    ``orient`` turns the model's rest frame into the world, ``wrist`` is the place of
    the wrist joint. The left hand's angles and wobble are those of its mirror image.
    """

    angles: Float[Array, "*b 2 21"]
    wobble: Float[Array, "*b 2 15 3"]
    betas: Float[Array, "*b 2 10"]
    orient: Float[Array, "*b 2 3 3"]
    wrist: Float[Array, "*b 2 3"]


def pose(model: ManoModel, bones: anatomy.HandAxes, pair: Pair) -> HandGeometry:
    """Vertices and joints of both hands in the world."""
    transl = pair.wrist - mano.params.rest_wrist(model, pair.betas)
    joints = joint_matrices(bones, pair)
    return mano.forward_matrices(model, pair.orient, joints, pair.betas, transl)


def to_params(model: ManoModel, bones: anatomy.HandAxes, pair: Pair) -> ManoParams:
    """The same hands as model parameters (pose relative to the mean)."""
    absolute = rotations.matrix_to_axis_angle(joint_matrices(bones, pair))
    return ManoParams(
        global_orient=rotations.matrix_to_axis_angle(pair.orient),
        hand_pose=mano.params.from_flat(model, absolute),
        betas=pair.betas,
        transl=pair.wrist - mano.params.rest_wrist(model, pair.betas),
    )


def mirrored(pair: Pair) -> Pair:
    """The pair seen in a mirror: what the right hand did, the left hand does."""
    sign = jnp.asarray(_MIRROR)
    return Pair(
        angles=jnp.flip(pair.angles, -2),
        wobble=jnp.flip(pair.wobble, -3),
        betas=jnp.flip(pair.betas, -2),
        orient=jnp.flip(pair.orient, -3) * sign[:, None] * sign,
        wrist=jnp.flip(pair.wrist, -2) * sign,
    )


def joint_matrices(bones: anatomy.HandAxes, pair: Pair) -> Float[Array, "*b 2 15 3 3"]:
    """Absolute rotations of the joints of both hands, each in its own side."""
    turn = rotations.axis_angle_to_matrix(pair.wobble)
    right = anatomy.to_matrices(bones, pair.angles)
    right = jnp.matmul(right, turn, precision=HIGHEST)
    sign = jnp.asarray(_MIRROR)
    left = right[..., 1, :, :, :] * sign[:, None] * sign
    return jnp.stack([right[..., 0, :, :, :], left], axis=-4)
