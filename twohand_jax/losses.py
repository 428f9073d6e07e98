"""The regressor's losses: masked L1 means (METHOD §4)."""

import dataclasses
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from twohand_jax import fields, switches
from twohand_jax.crops import labels
from twohand_jax.crops.inputs import ORIGIN, CropConfig, virtual_cameras
from twohand_jax.geometry import affine, cameras, rotations, view
from twohand_jax.mano import forward_side
from twohand_jax.mano.joint_set import KINDS, POSED, JointSet
from twohand_jax.mano.joints import WRIST
from twohand_jax.types import (
    RIGHT,
    HandGeometry,
    Inputs,
    ManoModel,
    Mean,
    Output,
    Targets,
)

MEANS = "valid", "all"


@dataclasses.dataclass(frozen=True, kw_only=True)
class LossConfig:
    """Factor of each term (METHOD §4); a term with factor 0 is still reported.

    Attributes:
        min_confidence: pseudo labels of hands that are less certain do not count; the
            others weigh as much as they are certain.
        mean: what a term is divided by: "valid", its elements that have a label, or
            "all", as InterWild does; terms with few labels then weigh less.
        joints: of the posed model: "kinematic", or "regressed" from its surface, as
            InterWild's are (``mano.joint_set``).
        pose: rotation matrices of MANO's 16 joints, the root included; the fingers'
            relative to the mean pose where the crop's ``flat_hand_mean`` is off.
        shape: MANO's shape coefficients.
        joint_3d: joints of the posed model, relative to the wrist, metres.
        mesh: vertices of the posed model, relative to the wrist, metres.
        joint_25d: joint heat maps against the data set's joints, cells.
        mano_25d: joint heat maps against the fitted model's projected joints, cells.
        projection: joints of the posed model in the crop's virtual camera, cells.
        rel_trans: left wrist minus right wrist, metres.
    """

    mean: str = MEANS[0]
    joints: str = POSED.kind
    min_confidence: float = 0.0
    pose: float = 1.0
    shape: float = 1.0
    joint_3d: float = 10.0
    mesh: float = 10.0
    joint_25d: float = 1.0
    mano_25d: float = 1.0
    projection: float = 1.0
    rel_trans: float = 1.0

    def __post_init__(self) -> None:
        weights = dict.fromkeys(WEIGHTS, fields.NOT_NEGATIVE)
        fields.check(
            self,
            mean=MEANS,
            joints=tuple(KINDS),
            min_confidence=fields.PROBABILITY,
            **weights,
        )


SETTINGS = ("mean", "joints", "min_confidence")  # the other fields are factors
WEIGHTS = tuple(n for n in fields.names(LossConfig) if n not in SETTINGS)


class _Posed(NamedTuple):
    """A hand in the network frame: all estimated rotations and the surface they give.

    Attributes:
        R: those of the fingers are relative to what ``CropConfig.flat_hand_mean`` says.
        vertices: metres.
        joints: metres.
    """

    R: Float[Array, "*b 2 16 3 3"]
    vertices: Float[Array, "*b 2 778 3"]
    joints: Float[Array, "*b 2 21 3"]


class _Term(NamedTuple):
    """Two arrays to compare, and where."""

    estimate: Array
    target: Array
    valid: Bool[Array, "..."]


@switches.promotions()
def compute(
    output: Output,
    model: ManoModel,
    inputs: Inputs,
    targets: Targets,
    weight: Float[Array, "*b"],
    *,
    config: LossConfig,
    crop: CropConfig,
) -> tuple[Float[Array, ""], dict[str, Mean]]:
    """The weighted sum of all terms, and each term as a mean.

    Args:
        output: the network's estimates.
        model: hand model, of which only the right hand is used, since both hands are
            right hands in the network frame.
        inputs: the network's inputs, for the maps to the crops.
        targets: labels in crop pixels and network frame (from ``crops.augment``).
        weight: 0 for padding, else 1.
        config: factor of each term, and what its mean is taken over.
        crop: sizes of crops and heat maps, and the virtual camera.
    """
    chex.assert_tree_shape_prefix((output, inputs, targets), weight.shape)
    output = jax.tree.map(lambda x: x.astype(jnp.float32), output)
    confidence = None
    if targets.doubt is not None:
        confidence = jnp.clip(1.0 - targets.doubt, 0.0, 1.0)
        targets = trusted(targets, confidence >= config.min_confidence)
    joints = JointSet(POSED.tips, config.joints)
    predicted = _pose_output(output, model, joints, crop)
    truth = _pose_targets(targets, model, joints, crop)
    terms = _surface_terms(output, predicted, truth, targets)
    terms |= _crop_terms(output, predicted, truth, inputs, targets, crop)
    if output.rel_trans is not None:
        terms["rel_trans"] = _Term(
            output.rel_trans, targets.rel_trans, targets.rel_trans_valid
        )
    means = {
        name: masked_l1(
            *term, weight > 0, mean=config.mean, confidence=_share(confidence, name)
        )
        for name, term in terms.items()
    }
    total = jnp.zeros(())
    for name, term in means.items():
        total = total + getattr(config, name) * term.value(empty=0.0)
    return total, means


