"""What a hand's joints can do, and joint angles in anatomical axes.

Three axes are built for each of the 15 joints, from the rest skeleton alone, so they
work for any model in MANO's layout: flexion (positive closes the hand), twist about the
bone, and spread.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from twohand_jax.mano.joints import MANO16, PARENTS, WRIST
from twohand_jax.types import ManoModel

HIGHEST = jax.lax.Precision.HIGHEST
# Ranges of motion in degrees (low, high), zero in the flat hand. They are those of
# clinical goniometry to 5 degrees (American Academy of Orthopaedic Surgeons, "Joint
# Motion", 1965, as in Norkin and White, "Measurement of Joint Motion": MCP 90, spread
# 20, PIP 100, DIP 90, thumb's abduction 70, MCP 50, IP 20 back to 80; Reider, "The
# Orthopaedic Physical Examination": PIP 110, DIP 70 to 90; Eaton, "Electronic Textbook
# of Hand Surgery": thumb's MCP 10 back to 55). The MCP joints bend back by what hands
# show of themselves; pushed they reach 45. The middle finger spreads to either side.
FINGER_DEG = {
    "mcp_flexion": (-20.0, 90.0),
    "mcp_abduction": (-12.0, 25.0),
    "pip_flexion": (0.0, 110.0),
    "dip_flexion": (-5.0, 80.0),
}
MIDDLE_ABDUCTION_DEG = (-10.0, 10.0)
THUMB_DEG = {
    "radial": (5.0, 65.0),
    "palmar": (0.0, 60.0),
    "opposition": (-15.0, 50.0),
    "mcp_flexion": (-10.0, 60.0),
    "ip_flexion": (-20.0, 80.0),
}
# A finger's end joint follows its middle one (both bend by the same tendon): it bends
# by between these shares.
DIP_SHARE = (0.3, 0.9)
COUPLING_SIGMA = 0.3
LIMIT_SIGMA = 0.08
# From rest the thumb's base bends towards the little finger or away from it by the
# whole of its radial range: which part is left depends on the model's rest pose.
_THUMB_BASE_DEG = THUMB_DEG["radial"][1] - THUMB_DEG["radial"][0]
_FLEXION_DEG = (
    *4 * [FINGER_DEG[name] for name in ("mcp_flexion", "pip_flexion", "dip_flexion")],
    (-_THUMB_BASE_DEG, _THUMB_BASE_DEG),
    THUMB_DEG["mcp_flexion"],
    THUMB_DEG["ip_flexion"],
)
# Standard deviations of twist and spread, radians: a finger's base, middle and end.
_SIGMA = np.array(
    [
        *4 * [(0.12, 0.25), (0.1, 0.1), (0.1, 0.1)],
        (0.45, 0.6),
        (0.2, 0.25),
        (0.15, 0.15),
    ]
)


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
    """Flexion, twist and spread of a hand pose, radians from the rest pose."""
    absolute = hand_pose + model.pose_mean
    return jnp.einsum("hjak,...hjk->...hja", axes(model), absolute, precision=HIGHEST)


def flexion_limits(model: ManoModel) -> Float[Array, "2 15 2"]:
    """Smallest and largest flexion of each joint, radians from the rest pose."""
    return jnp.deg2rad(jnp.array(_FLEXION_DEG)) - _rest_flexion(model)[..., None]


def implausibility(
    angles: Float[Array, "*b 2 15 3"], limits: Float[Array, "2 15 2"]
) -> Float[Array, "*b 2 15 4"]:
    """Residuals in standard deviations; zero flexion error inside the limits.

    The last axis: flexion beyond its limits, twist, spread, and the end joint's
    deviation from its middle joint (zero for other joints).

    Args:
        angles: flexion, twist and spread, radians from the rest pose.
        limits: smallest and largest flexion, radians, from ``flexion_limits``.
    """
    flexion, twist, spread = angles[..., 0], angles[..., 1], angles[..., 2]
    low, high = limits[..., 0], limits[..., 1]
    over = jax.nn.relu(flexion - high) - jax.nn.relu(low - flexion)
    ends = flexion[..., 2:12:3] - sum(DIP_SHARE) / 2 * flexion[..., 1:12:3]
    coupling = jnp.zeros_like(flexion).at[..., 2:12:3].set(ends / COUPLING_SIGMA)
    return jnp.stack(
        [over / LIMIT_SIGMA, twist / _SIGMA[:, 0], spread / _SIGMA[:, 1], coupling],
        axis=-1,
    )


def _rest_flexion(model: ManoModel) -> Float[Array, "2 15"]:
    """How far the rest pose bends each joint; zero for the thumb's base.

    The flat hand's fingers lie in the plane along wrist and middle finger's base, and
    across the knuckles.
    """
    flexion, bone, _ = jnp.moveaxis(axes(model), 2, 0)
    rest = model.joint_template
    across = rest[:, MANO16.INDEX_BASE] - rest[:, MANO16.PINKY_BASE]
    along = rest[:, MANO16.MIDDLE_BASE] - rest[:, WRIST]
    palm = _unit(jnp.cross(across, along) * _mirrored(rest))
    raised = jnp.arcsin(jnp.clip(jnp.sum(bone * palm[:, None], axis=-1), -1.0, 1.0))
    before = jnp.roll(bone, 1, axis=1)
    sine = jnp.sum(jnp.cross(before, bone) * flexion, axis=-1)
    bent = jnp.arctan2(sine, jnp.sum(before * bone, axis=-1))
    bases = jnp.arange(15) % 3 == 0
    return jnp.where(bases, raised, bent).at[:, MANO16.THUMB_BASE - 1].set(0.0)


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
    return _unit(jnp.cross(index, pinky) * _mirrored(rest))


def _mirrored(rest: Float[Array, "2 16 3"]) -> Float[Array, "2 1"]:
    """The sign that a cross product has on each hand."""
    return jnp.array([[1.0], [-1.0]], rest.dtype)


def _unit(vector: Float[Array, "*b 3"]) -> Float[Array, "*b 3"]:
    squared = jnp.sum(vector**2, axis=-1, keepdims=True)
    return vector * jax.lax.rsqrt(jnp.maximum(squared, 1e-12))
