"""The protocols of the FreiHAND and HO-3D servers: one right hand a picture.

Both servers take ``pred.json``: a list of two lists, the joints (21 x 3) and the
vertices (778 x 3) of every evaluation picture in the official order, in metres
(toolboxes: ``pred.py``). FreiHAND wants the project's own joint order and camera
frame. HO-3D wants OpenGL's axes (y up, z backward) and joints in the order of its
annotations, the model's 16 and then the fingertips; the true wrist is given with each
picture (``handJoints3D``) and the estimate is laid on it.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from twohand_jax import metrics, reading
from twohand_jax.errors import InputError
from twohand_jax.evaluation.protocols.base import (
    DatasetLabels,
    Protocol,
    Server,
    ServerPoints,
)
from twohand_jax.evaluation.truth import Truth
from twohand_jax.geometry import alignment
from twohand_jax.mano.joint_set import FREIHAND, HO3D, JointSet
from twohand_jax.mano.joints import CANONICAL, CANONICAL_FROM_MODEL, WRIST
from twohand_jax.types import RIGHT, ManoModel, Mean, Prediction, Targets

THRESHOLDS_MM = (5, 15)
FREIHAND_NUMBER = re.compile(r"evaluation/(\d{8})")
OPENGL = np.array([1.0, -1.0, -1.0], np.float32)
MODEL_FROM_CANONICAL = np.argsort(CANONICAL_FROM_MODEL)


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
    known, fitted = _right_hands(targets, weight)
    joints = _right_joints(model, prediction, FREIHAND)
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
    known, fitted = _right_hands(targets, weight)
    joints = _right_joints(model, prediction, HO3D)
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
    targets: Targets, weight: Float[Array, "*b"]
) -> tuple[Bool[Array, "*b"], Bool[Array, "*b"]]:
    """Which right hands have all joints, and which have meshes too."""
    here = targets.hand_valid[..., RIGHT] & (weight > 0)
    known = here & jnp.all(targets.joints_3d_valid[..., RIGHT, :], axis=-1)
    return known, known & targets.mano_valid[..., RIGHT]


def _right_joints(
    model: ManoModel, prediction: Prediction, joints: JointSet
) -> Float[Array, "*b 21 3"]:
    """The right hand's joints as the benchmark means them."""
    return joints.of(model, prediction.geometry)[..., RIGHT, :, :]


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


def freihand_order(image_ids: Sequence[str], listing: Path | None = None) -> list[str]:
    """The official order of FreiHAND's evaluation pictures: by their number.

    Raises:
        InputError: a name is not one of the evaluation split, or a number is missing.
    """
    numbers = {}
    for name in image_ids:
        found = FREIHAND_NUMBER.fullmatch(name)
        if found is None:
            raise InputError(
                f"{name!r} is not an evaluation picture of FreiHAND (expected "
                "evaluation/00000000 and so on): give the test split of FreiHAND."
            )
        numbers[int(found[1])] = name
    for number in range(len(numbers)):
        if number not in numbers:
            raise InputError(
                f"FreiHAND's picture evaluation/{number:08d} is not among the records, "
                "but the server wants every one: build the test split again and look "
                "at its rejections."
            )
    return [numbers[number] for number in range(len(numbers))]


def ho3d_order(image_ids: Sequence[str], listing: Path | None) -> list[str]:
    """Names in the order of HO-3D's ``evaluation.txt``.

    Raises:
        InputError: the file is missing or empty.
    """
    del image_ids  # not every listed picture need have a record
    assert listing is not None, "Server.listing says that the order is in a file."
    try:
        lines = reading.read_text(listing).split()
    except InputError as error:
        raise InputError(
            f"{error} Give evaluation.txt of HO-3D with --list, which says the order "
            "that the server expects."
        ) from error
    if not lines:
        raise InputError(f"{listing} names no pictures: give HO-3D's evaluation.txt.")
    return [f"evaluation/{line}" for line in lines]


def _unchanged(points: ServerPoints) -> ServerPoints:
    """Canonical joints in our camera frame, as FreiHAND has them."""
    return points


def _as_ho3d(points: ServerPoints) -> ServerPoints:
    joints, vertices = points
    return joints[:, MODEL_FROM_CANONICAL] * OPENGL, vertices * OPENGL


_COUNTS = "right hands with all 3D joints and a mesh"
_UNITS = "mm (F and AUC from 0 to 1)"
_ALIGNED = ("PA-F@5", "PA-F@15", "PA-AUC-J", "PA-AUC-V")
_PLAIN = ("MPJPE", "MPVPE", "F@5", "F@15", "AUC-J", "AUC-V")
# Toolboxes of FreiHAND and HO-3D, db_size: pictures of their evaluation splits.
_FREIHAND = Protocol(
    name="freihand",
    compare=freihand,
    counts=_COUNTS,
    meaning="after Procrustes alignment, joints and vertices apart",
    essential=("PA-MPJPE", "PA-MPVPE"),
    columns=("PA-MPJPE", "PA-MPVPE", *_ALIGNED, *_PLAIN),
    right_hand=True,
    units=_UNITS,
    labels=DatasetLabels(dataset="freihand"),
    server=Server(pictures="3,960", order=freihand_order, convert=_unchanged),
    joints=FREIHAND,
)
_HO3D = Protocol(
    name="ho3d",
    compare=ho3d,
    counts=_COUNTS,
    meaning="after Procrustes alignment, joints and vertices apart; joints also scaled "
    "and laid on the wrist",
    essential=("PA-MPJPE", "PA-MPVPE"),
    columns=("PA-MPJPE", "PA-MPVPE", "ST-MPJPE", *_ALIGNED, "ST-AUC-J", *_PLAIN),
    right_hand=True,
    units=_UNITS,
    labels=DatasetLabels(
        dataset="ho3d",
        withheld={
            "test": "keeps joints and meshes of its evaluation split to its server"
        },
    ),
    server=Server(
        pictures="11,524 (version 2) or 20,137 (version 3)",
        order=ho3d_order,
        convert=_as_ho3d,
        listing="evaluation.txt",
        wrist_given=True,
    ),
    joints=HO3D,
)
PROTOCOLS = (_FREIHAND, _HO3D)