def trusted(targets: Targets, is_sure: Bool[Array, "*b 2"]) -> Targets:
    """Labels without those of hands that are not sure."""
    return targets._replace(
        joints_2d_valid=targets.joints_2d_valid & is_sure[..., None],
        joints_3d_valid=targets.joints_3d_valid & is_sure[..., None],
        mano_valid=targets.mano_valid & is_sure,
        rel_trans_valid=targets.rel_trans_valid & jnp.all(is_sure, axis=-1),
    )


def _share(confidence: Array | None, term: str) -> Array | None:
    """How much each label of a term weighs: between hands as the less certain one."""
    if confidence is None or term != "rel_trans":
        return confidence
    return jnp.min(confidence, axis=-1)


def masked_l1(
    estimate: Float[Array, "..."],
    target: Float[Array, "..."],
    valid: Bool[Array, "..."],
    sample_valid: Bool[Array, "*b"],
    *,
    mean: str = MEANS[0],
    confidence: Float[Array, "..."] | None = None,
) -> Mean:
    """Sum of the absolute differences over valid elements, and what to divide it by.

    Doubtful labels weigh less in the sum; what it is divided by counts them as others.

    Args:
        estimate: values to judge; ignored where invalid, even if they are NaN.
        target: values of the same shape.
        valid: mask over the leading axes of the values.
        sample_valid: mask over the batch, for padding.
        mean: over the "valid" elements or over "all" of real samples.
        confidence: factor of the differences, over the leading axes; None is 1.
    """

    def spread(flags: Array) -> Array:
        flags = flags.reshape(*flags.shape, *(1,) * (estimate.ndim - flags.ndim))
        return jnp.broadcast_to(flags, estimate.shape)

    real = spread(sample_valid)
    mask = real & spread(valid)
    difference = jnp.where(mask, estimate, 0.0) - jnp.where(mask, target, 0.0)
    if confidence is not None:
        difference = difference * spread(confidence)
    counted = real if mean == "all" else mask
    return Mean(jnp.sum(jnp.abs(difference)), jnp.sum(counted.astype(jnp.float32)))


def to_cells(
    joints_px: Float[Array, "*b 2"], *, crop: CropConfig
) -> Float[Array, "*b 2"]:
    """Convert crop pixels to cells of the heat map."""
    return joints_px * (crop.cells / crop.crop_size)


def depth_to_cells(
    depth: Float[Array, "*b"], *, crop: CropConfig
) -> Float[Array, "*b"]:
    """Convert metres behind the wrist to cells; the wrist is in the middle."""
    return (depth / (crop.box_3d_m / 2) + 1) / 2 * crop.cells


def _pose_output(
    output: Output, model: ManoModel, joints: JointSet, crop: CropConfig
) -> _Posed:
    root = rotations.rotation_6d_to_matrix(output.global_orient_6d)
    pose = rotations.rotation_6d_to_matrix(output.hand_pose_6d)
    R = posed = jnp.concatenate([root[..., None, :, :], pose], axis=-3)
    if not crop.flat_hand_mean:
        posed = _from_mean(rotations.matrix_to_axis_angle(R), model)
    still = jnp.zeros_like(output.camera)
    return _pose(model, joints, posed, output.betas, still)._replace(R=R)


def _pose_targets(
    targets: Targets, model: ManoModel, joints: JointSet, crop: CropConfig
) -> _Posed:
    mano = targets.mano
    valid = targets.mano_valid[..., None]
    relative = jnp.concatenate([mano.global_orient[..., None, :], mano.hand_pose], -2)
    relative = jnp.where(valid[..., None], relative, 0.0)
    truth = _pose(
        model,
        joints,
        _from_mean(relative, model),
        jnp.where(valid, mano.betas, 0.0),
        jnp.where(valid, mano.transl, 0.0),
    )
    if crop.flat_hand_mean:
        return truth
    return truth._replace(R=rotations.axis_angle_to_matrix(relative))


def _from_mean(
    axis_angle: Float[Array, "*b 2 16 3"], model: ManoModel
) -> Float[Array, "*b 2 16 3 3"]:
    """Rotations of the root, and of fingers that are relative to the mean pose."""
    fingers = axis_angle[..., 1:, :] + model.pose_mean[RIGHT]
    whole = jnp.concatenate([axis_angle[..., :1, :], fingers], axis=-2)
    return rotations.axis_angle_to_matrix(whole)


