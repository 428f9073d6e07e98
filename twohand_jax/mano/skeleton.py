"""The joints of both hands without their surface, and their anatomical angles.

``joints`` gives the same 21 joints as ``mano.forward``, small and quick to
differentiate: the five fingers move side by side, so the kinematic chain is three
matrix products, and only the fingertip vertices are skinned.

Angles: for each of the 15 joints three axes are built from the rest skeleton alone, so
they serve any model in MANO's layout: flexion (positive closes the hand), twist about
the bone, and spread. Limits follow clinical ranges of motion (Norkin and White,
"Measurement of Joint Motion"), rounded outwards.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from twohand_jax.mano import joints as joint_sets
from twohand_jax.mano.joints import PARENTS
from twohand_jax.types import ManoModel

HIGHEST = jax.lax.Precision.HIGHEST


class Skeleton(NamedTuple):
    """What the joints of both hands need of a ``ManoModel``; tips thumb to pinky."""

    joint_template: Float[Array, "2 16 3"]
    joint_shapedirs: Float[Array, "2 16 3 10"]
    tip_template: Float[Array, "2 5 3"]
    tip_shapedirs: Float[Array, "2 5 3 10"]
    tip_posedirs: Float[Array, "2 5 3 135"]
    tip_weights: Float[Array, "2 5 16"]


def skeleton(model: ManoModel, *, fingertips: str = "interwild") -> Skeleton:
    """Cut a model down to its joints and fingertips."""
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


INDEX_BASE, PINKY_BASE = 1, 7
# Per joint of a finger (base, middle, end): least and greatest flexion, and standard
# deviations of twist and spread, all in radians; the thumb's three joints last.
_FINGER = np.array([[-0.6, 1.7, 0.12, 0.25], [-0.15, 2.0, 0.1, 0.1]])
_FINGER = np.concatenate([_FINGER, [[-0.2, 1.5, 0.1, 0.1]]])
_THUMB = np.array([[-0.9, 0.9, 0.45, 0.6], [-0.5, 1.2, 0.2, 0.25]])
_THUMB = np.concatenate([_THUMB, [[-0.6, 1.5, 0.15, 0.15]]])
LIMITS = np.concatenate([np.tile(_FINGER, (4, 1)), _THUMB])
LIMIT_SIGMA = 0.08
# The end joint follows the middle one (both bend by the same tendon).
END_PER_MIDDLE, COUPLING_SIGMA = 0.6, 0.3


def anatomical_axes(model: ManoModel) -> Float[Array, "2 15 3 3"]:
    """Unit rows flexion, twist (bone direction) and spread of each joint, at rest."""
    rest = model.joint_template
    bone = jnp.stack([_bone(rest, joint) for joint in range(1, 16)], axis=1)
    palm = _palm_direction(rest)[:, None, :]
    to_pinky = rest[:, PINKY_BASE, None] - rest[:, 13:16]
    closing = jnp.concatenate([jnp.broadcast_to(palm, (2, 12, 3)), to_pinky], axis=1)
    flexion = _unit(jnp.cross(bone, closing))
    return jnp.stack([flexion, bone, jnp.cross(flexion, bone)], axis=-2)


def anatomical_angles(
    model: ManoModel, hand_pose: Float[Array, "*b 2 15 3"]
) -> Float[Array, "*b 2 15 3"]:
    """Axis-angles against the rest pose as flexion, twist and spread."""
    absolute = hand_pose + model.pose_mean
    return jnp.einsum(
        "hjak,...hjk->...hja", anatomical_axes(model), absolute, precision=HIGHEST
    )


def implausibility(angles: Float[Array, "*b 2 15 3"]) -> Float[Array, "*b 2 15 4"]:
    """Residuals in standard deviations; zero flexion error inside the limits.

    The last axis: flexion beyond its limits, twist, spread, and the end joint's
    deviation from its middle joint (zero for other joints).
    """
    flexion, twist, spread = angles[..., 0], angles[..., 1], angles[..., 2]
    low, high, twist_sigma, spread_sigma = LIMITS.T
    over = jax.nn.relu(flexion - high) - jax.nn.relu(low - flexion)
    ends = flexion[..., 2:12:3] - END_PER_MIDDLE * flexion[..., 1:12:3]
    coupling = jnp.zeros_like(flexion).at[..., 2:12:3].set(ends / COUPLING_SIGMA)
    return jnp.stack(
        [over / LIMIT_SIGMA, twist / twist_sigma, spread / spread_sigma, coupling],
        axis=-1,
    )


def _bone(rest: Float[Array, "2 16 3"], joint: int) -> Float[Array, "2 3"]:
    """Direction from a joint to its child; of the bone before it for the last."""
    child = PARENTS.index(joint) if joint in PARENTS else None
    if child is None:
        return _unit(rest[:, joint] - rest[:, PARENTS[joint]])
    return _unit(rest[:, child] - rest[:, joint])


def _palm_direction(rest: Float[Array, "2 16 3"]) -> Float[Array, "2 3"]:
    """Out of the palm, towards what the hand grasps."""
    index = rest[:, INDEX_BASE] - rest[:, 0]
    pinky = rest[:, PINKY_BASE] - rest[:, 0]
    side = jnp.array([[1.0], [-1.0]], rest.dtype)
    return _unit(jnp.cross(index, pinky) * side)


def _unit(vector: Float[Array, "*b 3"]) -> Float[Array, "*b 3"]:
    squared = jnp.sum(vector**2, axis=-1, keepdims=True)
    return vector * jax.lax.rsqrt(jnp.maximum(squared, 1e-12))
