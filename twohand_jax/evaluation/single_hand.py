"""The protocols of the FreiHAND and HO-3D servers: one right hand a picture."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from twohand_jax import metrics
from twohand_jax.evaluation.truth import Truth, with_tips
from twohand_jax.geometry import alignment
from twohand_jax.mano.joints import CANONICAL, WRIST
from twohand_jax.types import RIGHT, ManoModel, Mean, Prediction, Targets

THRESHOLDS_MM = (5, 15)
FREIHAND_TIPS, HO3D_TIPS = "freihand", "ho3d"


def freihand(
    prediction: Prediction,
    truth: Truth,
    model: ManoModel,
    weight: Float[Array, "*b"],
) -> dict[str, Mean]:
    """FreiHAND's official evaluation of right hands (toolbox: ``eval.py``).

    Positions are compared in the camera's frame as they are, and again (``PA-``)
    after the best similarity, which may reflect and is found for joints and for
    vertices each by themselves. AUC is the area under the share of points within 0 to
    50 mm (100 thresholds), F the harmonic mean of precision and recall of vertices
    within 5 and 15 mm. The true mesh is the posed fit of the record.
    """
    targets = truth.targets
    known, fitted, joints = _right_hands(prediction, targets, weight, FREIHAND_TIPS)
    return _joint_errors(joints, targets, known) | _mesh_errors(
        prediction, truth, fitted
    )


def ho3d(
    prediction: Prediction,
    truth: Truth,
    model: ManoModel,
    weight: Float[Array, "*b"],
) -> dict[str, Mean]:
    """HO-3D's official evaluation: FreiHAND's, and ``ST-`` (toolbox: ``eval.py``).

    ``ST-`` scales the estimate to the true distance from wrist to middle base and
    lays the wrists on each other. The labels of its evaluation split are not public.
    """
    targets = truth.targets
    known, fitted, joints = _right_hands(prediction, targets, weight, HO3D_TIPS)
    out = _joint_errors(joints, targets, known)
    target = targets.joints_3d[..., RIGHT, :, :]
    estimate, target = (
        metrics.relative(points, points[..., WRIST, :]) for points in (joints, target)
    )
    bones = (
        estimate[..., CANONICAL.MIDDLE_BASE, :],
        target[..., CANONICAL.MIDDLE_BASE, :],
    )
    errors = metrics.point_errors(metrics.scaled_to_bone(estimate, *bones), target)
    valid = jnp.broadcast_to(known[..., None], errors.shape)
    out["ST-MPJPE"] = metrics.masked(errors, valid)
    out["ST-PCK-J"] = metrics.pck(errors, valid)
    return out | _mesh_errors(prediction, truth, fitted)


def _right_hands(
    prediction: Prediction, targets: Targets, weight: Float[Array, "*b"], tips: str
) -> tuple[Bool[Array, "*b"], Bool[Array, "*b"], Float[Array, "*b 21 3"]]:
    """Which right hands have all joints, which have meshes too, and their estimates."""
    here = targets.hand_valid[..., RIGHT] & (weight > 0)
    known = here & jnp.all(targets.joints_3d_valid[..., RIGHT, :], axis=-1)
    joints = with_tips(prediction.geometry, tips=tips)
    return known, known & targets.mano_valid[..., RIGHT], joints[..., RIGHT, :, :]


def _joint_errors(
    joints: Float[Array, "*b 21 3"], targets: Targets, known: Bool[Array, "*b"]
) -> dict[str, Mean]:
    target = targets.joints_3d[..., RIGHT, :, :]
    joints, target = _cleared(joints, known), _cleared(target, known)
    aligned = alignment.procrustes(joints, target, allow_reflection=True)
    valid = jnp.broadcast_to(known[..., None], target.shape[:-1])
    out = {}
    for prefix, points in (("", joints), ("PA-", aligned)):
        errors = metrics.point_errors(points, target)
        out[f"{prefix}MPJPE"] = metrics.masked(errors, valid)
        out[f"{prefix}PCK-J"] = metrics.pck(errors, valid)
    return out


def _mesh_errors(
    prediction: Prediction, truth: Truth, fitted: Bool[Array, "*b"]
) -> dict[str, Mean]:
    place = truth.targets.mano.transl[..., RIGHT, :]
    vertices = metrics.relative(prediction.geometry.vertices[..., RIGHT, :, :], place)
    vertices = _cleared(vertices, fitted)
    target = _cleared(truth.hands.vertices[..., RIGHT, :, :], fitted)
    aligned = alignment.procrustes(vertices, target, allow_reflection=True)
    valid = jnp.broadcast_to(fitted[..., None], target.shape[:-1])
    out = {}
    for prefix, points in (("", vertices), ("PA-", aligned)):
        errors = metrics.point_errors(points, target)
        out[f"{prefix}MPVPE"] = metrics.masked(errors, valid)
        out[f"{prefix}PCK-V"] = metrics.pck(errors, valid)
        scores = metrics.f_scores(points, target, fitted, thresholds_mm=THRESHOLDS_MM)
        for threshold, score in zip(THRESHOLDS_MM, scores, strict=True):
            out[f"{prefix}F@{threshold}"] = score
    return out


def _cleared(points: Float[Array, "*b n 3"], valid: Bool[Array, "*b"]) -> Array:
    """Points of hands that do not count as zeros, so that none spoils a batch."""
    return jnp.where(valid[..., None, None], points, 0.0)