def _pose(
    model: ManoModel,
    joint_set: JointSet,
    R: Float[Array, "*b 2 16 3 3"],
    betas: Float[Array, "*b 2 10"],
    transl: Float[Array, "*b 2 3"],
) -> _Posed:
    """Both hands as right hands, in one forward pass."""
    vertices, joints = forward_side(
        model, RIGHT, R[..., 0, :, :], R[..., 1:, :, :], betas, transl
    )
    right = model.joint_regressor[RIGHT]
    rights = dataclasses.replace(model, joint_regressor=jnp.stack([right, right]))
    joints = joint_set.of(rights, HandGeometry(vertices, joints))
    return _Posed(R=R, vertices=vertices, joints=joints)


def _surface_terms(
    output: Output, predicted: _Posed, truth: _Posed, targets: Targets
) -> dict[str, _Term]:
    wrist = predicted.joints[..., :1, :]
    true_wrist = truth.joints[..., :1, :]
    joint_valid = targets.joints_3d_valid & targets.joints_3d_valid[..., :1]
    return {
        "pose": _Term(predicted.R, truth.R, targets.mano_valid),
        "shape": _Term(output.betas, targets.mano.betas, targets.mano_valid),
        "joint_3d": _Term(
            predicted.joints - wrist,
            targets.joints_3d - targets.joints_3d[..., :1, :],
            joint_valid,
        ),
        "mesh": _Term(
            predicted.vertices - wrist, truth.vertices - true_wrist, targets.mano_valid
        ),
    }


def _crop_terms(
    output: Output,
    predicted: _Posed,
    truth: _Posed,
    inputs: Inputs,
    targets: Targets,
    crop: CropConfig,
) -> dict[str, _Term]:
    """Terms in heat-map cells. A heat map can't answer for joints outside of it."""
    xy = to_cells(targets.joints_2d, crop=crop)
    placed = predicted.joints + output.camera[..., None, :]
    if crop.placed_by != ORIGIN:
        placed = placed - predicted.joints[..., :1, :]
    projected = to_cells(cameras.project(placed, virtual_cameras(crop)), crop=crop)
    terms = {"projection": _Term(projected, xy, targets.joints_2d_valid)}
    if output.joints_25d is None:
        return terms
    depth_valid = targets.joints_3d_valid & targets.joints_3d_valid[..., :1]
    dataset = _cells_term(
        output.joints_25d,
        xy,
        targets.joints_3d,
        jnp.stack(
            [targets.joints_2d_valid, targets.joints_2d_valid, depth_valid], axis=-1
        ),
        crop,
    )
    seen = to_cells(_project_truth(truth, inputs, targets, crop), crop=crop)
    fitted = targets.mano_valid & targets.camera_valid[..., None]
    fitted = fitted & (truth.joints[..., WRIST, 2] > 0)
    every = jnp.broadcast_to(fitted[..., None, None], dataset.valid.shape)
    cells = output.joints_25d
    return {
        "joint_25d": dataset,
        "mano_25d": _cells_term(cells, seen, truth.joints, every, crop),
        **terms,
    }


def _cells_term(
    estimate: Float[Array, "*b 2 21 3"],
    xy: Float[Array, "*b 2 21 2"],
    joints: Float[Array, "*b 2 21 3"],
    valid: Bool[Array, "*b 2 21 3"],
    crop: CropConfig,
) -> _Term:
    depth = joints[..., 2] - joints[..., :1, 2]
    target = jnp.concatenate([xy, depth_to_cells(depth, crop=crop)[..., None]], axis=-1)
    inside = (target >= 0) & (target < crop.cells)
    # Where the depth is unknown, it can't be outside either.
    inside |= jnp.array([False, False, True]) & ~valid
    inside = jnp.all(inside, axis=-1, keepdims=True)
    return _Term(estimate, target, valid & inside)


def _project_truth(
    truth: _Posed, inputs: Inputs, targets: Targets, crop: CropConfig
) -> Float[Array, "*b 2 21 2"]:
    """Crop pixels of the fitted joints, seen by the picture's own camera."""
    R = labels.view_rotation(
        inputs.T_crop_image,
        targets.camera,
        crop=crop,
        camera_valid=targets.camera_valid,
    )
    joints = view.turn(R, labels.mirror_left_points(truth.joints))
    camera = jax.tree.map(lambda x: x[..., None, :], targets.camera)
    return affine.apply(inputs.T_crop_image, cameras.project(joints, camera))
