"""What is compared with what: the protocols of METHOD §7.

A protocol is a pure function of predictions and labels, both in the picture's camera
frame, to a dictionary of ``Mean`` in millimetres. Never compare numbers of different
protocols.
"""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from twohand_jax import mano, metrics
from twohand_jax.types import HandGeometry, ManoModel, Mean, Prediction, Targets

WRIST = 0
SPLITS = ("all", "single", "interacting")


def wrist(
    prediction: Prediction,
    targets: Targets,
    model: ManoModel,
    weight: Float[Array, "*b"],
) -> dict[str, Mean]:
    """InterWild's protocol: every hand relative to its own wrist.

    Joints are compared with the data set's own, vertices with the fitted mesh. MRRPE
    needs both wrists. ``single`` and ``interacting`` split by the hands in the picture;
    ``all`` pools hands.
    """
    seen = targets.hand_valid & (weight > 0)[..., None]
    truth = mano.forward(model, targets.mano)
    joint_valid = targets.joints_3d_valid & seen[..., None]
    interacting = jnp.all(targets.hand_valid, axis=-1)
    keep = {
        "all": jnp.ones_like(interacting),
        "single": ~interacting,
        "interacting": interacting,
    }
    out: dict[str, Mean] = {}
    for split, mask in keep.items():
        valid = joint_valid & mask[..., None, None]
        hands = targets.mano_valid & seen & mask[..., None]
        suffix = "" if split == "all" else f"/{split}"
        for name, value in _hand_errors(
            prediction.geometry, truth, targets, valid, hands
        ).items():
            out[name + suffix] = value
    both = targets.rel_trans_valid & interacting & (weight > 0)
    out["MRRPE"] = metrics.mrrpe(prediction.rel_trans, targets.rel_trans, both)
    return out


def _hand_errors(
    estimate: HandGeometry,
    truth: HandGeometry,
    targets: Targets,
    valid: Bool[Array, "*b 2 21"],
    hands: Bool[Array, "*b 2"],
) -> dict[str, Mean]:
    joints, true_joints = estimate.joints, targets.joints_3d
    roots = joints[..., WRIST, :], truth.joints[..., WRIST, :]
    out = {}
    for axes, suffix in (("xyz", ""), ("xy", "-XY"), ("z", "-Z")):
        out["MPJPE" + suffix] = metrics.mpjpe(joints, true_joints, valid, axes=axes)
        out["MPVPE" + suffix] = metrics.mpvpe(
            estimate.vertices, truth.vertices, *roots, hands, axes=axes
        )
    out["PA-MPJPE"] = metrics.pa_mpjpe(joints, true_joints, valid)
    return out


PROTOCOLS = {"wrist": wrist}
