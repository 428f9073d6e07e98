"""The 21 joints of both hands without their surface: small, quick to differentiate.

The result is that of ``mano.forward(...).joints``. All five fingers are computed at
once, so the kinematic chain is three matrix products; only fingertips are skinned.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from twohand_jax.mano import joints as joint_sets
from twohand_jax.types import ManoModel

HIGHEST = jax.lax.Precision.HIGHEST


class Skeleton(NamedTuple):
    """The part of a ``ManoModel`` that determines the joints; tips thumb to pinky."""

    joint_template: Float[Array, "2 16 3"]
    joint_shapedirs: Float[Array, "2 16 3 10"]
    tip_template: Float[Array, "2 5 3"]
    tip_shapedirs: Float[Array, "2 5 3 10"]
    tip_posedirs: Float[Array, "2 5 3 135"]
    tip_weights: Float[Array, "2 5 16"]


def skeleton(model: ManoModel, *, fingertips: str = "interwild") -> Skeleton:
    """Reduce a model to its joints and fingertips."""
    tips = np.asarray(joint_sets.fingertips(fingertips))
    return Skeleton(
        joint_template=model.joint_template,
        joint_shapedirs=model.joint_shapedirs,
        tip_template=model.template[:, tips],
        tip_shapedirs=model.shapedirs[:, tips],
        tip_posedirs=model.posedirs[:, tips],
        tip_weights=model.weights[:, tips],
    )


def joints(
    hand: Skeleton,
    global_orient: Float[Array, "2 3 3"],
    hand_pose: Float[Array, "2 15 3 3"],
    betas: Float[Array, "2 10"],
) -> Float[Array, "2 21 3"]:
    """Canonical joints relative to the wrist, from absolute rotation matrices."""
    rest = hand.joint_template + _sum("hjkc,hc->hjk", hand.joint_shapedirs, betas)
    world, position = _chains(global_orient, hand_pose, rest - rest[:, :1])
    offsets = (hand_pose - jnp.eye(3, dtype=hand_pose.dtype)).reshape(2, 135)
    tips = hand.tip_template + _sum("hvkc,hc->hvk", hand.tip_shapedirs, betas)
    tips = tips + _sum("hvkp,hp->hvk", hand.tip_posedirs, offsets)
    local = tips[:, :, None] - rest[:, None]
    moved = _sum("hjab,hvjb->hvja", world, local) + position[:, None]
    tips = _sum("hvj,hvja->hva", hand.tip_weights, moved)
    model_order = jnp.concatenate([position, tips], axis=1)
    return model_order[:, joint_sets.CANONICAL_FROM_MODEL]


def _chains(
    global_orient: Float[Array, "2 3 3"],
    hand_pose: Float[Array, "2 15 3 3"],
    rest: Float[Array, "2 16 3"],
) -> tuple[Float[Array, "2 16 3 3"], Float[Array, "2 16 3"]]:
    """World rotation and position of the model's joints, the wrist at the origin."""
    local = hand_pose.reshape(2, 5, 3, 3, 3)
    place = rest[:, 1:].reshape(2, 5, 3, 3)
    R = jnp.broadcast_to(global_orient[:, None], (2, 5, 3, 3))
    p, parent = jnp.zeros((2, 5, 3), rest.dtype), jnp.zeros((2, 5, 3), rest.dtype)
    rotations, positions = [], []
    for level in range(3):
        p = p + _sum("hfab,hfb->hfa", R, place[:, :, level] - parent)
        R = _sum("hfab,hfbc->hfac", R, local[:, :, level])
        parent = place[:, :, level]
        rotations.append(R)
        positions.append(p)
    world = jnp.stack(rotations, axis=2).reshape(2, 15, 3, 3)
    position = jnp.stack(positions, axis=2).reshape(2, 15, 3)
    return (
        jnp.concatenate([global_orient[:, None], world], axis=1),
        jnp.concatenate([rest[:, :1], position], axis=1),
    )


def _sum(formula: str, *arrays: Array) -> Array:
    return jnp.einsum(formula, *arrays, precision=HIGHEST)
