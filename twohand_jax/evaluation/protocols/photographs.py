"""What is asked of hands in photographs: pose, its parts, and where the palm points."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from twohand_jax import metrics
from twohand_jax.evaluation.protocols.base import Protocol
from twohand_jax.evaluation.truth import Truth, compared_joints, near_origin
from twohand_jax.geometry import alignment, rotations
from twohand_jax.mano.joint_set import INTERWILD
from twohand_jax.mano.joints import CANONICAL, PALM, WRIST
from twohand_jax.types import ManoModel, Mean, Prediction

AXES = (("xyz", ""), ("xy", "-XY"), ("z", "-Z"))
MCP, PALM_ANGLE = "MPJPE-MCP", "palm"


def photographs(
    prediction: Prediction,
    truth: Truth,
    model: ManoModel,
    weight: Float[Array, "*b"],
) -> dict[str, Mean]:
    """Labelled joints of each hand, all joints of all hands pooled.

    ``MPJPE`` and its parts are relative to the wrist, ``MPJPE-MCP`` to the base of the
    middle finger: sets differ in where a wrist is. ``palm`` is the angle, in degrees,
    of the rotation that lays the estimated wrist and finger bases on the true ones;
    most of what the wrist-rooted error says of a hand follows from it. ``MRRPE`` is of
    pictures of two hands.
    """
    targets = truth.targets
    here = targets.hand_valid & (weight > 0)[..., None]
    known = targets.joints_3d_valid & here[..., None]
    joints = compared_joints(model, near_origin(prediction.geometry), INTERWILD)
    target, rooted = targets.joints_3d, known & known[..., WRIST : WRIST + 1]
    out = {
        "MPJPE" + suffix: metrics.mpjpe(joints, target, rooted, axes=axes)
        for axes, suffix in AXES
    }
    out[MCP] = metrics.mpjpe(joints, target, known, root=CANONICAL.MIDDLE_BASE)
    out["PA-MPJPE"] = metrics.pa_mpjpe(joints, target, known)
    out[PALM_ANGLE] = _palm_angles(joints, target, known)
    if prediction.rel_trans is None:
        return out
    both = jnp.all(known[..., WRIST], axis=-1) & targets.rel_trans_valid
    mrrpe = metrics.mrrpe(prediction.rel_trans, targets.rel_trans, both)
    return out | {"MRRPE": mrrpe}


def _palm_angles(
    joints: Float[Array, "*b 2 21 3"],
    target: Float[Array, "*b 2 21 3"],
    known: Bool[Array, "*b 2 21"],
) -> Mean:
    """Angle between estimated and true palm of the hands that show all of it."""
    palm = jnp.array(PALM)
    whole = jnp.all(known[..., palm], axis=-1)
    estimate, true = (
        jnp.where(whole[..., None, None], points[..., palm, :], 0.0)
        for points in (joints, target)
    )
    R = alignment.rotation_onto(estimate, true)
    angle = rotations.angle_between(R, jnp.broadcast_to(jnp.eye(3), R.shape))
    return metrics.masked(jnp.rad2deg(angle), whole)


_PHOTOGRAPHS = Protocol(
    name="photographs",
    compare=photographs,
    counts="hands with 3D joints",
    meaning="each hand relative to its own wrist, and the rotation of its palm",
    essential=("PA-MPJPE",),
    columns=("MPJPE", "PA-MPJPE", PALM_ANGLE, MCP, "MPJPE-XY", "MPJPE-Z", "MRRPE"),
    without_mesh=True,
    by_hand=True,
    units="mm (palm in degrees)",
    joints=INTERWILD,
)
PROTOCOLS = (_PHOTOGRAPHS,)
