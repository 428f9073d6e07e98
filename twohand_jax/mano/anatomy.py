"""Joint angles in anatomical axes, and how far they leave what hands can do.

For each of the 15 joints three axes are built from the rest skeleton alone, so they
serve any model in MANO's layout: flexion (positive closes the hand), twist about the
bone, and spread. Limits follow clinical ranges of motion (Norkin and White,
"Measurement of Joint Motion"), rounded outwards.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from twohand_jax.mano.joints import MANO16, PARENTS, WRIST
from twohand_jax.types import ManoModel

HIGHEST = jax.lax.Precision.HIGHEST
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


def axes(model: ManoModel) -> Float[Array, "2 15 3 3"]:
    """Unit rows flexion, twist (bone direction) and spread of each joint, at rest."""
    rest = model.joint_template
    bone = jnp.stack([_bone(rest, joint) for joint in range(1, 16)], axis=1)
    palm = _palm_direction(rest)[:, None, :]
    to_pinky = rest[:, MANO16.PINKY_BASE, None] - rest[:, MANO16.THUMB_BASE :]
    closing = jnp.concatenate([jnp.broadcast_to(palm, (2, 12, 3)), to_pinky], axis=1)
    flexion = _unit(jnp.cross(bone, closing))
    return jnp.stack([flexion, bone, jnp.cross(flexion, bone)], axis=-2)


def angles(
    model: ManoModel, hand_pose: Float[Array, "*b 2 15 3"]
) -> Float[Array, "*b 2 15 3"]:
    """Axis-angles against the rest pose as flexion, twist and spread."""
    absolute = hand_pose + model.pose_mean
    return jnp.einsum("hjak,...hjk->...hja", axes(model), absolute, precision=HIGHEST)


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
    index = rest[:, MANO16.INDEX_BASE] - rest[:, WRIST]
    pinky = rest[:, MANO16.PINKY_BASE] - rest[:, WRIST]
    side = jnp.array([[1.0], [-1.0]], rest.dtype)
    return _unit(jnp.cross(index, pinky) * side)


def _unit(vector: Float[Array, "*b 3"]) -> Float[Array, "*b 3"]:
    squared = jnp.sum(vector**2, axis=-1, keepdims=True)
    return vector * jax.lax.rsqrt(jnp.maximum(squared, 1e-12))
