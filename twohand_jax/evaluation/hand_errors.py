"""Errors of each joint and each hand, relative to the root, for plots and breakdowns.

They are not aligned and keep hands apart, whatever the protocol makes of them.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from twohand_jax import metrics
from twohand_jax.evaluation import hand_joints
from twohand_jax.evaluation.truth import Truth
from twohand_jax.types import ManoModel, Prediction


def joint_errors(
    joints: Float[Array, "*b 2 21 3"],
    truth: Truth,
    model: ManoModel,
    *,
    root: int,
    tips: str,
    of_mesh: bool,
) -> Float[Array, "*b 2 21"]:
    """Distance of each joint relative to the root (mm), NaN where it has no label.

    Args:
        joints: estimates, any frame.
        truth: labels.
        model: regresses joints.
        root: joint that is subtracted.
        tips: which vertices are fingertips (``mano.joints.FINGERTIPS``).
        of_mesh: whether the truth is taken from the fitted mesh, as the estimate is,
            or is the dataset's own.
    """
    targets = truth.targets
    hands = targets.hand_valid[..., None]
    if of_mesh:
        target = hand_joints.of_surface(model, truth.hands, tips=tips)
        known = targets.mano_valid[..., None] & hands
    else:
        target = targets.joints_3d
        known = targets.joints_3d_valid & hands
        known &= known[..., root : root + 1]
    errors = metrics.point_errors(
        metrics.relative(joints, joints[..., root, :]),
        metrics.relative(target, target[..., root, :]),
    )
    return jnp.where(known, errors, jnp.nan)


def vertex_errors(
    prediction: Prediction,
    truth: Truth,
    model: ManoModel,
    *,
    root: int,
    tips: str,
) -> Float[Array, "*b 2"]:
    """Mean distance of the vertices relative to the root (mm).

    NaN without a fit, and everywhere for a method without meshes.
    """
    targets = truth.targets
    if prediction.geometry.vertices is None:
        return jnp.full(targets.hand_valid.shape, jnp.nan)
    placed = (
        metrics.relative(
            hand.vertices,
            hand_joints.of_surface(model, hand, tips=tips)[..., root, :],
        )
        for hand in (prediction.geometry, truth.hands)
    )
    mean = jnp.mean(metrics.point_errors(*placed), axis=-1)
    return jnp.where(targets.mano_valid & targets.hand_valid, mean, jnp.nan)
