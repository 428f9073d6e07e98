"""MANO's forward pass for any leading batch (Romero et al., 2017).

On CPU large batches run in chunks that stay in cache; the backward pass recomputes
all of a chunk but its posed vertices.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from twohand_jax.geometry import rotations
from twohand_jax.mano import joints as joint_sets
from twohand_jax.mano import skinning
from twohand_jax.types import HandGeometry, ManoModel, ManoParams

CPU_CHUNK = 16


def forward(
    model: ManoModel, params: ManoParams, *, fingertips: str = "interwild"
) -> HandGeometry:
    """Pose both hands.

    Args:
        model: two-hand model.
        params: any leading batch; ``hand_pose`` is relative to the model's mean.
        fingertips: named set of tip vertices (``mano.joints.FINGERTIPS``).

    Returns:
        Vertices and the 21 canonical joints in metres, in the frame of ``transl``.
    """
    orient = rotations.axis_angle_to_matrix(params.global_orient)
    pose = rotations.axis_angle_to_matrix(params.hand_pose + model.pose_mean)
    return forward_matrices(
        model, orient, pose, params.betas, params.transl, fingertips=fingertips
    )


def forward_matrices(
    model: ManoModel,
    global_orient: Float[Array, "*b 2 3 3"],
    hand_pose: Float[Array, "*b 2 15 3 3"],
    betas: Float[Array, "*b 2 10"],
    transl: Float[Array, "*b 2 3"],
    *,
    fingertips: str = "interwild",
) -> HandGeometry:
    """Pose both hands from rotation matrices that already include the mean pose."""
    hands = skinning.sides(model, slice(0, 2))
    tips = joint_sets.fingertips(fingertips)
    R = _all_rotations(global_orient, hand_pose)
    vertices, joints = _pose(hands, R, betas, transl, tips)
    return HandGeometry(vertices=vertices, joints=joints)


def forward_side(
    model: ManoModel,
    side: int,
    global_orient: Float[Array, "*b 3 3"],
    hand_pose: Float[Array, "*b 15 3 3"],
    betas: Float[Array, "*b 10"],
    transl: Float[Array, "*b 3"],
    *,
    fingertips: str = "interwild",
) -> tuple[Float[Array, "*b 778 3"], Float[Array, "*b 21 3"]]:
    """Pose one side of the model (``side`` RIGHT or LEFT) from rotation matrices."""
    hand = skinning.sides(model, slice(side, side + 1))
    tips = joint_sets.fingertips(fingertips)
    R = _all_rotations(global_orient, hand_pose)
    R, betas, transl = R[..., None, :, :, :], betas[..., None, :], transl[..., None, :]
    vertices, joints = _pose(hand, R, betas, transl, tips)
    return vertices[..., 0, :, :], joints[..., 0, :, :]


def _all_rotations(
    global_orient: Float[Array, "*b 3 3"], hand_pose: Float[Array, "*b 15 3 3"]
) -> Float[Array, "*b 16 3 3"]:
    batch = jnp.broadcast_shapes(global_orient.shape[:-2], hand_pose.shape[:-3])
    root = jnp.broadcast_to(global_orient[..., None, :, :], (*batch, 1, 3, 3))
    return jnp.concatenate(
        [root, jnp.broadcast_to(hand_pose, (*batch, 15, 3, 3))], axis=-3
    )


def _pose(
    hands: skinning.Sides,
    R: Float[Array, "*b s 16 3 3"],
    betas: Float[Array, "*b s 10"],
    transl: Float[Array, "*b s 3"],
    tips: tuple[int, ...],
) -> tuple[Float[Array, "*b s 778 3"], Float[Array, "*b s 21 3"]]:
    """Flatten the batch, pose it whole or in chunks, and restore the batch."""
    batch = jnp.broadcast_shapes(R.shape[:-4], betas.shape[:-2], transl.shape[:-2])

    def flat(array: Array, trailing: int) -> Array:
        """``(*b, s, …)`` to ``(s, n, …)``."""
        own = array.shape[-trailing - 1 :]
        merged = jnp.broadcast_to(array, (*batch, *own)).reshape(-1, *own)
        return jnp.swapaxes(merged, 0, 1)

    arguments = (flat(R, 3), flat(betas, 1), flat(transl, 1))
    if jax.default_backend() != "cpu" or arguments[0].shape[1] < 2 * CPU_CHUNK:
        vertices, joints = skinning.pose(hands, *arguments, tips)
    else:
        vertices, joints = _in_chunks(hands, arguments, tips)
    return (
        vertices.reshape(*batch, *vertices.shape[1:]),
        joints.reshape(*batch, *joints.shape[1:]),
    )


def _in_chunks(
    hands: skinning.Sides, arguments: tuple[Array, Array, Array], tips: tuple[int, ...]
) -> tuple[Float[Array, "n s 778 3"], Float[Array, "n s 21 3"]]:
    count = arguments[0].shape[1]
    padded = -(-count // CPU_CHUNK) * CPU_CHUNK

    def split(array: Array) -> Array:
        widths = [(0, 0), (0, padded - count)] + [(0, 0)] * (array.ndim - 2)
        parts = jnp.pad(array, widths).reshape(
            array.shape[0], -1, CPU_CHUNK, *array.shape[2:]
        )
        return jnp.swapaxes(parts, 0, 1)

    def chunk(part: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        return skinning.pose(hands, *part, tips)

    policy = jax.checkpoint_policies.save_only_these_names(skinning.POSED)
    R, betas, transl = arguments
    parts = (split(R), split(betas), split(transl))
    vertices, joints = jax.lax.map(jax.checkpoint(chunk, policy=policy), parts)
    return (
        vertices.reshape(padded, *vertices.shape[2:])[:count],
        joints.reshape(padded, *joints.shape[2:])[:count],
    )
