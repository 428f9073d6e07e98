"""MANO's forward pass for any leading batch, stage by stage (Romero et al., 2017)."""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Float

from twohand_jax import switches
from twohand_jax.geometry import rotations
from twohand_jax.mano import joints as joint_sets
from twohand_jax.mano.params import assert_shapes
from twohand_jax.types import HandGeometry, ManoModel, ManoParams

CPU_CHUNK = 16


@switches.promotions()
def forward(
    model: ManoModel, params: ManoParams, *, fingertips: str = "interwild"
) -> HandGeometry:
    """Pose both hands.

    Args:
        model: two-hand model.
        params: pose, shape and place; ``hand_pose`` is relative to the mean pose.
        fingertips: name of a set of tip vertices (``mano.joints.FINGERTIPS``).

    Returns:
        Vertices and the 21 canonical joints in metres, in the frame of ``transl``.
    """
    assert_shapes(params)
    orient = rotations.axis_angle_to_matrix(params.global_orient)
    pose = rotations.axis_angle_to_matrix(params.hand_pose + model.pose_mean)
    return forward_matrices(
        model, orient, pose, params.betas, params.transl, fingertips=fingertips
    )


@switches.promotions()
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
    chex.assert_shape(
        [global_orient, hand_pose, betas, transl],
        [(..., 2, 3, 3), (..., 2, 15, 3, 3), (..., 2, 10), (..., 2, 3)],
    )
    hands = sides(model, slice(0, 2))
    tips = joint_sets.fingertips(fingertips)
    R = _all_rotations(global_orient, hand_pose)
    vertices, joints = _pose(hands, R, betas, transl, tips)
    return HandGeometry(vertices=vertices, joints=joints)


@switches.promotions()
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
    chex.assert_shape(
        [global_orient, hand_pose, betas, transl],
        [(..., 3, 3), (..., 15, 3, 3), (..., 10), (..., 3)],
    )
    hand = sides(model, slice(side, side + 1))
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


class Sides(NamedTuple):
    """The arrays of one or both sides of a ``ManoModel``, shaped for products."""

    directions: Float[Array, "s 146 3v"]
    joint_directions: Float[Array, "s 11 48"]
    weights: Float[Array, "s 16 v"]


