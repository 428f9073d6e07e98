"""The protocols of two-hand benchmarks: InterHand2.6M in two ways, and HIC.

A prediction of joints alone (``geometry.vertices`` is None) is compared by ``wrist``
and ``mcp`` in the same lines, its own joints in place of regressed ones; errors of the
mesh are then left out of what they return, and MRRPE where ``rel_trans`` is None.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from twohand_jax import metrics
from twohand_jax.evaluation.protocols.base import DatasetLabels, Protocol
from twohand_jax.evaluation.truth import Truth, compared_joints, near_origin
from twohand_jax.mano.joint_set import INTAGHAND, INTERWILD
from twohand_jax.mano.joints import CANONICAL, WRIST
from twohand_jax.types import (
    LEFT,
    HandGeometry,
    ManoModel,
    Mean,
    Prediction,
    Targets,
)

AXES = (("xyz", ""), ("xy", "-XY"), ("z", "-Z"))


def wrist(
    prediction: Prediction,
    truth: Truth,
    model: ManoModel,
    weight: Float[Array, "*b"],
) -> dict[str, Mean]:
    """InterWild's protocol for InterHand2.6M: every hand relative to its own wrist.

    Follows the evaluation of InterWild (``data/InterHand26M/InterHand26M.py``,
    ``evaluate`` and ``print_eval_result``): regressed joints against the dataset's
    own where the annotation calls joint and wrist valid in the picture; a mean for
    each joint of each hand, then over joints; ``MPJPE`` averages the joints of single
    and of interacting hands alike. Vertices are compared with the posed fit, hands
    pooled. MRRPE takes the estimated relative translation where both wrists are
    valid, RRVE puts the left hand by it beside the right one. Its later versions
    print joints of a regressor they learn; here it is the model's.

    Single or interacting is what the data set calls the picture (its ``hand_type``),
    also where a hand of a pair is outside of it.
    """
    targets = truth.targets
    here = targets.hand_valid & (weight > 0)[..., None]
    shown = targets.joints_3d_valid & targets.joints_2d_valid & here[..., None]
    shown &= shown[..., WRIST : WRIST + 1]
    estimate = near_origin(prediction.geometry)
    joints = compared_joints(model, estimate, INTERWILD)
    out: dict[str, Mean] = {}
    for axes, suffix in AXES:
        means = [
            metrics.mpjpe(joints, targets.joints_3d, mask, axes=axes, keep=2)
            for mask in _splits(shown, targets)
        ]
        both = Mean(*(jnp.stack(part) for part in zip(*means, strict=True)))
        out |= _named("MPJPE" + suffix, [both, *means])
    out["PA-MPJPE"] = metrics.pa_mpjpe(joints, targets.joints_3d, shown)
    out |= _between(prediction, targets, jnp.all(shown[..., WRIST], axis=-1))
    if prediction.geometry.vertices is None:
        return out
    return out | _mesh_errors(prediction, truth, model, here)


def hic(
    prediction: Prediction,
    truth: Truth,
    model: ManoModel,
    weight: Float[Array, "*b"],
) -> dict[str, Mean]:
    """HIC: every hand relative to its own wrist, hands pooled.

    Follows InterWild (``data/HIC/HIC.py``, ``evaluate``) for MPVPE, MRRPE and RRVE.
    The true mesh is the hand model fitted to HIC's mesh, which a record holds instead
    of the mesh; only hands count whose fit meets the mesh. MPJPE, which InterWild
    does not print and later papers do, is of joints regressed from both surfaces.
    """
    targets = truth.targets
    here = targets.hand_valid & (weight > 0)[..., None]
    fitted = targets.mano_valid & here
    known = jnp.broadcast_to(fitted[..., None], targets.joints_3d_valid.shape)
    joints, true_joints = (
        INTERWILD.of(model, geometry)
        for geometry in (near_origin(prediction.geometry), truth.hands)
    )
    out: dict[str, Mean] = {}
    for axes, suffix in AXES:
        out["MPJPE" + suffix] = metrics.mpjpe(joints, true_joints, known, axes=axes)
    out |= _between(prediction, targets, jnp.all(here, axis=-1))
    return out | _mesh_errors(prediction, truth, model, here)


def mcp(
    prediction: Prediction,
    truth: Truth,
    model: ManoModel,
    weight: Float[Array, "*b"],
    *,
    scaled: bool = False,
) -> dict[str, Mean]:
    """IntagHand's protocol: every hand relative to the base of its middle finger.

    Follows ``apps/eval_interhand.py`` of IntagHand, which ACR and others share: joints
    of estimate and truth regressed from posed surfaces; all 21 joints count, the root
    with error 0. Of interacting hands, which is all that code looks at, both must have
    fits. Later tables print single hands as well, and all hands together: hands are
    pooled here. MRRPE, which it does not define, is that of the wrists.

    Args:
        prediction: both hands.
        truth: labels; only the fits are looked at, and the relative translation.
        model: regresses joints.
        weight: 0 for rows that do not count.
        scaled: whether each hand is first scaled to the true length of the bone from
            wrist to root, as that code does; papers report both.
    """
    targets = truth.targets
    fitted = targets.hand_valid & targets.mano_valid & (weight > 0)[..., None]
    both = jnp.all(fitted, axis=-1)
    hands = fitted & (both | ~targets.interacting)[..., None]
    estimate = _from_middle_base(model, near_origin(prediction.geometry))
    target = _from_middle_base(model, truth.hands)
    if scaled:
        bones = estimate.joints[..., WRIST, :], target.joints[..., WRIST, :]
        estimate = jax.tree.map(
            lambda points: metrics.scaled_to_bone(points, *bones), estimate
        )
    known = jnp.broadcast_to(hands[..., None], target.joints.shape[:-1])
    out: dict[str, Mean] = {}
    for axes, suffix in AXES:
        errors = metrics.point_errors(estimate.joints, target.joints, axes=axes)
        out |= _by_split("MPJPE" + suffix, errors, known, targets)
    out["PA-MPJPE"] = metrics.pa_mpjpe(estimate.joints, target.joints, known)
    out |= _between(prediction, targets, both)
    if estimate.vertices is None:
        return out
    for axes, suffix in AXES:
        errors = metrics.point_errors(estimate.vertices, target.vertices, axes=axes)
        errors = jnp.mean(errors, axis=-1)
        out |= _by_split("MPVPE" + suffix, errors, hands, targets)
    out["PA-MPVPE"] = metrics.pa_mpvpe(estimate.vertices, target.vertices, hands)
    return out


def _between(
    prediction: Prediction, targets: Targets, both: Bool[Array, "*b"]
) -> dict[str, Mean]:
    """MRRPE of pictures of two hands, nothing for who does not estimate it."""
    if prediction.rel_trans is None:
        return {}
    seen = both & targets.rel_trans_valid
    return {"MRRPE": metrics.mrrpe(prediction.rel_trans, targets.rel_trans, seen)}


def _mesh_errors(
    prediction: Prediction,
    truth: Truth,
    model: ManoModel,
    here: Bool[Array, "*b 2"],
) -> dict[str, Mean]:
    """MPVPE by axes and splits, PA-MPVPE and RRVE against posed fits."""
    targets, true_vertices = truth.targets, truth.hands.vertices
    near = near_origin(prediction.geometry)
    roots = _wrists(model, near), _wrists(model, truth.hands)
    vertices = near.vertices
    fitted = targets.mano_valid & here
    out: dict[str, Mean] = {}
    for axes, suffix in AXES:
        means = [
            metrics.mpvpe(vertices, true_vertices, *roots, mask, axes=axes)
            for mask in (fitted, *_splits(fitted, targets))
        ]
        out |= _named("MPVPE" + suffix, means)
    out["PA-MPVPE"] = metrics.pa_mpvpe(vertices, true_vertices, fitted)
    if prediction.rel_trans is None:
        return out
    estimate = _beside_right(vertices, roots[0], prediction.rel_trans)
    target = _beside_right(true_vertices, roots[1], targets.rel_trans)
    origin = jnp.zeros_like(roots[0])
    pairs = fitted & targets.rel_trans_valid[..., None]
    out["RRVE"] = metrics.rrve(estimate, target, origin, origin, pairs)
    return out


def _by_split(
    name: str,
    errors: Float[Array, "..."],
    mask: Bool[Array, "..."],
    targets: Targets,
) -> dict[str, Mean]:
    """The mean of all errors, of single hands' and of interacting hands'."""
    masks = (mask, *_splits(mask, targets))
    return _named(name, [metrics.masked(errors, each) for each in masks])


def _splits(mask: Bool[Array, "..."], targets: Targets) -> list[Array]:
    """The mask in pictures of a single hand, and in those of interacting hands."""
    pair = targets.interacting
    pair = pair.reshape(*pair.shape, *(1,) * (mask.ndim - pair.ndim))
    return [mask & ~pair, mask & pair]


def _named(name: str, means: list[Mean]) -> dict[str, Mean]:
    names = (name, f"{name}/single", f"{name}/interacting")
    return dict(zip(names, means, strict=True))


def _wrists(model: ManoModel, geometry: HandGeometry) -> Float[Array, "*b 2 3"]:
    return INTERWILD.of(model, geometry)[..., WRIST, :]


def _beside_right(
    vertices: Float[Array, "*b 2 v 3"],
    wrists: Float[Array, "*b 2 3"],
    between: Float[Array, "*b 3"],
) -> Float[Array, "*b 2 v 3"]:
    """Both hands with the right wrist at the origin and the left one at ``between``."""
    offset = jnp.zeros_like(wrists).at[..., LEFT, :].set(between)
    return metrics.relative(vertices, wrists) + offset[..., None, :]


def _from_middle_base(model: ManoModel, geometry: HandGeometry) -> HandGeometry:
    joints = compared_joints(model, geometry, INTAGHAND)
    root = joints[..., CANONICAL.MIDDLE_BASE, :]
    return jax.tree.map(
        lambda points: metrics.relative(points, root), geometry._replace(joints=joints)
    )


_PLANES = ("MPJPE-XY", "MPJPE-Z", "MPVPE-XY", "MPVPE-Z")
_SPLIT_JOINTS = ("MPJPE/single", "MPJPE/interacting")
_SPLIT_MESH = ("MPVPE/single", "MPVPE/interacting")
HUMAN = "H"  # InterHand2.6M's annotations by people (METHOD §7)
_WRIST = Protocol(
    name="wrist",
    compare=wrist,
    counts="hands with 3D joints and a visible wrist",
    meaning="each hand relative to its own wrist, single and interacting hands",
    essential=("MPJPE",),
    columns=(
        *("MPJPE", "MPVPE", "MRRPE", "RRVE", "PA-MPJPE", "PA-MPVPE", *_PLANES),
        *(*_SPLIT_JOINTS, *_SPLIT_MESH),
    ),
    without_mesh=True,
    by_hand=True,
    subset=HUMAN,
    joints=INTERWILD,
)
_MCP = Protocol(
    name="mcp",
    compare=mcp,
    counts="single hands with meshes, and interacting hands that both have one",
    meaning="each hand relative to the base of its middle finger, single and "
    "interacting hands with fits",
    essential=("MPJPE", "MPVPE"),
    columns=(
        *("MPJPE", "MPVPE", "MRRPE", "PA-MPJPE", "PA-MPVPE", *_PLANES),
        *(*_SPLIT_JOINTS, *_SPLIT_MESH),
    ),
    without_mesh=True,
    by_hand=True,
    root=CANONICAL.MIDDLE_BASE,
    joints=INTAGHAND,
    of_mesh=True,
)
_MCP_SCALED = dataclasses.replace(
    _MCP,
    name="mcp_scaled",
    compare=functools.partial(mcp, scaled=True),
    meaning=_MCP.meaning + ", scaled to the true length of its first bone",
    by_hand=False,
)
_HIC = Protocol(
    name="hic",
    compare=hic,
    counts="hands with meshes",
    meaning="each hand relative to its own wrist, against HIC's meshes",
    essential=("MPVPE",),
    columns=("MRRPE", "MPJPE", "MPVPE", "RRVE", *_PLANES, *_SPLIT_MESH),
    by_hand=True,
    labels=DatasetLabels(dataset="hic"),
    joints=INTERWILD,
    of_mesh=True,
)
PROTOCOLS = (_WRIST, _MCP, _MCP_SCALED, _HIC)