def _pose(
    hands: Sides,
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
        vertices, joints = pose(hands, *arguments, tips)
    else:
        vertices, joints = _in_chunks(hands, arguments, tips)
    return (
        vertices.reshape(*batch, *vertices.shape[1:]),
        joints.reshape(*batch, *joints.shape[1:]),
    )


def _in_chunks(
    hands: Sides, arguments: tuple[Array, Array, Array], tips: tuple[int, ...]
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
        return pose(hands, *part, tips)

    policy = jax.checkpoint_policies.save_only_these_names(POSED)
    R, betas, transl = arguments
    parts = (split(R), split(betas), split(transl))
    vertices, joints = jax.lax.map(jax.checkpoint(chunk, policy=policy), parts)
    return (
        vertices.reshape(padded, *vertices.shape[2:])[:count],
        joints.reshape(padded, *joints.shape[2:])[:count],
    )


HIGHEST = jax.lax.Precision.HIGHEST
POSED = "posed"  # the residual worth keeping when the forward pass is recomputed
CHAINS, LENGTH = 5, 3  # the joint tree: five fingers of three joints at the wrist


def sides(model: ManoModel, chosen: slice) -> Sides:
    """The arrays of the chosen sides."""
    template, shapedirs = model.joint_template, model.joint_shapedirs
    joint = jnp.concatenate([template[..., None], shapedirs], axis=-1)[chosen]
    return Sides(
        directions=model.directions[chosen],
        joint_directions=jnp.swapaxes(joint.reshape(-1, 48, 11), 1, 2),
        weights=jnp.swapaxes(model.weights[chosen], 1, 2),
    )


def pose(
    hands: Sides,
    R: Float[Array, "s n 16 3 3"],
    betas: Float[Array, "s n 10"],
    transl: Float[Array, "s n 3"],
    tips: tuple[int, ...],
) -> tuple[Float[Array, "n s v 3"], Float[Array, "n s 21 3"]]:
    """Vertices and canonical joints of a flat batch of hands."""
    bend = (R[:, :, 1:] - jnp.eye(3, dtype=R.dtype)).reshape(*R.shape[:2], 135)
    features = jnp.concatenate([jnp.ones_like(betas[..., :1]), betas, bend], axis=-1)
    posed = checkpoint_name(_matmul(features, hands.directions), POSED)
    rest = _matmul(features[..., :11], hands.joint_directions)
    world, position, offset = _kinematics(R, rest.reshape(*rest.shape[:2], 16, 3))
    skinned = _skin(hands.weights, world, offset, posed) + transl[..., None]
    ends = jnp.swapaxes(skinned[..., np.asarray(tips, np.int32)], -1, -2)
    joints = jnp.concatenate([position + transl[:, :, None], ends], axis=2)
    canonical = joints[:, :, joint_sets.CANONICAL_FROM_MODEL]
    return jnp.transpose(skinned, (1, 0, 3, 2)), jnp.swapaxes(canonical, 0, 1)


def _matmul(
    left: Float[Array, "s n k"], right: Float[Array, "s k m"]
) -> Float[Array, "s n m"]:
    return jnp.matmul(left, right, precision=HIGHEST)


def _kinematics(
    R: Float[Array, "s n 16 3 3"], rest: Float[Array, "s n 16 3"]
) -> tuple[
    Float[Array, "s n 16 3 3"], Float[Array, "s n 16 3"], Float[Array, "s n 16 3"]
]:
    """World rotation and position of each joint, and the offset ``position - R rest``.

    The batch is the last axis here, and the five fingers go down the tree together.
    """
    batch = R.shape[:2]
    turn = jnp.moveaxis(R.reshape(-1, 16, 3, 3), 0, -1)
    at = jnp.moveaxis(rest.reshape(-1, 16, 3), 0, -1)
    turns = turn[1:].reshape(CHAINS, LENGTH, 3, 3, -1)
    ats = at[1:].reshape(CHAINS, LENGTH, 3, -1)
    world, position, parent = [turn[:1]], [at[:1]], at[:1]
    for level in range(LENGTH):
        bone = ats[:, level] - parent
        position.append(position[-1] + _apply(world[-1], bone))
        world.append(_compose(world[-1], turns[:, level]))
        parent = ats[:, level]
    rotations, positions = _joined(world), _joined(position)
    offsets = positions - _apply(rotations, at)
    first = (jnp.moveaxis(x, -1, 0) for x in (rotations, positions, offsets))
    whole = tuple(x.reshape(*batch, *x.shape[1:]) for x in first)
    return whole[0], whole[1], whole[2]


def _apply(
    matrix: Float[Array, "j 3 3 n"], vector: Float[Array, "j 3 n"]
) -> Float[Array, "j 3 n"]:
    terms = [matrix[:, :, k] * vector[:, None, k] for k in range(3)]
    return terms[0] + terms[1] + terms[2]


def _compose(
    first: Float[Array, "j 3 3 n"], second: Float[Array, "j 3 3 n"]
) -> Float[Array, "j 3 3 n"]:
    terms = [first[:, :, k, None] * second[:, None, k] for k in range(3)]
    return terms[0] + terms[1] + terms[2]


def _joined(levels: list[Float[Array, "j ..."]]) -> Float[Array, "16 ..."]:
    """Wrist and the levels of the fingers, back in the model's joint order."""
    fingers = jnp.stack(levels[1:], axis=1)
    return jnp.concatenate(
        [levels[0], fingers.reshape(CHAINS * LENGTH, *fingers.shape[2:])], axis=0
    )


def _skin(
    weights: Float[Array, "s 16 v"],
    world: Float[Array, "s n 16 3 3"],
    offset: Float[Array, "s n 16 3"],
    posed: Float[Array, "s n 3v"],
) -> Float[Array, "s n 3 v"]:
    """Linear blend skinning; a product a column of the transforms differentiates best.

    Slicing one large product would make its gradient pad and add four arrays.
    """
    count, batch = weights.shape[-1], world.shape[:2]
    vertices = posed.reshape(*batch, 3, count)

    def blended(column: Float[Array, "s n 16 3"]) -> Float[Array, "s n 3 v"]:
        rows = jnp.swapaxes(column, -1, -2).reshape(batch[0], -1, 16)
        return _matmul(rows, weights).reshape(*batch, 3, count)

    moved = [blended(world[..., k]) * vertices[:, :, None, k] for k in range(3)]
    return blended(offset) + moved[0] + moved[1] + moved[2]
