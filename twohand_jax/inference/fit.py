"""A short fit after the network: damped least squares on MANO parameters.

The evidence is 2D keypoints and, if the detector gives them, joints in metres
(MediaPipe's world landmarks). The latter give the palm's initial orientation and pull
the posture; their size and place are not used.
"""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import lineax as lx
import optimistix as optx
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float

from twohand_jax import mano
from twohand_jax.geometry import alignment, boxes, cameras, rotations, view
from twohand_jax.mano import anatomy
from twohand_jax.mano import skeleton as skeletons
from twohand_jax.mano.joints import PALM, TIPS
from twohand_jax.types import Camera, ManoModel, ManoParams, Prediction

HIGHEST = jax.lax.Precision.HIGHEST
MAX_BETA = 3.0
LEAST_TRUST = 0.5  # from this score on a detector's hand is the better start


@dataclasses.dataclass(frozen=True, kw_only=True)
class FitConfig:
    """Standard deviations of the fit's terms.

    Attributes:
        keypoint_sigma: deviation of a keypoint, relative to the box's longer side.
        keypoint_knee: error in sigmas above which it counts linearly, not squared.
        orient_sigma: deviation of the hand's rotation from the network's, radians.
        pose_sigma: deviation of each joint angle from the network's, radians.
        world_sigma: deviation of a joint from the detector's, metres; not fingertips.
        world_tip_sigma: the same for fingertips, which detectors find less exactly.
        world_knee: error in sigmas above which it counts linearly, not squared.
        shape_sigma: deviation of shape coefficients from the network's; twice that
            from zero.
        shared_shape_sigma: deviation between the shapes of both hands.
        depth_sigma: deviation of log depth from the network's.
        relative_depth_sigma: deviation between both hands' changes of log depth.
        max_steps: largest number of Levenberg-Marquardt iterations.
    """

    keypoint_sigma: float = 0.008
    keypoint_knee: float = 4.0
    orient_sigma: float = 0.5
    pose_sigma: float = 0.25
    world_sigma: float = 0.005
    world_tip_sigma: float = 0.015
    world_knee: float = 3.0
    shape_sigma: float = 1.0
    shared_shape_sigma: float = 0.7
    depth_sigma: float = 0.1
    relative_depth_sigma: float = 0.02
    max_steps: int = 20


DEFAULT = FitConfig()


class Change(NamedTuple):
    """The unknowns: how both hands differ from the network's estimate.

    ``shift`` moves the wrist in the picture, in box sides; ``depth`` is the logarithm
    of the wrist's depth over the network's; ``pose`` is in anatomical axes.
    """

    orient: Float[Array, "2 3"]
    pose: Float[Array, "2 15 3"]
    betas: Float[Array, "2 10"]
    shift: Float[Array, "2 2"]
    depth: Float[Array, "2"]


class Start(NamedTuple):
    """Place of both hands: orientation, wrist pixel, wrist depth in metres."""

    orient: Float[Array, "2 3 3"]
    wrist_px: Float[Array, "2 2"]
    depth: Float[Array, "2"]


class Problem(NamedTuple):
    """What the residuals need besides the unknowns, computed once.

    ``start`` is the network's place of the hands laid onto the keypoints; ``pose``
    (absolute axis-angles) and ``betas`` are the network's. ``world`` are the detector's
    joints in the camera's axes, of unknown size, about any point; ``world_trust`` is 0
    where there are none.
    """

    hand: skeletons.Skeleton
    axes: Float[Array, "2 15 3 3"]
    limits: Float[Array, "2 15 2"]
    start: Start
    pose: Float[Array, "2 15 3"]
    betas: Float[Array, "2 10"]
    camera: Camera
    keypoints: Float[Array, "2 21 3"]
    side: Float[Array, "2"]
    world: Float[Array, "2 21 3"]
    world_trust: Float[Array, "2"]
    present: Bool[Array, "2"]


class _Hands(NamedTuple):
    """Both hands with a change applied; the pose is absolute axis-angles."""

    orient: Float[Array, "2 3 3"]
    pose: Float[Array, "2 15 3"]
    betas: Float[Array, "2 10"]
    wrist: Float[Array, "2 3"]


def fit(
    model: ManoModel,
    prediction: Prediction,
    keypoints: Float[Array, "2 21 3"],
    world: Float[Array, "2 21 3"] | None = None,
    *,
    config: FitConfig = DEFAULT,
) -> Prediction:
    """Move a prediction of one picture onto 2D keypoints and the detector's 3D joints.

    Args:
        model: hand model of the prediction.
        prediction: the network's estimate, without batch axis.
        keypoints: x, y in the picture's pixels and score, the probability that it is
            right; score 0 ignores a point. A hand's highest score counts for ``world``.
        world: the joints as the detector sees each hand in its own crop, metres about
            any point: x right, y down, z away from the eye; zeros (or None) where they
            are not known.
        config: weights and the iteration limit.

    Returns:
        The fitted prediction; hands with score 0 or without keypoints are unchanged.
    """
    if world is None:
        world = jnp.zeros_like(keypoints)
    problem = pose_problem(model, prediction, keypoints, world)
    zero = Change(*(jnp.zeros(s) for s in ((2, 3), (2, 15, 3), (2, 10), (2, 2), (2,))))
    # One flat vector in, one out: a pytree would give the solver's program a block
    # for each pair of leaves and double its compilation.
    start, unflatten = ravel_pytree(zero)
    solution: Any = optx.least_squares(
        lambda y, args: ravel_pytree(residuals(unflatten(y), args, config))[0],
        optx.LevenbergMarquardt(
            rtol=1e-3, atol=1e-3, linear_solver=lx.Normal(lx.Cholesky())
        ),
        start,
        args=problem,
        max_steps=config.max_steps,
        throw=False,
    )
    change = unflatten(solution.value)
    params = _to_mano(model, _apply(problem, change))
    moved = problem.present & _all_finite(params)
    params = jax.tree.map(
        lambda new, old: jnp.where(moved.reshape(2, *[1] * (new.ndim - 1)), new, old),
        params,
        prediction.mano,
    )
    geometry = mano.forward(model, params)
    wrists = geometry.joints[:, 0]
    return prediction._replace(
        mano=params, geometry=geometry, rel_trans=wrists[1] - wrists[0]
    )


def pose_problem(
    model: ManoModel,
    prediction: Prediction,
    keypoints: Float[Array, "2 21 3"],
    world: Float[Array, "2 21 3"],
) -> Problem:
    """What the residuals need of a picture; see ``fit`` for the arguments."""
    scored = jnp.sum(keypoints[..., 2] > 0, axis=-1)
    hand = skeletons.skeleton(model)
    pose = prediction.mano.hand_pose + model.pose_mean
    betas = jnp.clip(prediction.mano.betas, -MAX_BETA, MAX_BETA)
    trust = jnp.clip(jnp.max(keypoints[..., 2], axis=-1), 0.0, 1.0)
    world_trust = trust * jnp.any(world != 0, axis=(-2, -1))
    world = in_camera(world, keypoints, prediction.camera)
    orient = rotations.axis_angle_to_matrix(prediction.mano.global_orient)
    turned = _turn_palm(hand, orient, pose, betas, world)
    start = lay_on(
        keypoints,
        hand,
        jnp.where((world_trust > LEAST_TRUST)[:, None, None], turned, orient),
        pose,
        betas,
        prediction.geometry.joints[:, 0],
        prediction.camera,
    )
    return Problem(
        hand=hand,
        axes=anatomy.axes(model),
        limits=anatomy.flexion_limits(model),
        start=start,
        pose=pose,
        betas=betas,
        camera=prediction.camera,
        keypoints=keypoints,
        side=_box_side(keypoints),
        world=world,
        world_trust=world_trust,
        present=(prediction.score > 0) & (scored >= 4),
    )


def _box_side(keypoints: Float[Array, "2 21 3"]) -> Float[Array, "2"]:
    box = boxes.from_points(keypoints[..., :2], keypoints[..., 2] > 0)
    return jnp.maximum(jnp.max(boxes.size(box), axis=-1), 1.0)


def _apply(problem: Problem, change: Change) -> _Hands:
    turn = rotations.axis_angle_to_matrix(change.orient)
    pixel = problem.start.wrist_px + change.shift * problem.side[:, None]
    depth = problem.start.depth * jnp.exp(change.depth)
    return _Hands(
        orient=jnp.matmul(turn, problem.start.orient, precision=HIGHEST),
        pose=problem.pose
        + jnp.einsum("hjak,hja->hjk", problem.axes, change.pose, precision=HIGHEST),
        betas=problem.betas + change.betas,
        wrist=cameras.backproject(pixel, depth, problem.camera),
    )


def _to_mano(model: ManoModel, hands: _Hands) -> ManoParams:
    return ManoParams(
        global_orient=rotations.matrix_to_axis_angle(hands.orient),
        hand_pose=hands.pose - model.pose_mean,
        betas=hands.betas,
        transl=hands.wrist - mano.params.rest_wrist(model, hands.betas),
    )


def _all_finite(params: ManoParams) -> Bool[Array, ""]:
    leaves = [jnp.all(jnp.isfinite(leaf)) for leaf in params]
    return jnp.all(jnp.stack(leaves))


def residuals(
    change: Change, problem: Problem, config: FitConfig
) -> dict[str, Float[Array, "..."]]:
    """All terms, each divided by its standard deviation; absent hands are masked."""
    hands = _apply(problem, change)
    there = problem.present.astype(change.depth.dtype)
    both = there[0] * there[1]
    angles = jnp.einsum("hjak,hjk->hja", problem.axes, hands.pose, precision=HIGHEST)
    rotation = rotations.axis_angle_to_matrix(hands.pose)
    joints = skeletons.joints(problem.hand, hands.orient, rotation, hands.betas)
    each_hand = {
        "keypoints": _keypoint_residual(problem, joints, hands.wrist, config),
        "world": _world_residual(problem, joints, config),
        "orient": change.orient / config.orient_sigma,
        "pose": change.pose / config.pose_sigma,
        "anatomy": anatomy.implausibility(angles, problem.limits),
        "betas_change": change.betas / config.shape_sigma,
        "betas": hands.betas / (2 * config.shape_sigma),
        "shift": change.shift,
        "depth": change.depth / config.depth_sigma,
    }
    masked = {
        name: term * there.reshape(2, *[1] * (term.ndim - 1))
        for name, term in each_hand.items()
    }
    shape_gap = (hands.betas[0] - hands.betas[1]) / config.shared_shape_sigma
    depth_gap = (change.depth[0] - change.depth[1]) / config.relative_depth_sigma
    return masked | {"shape_gap": both * shape_gap, "depth_gap": both * depth_gap}


def _keypoint_residual(
    problem: Problem,
    joints: Float[Array, "2 21 3"],
    wrist: Float[Array, "2 3"],
    config: FitConfig,
) -> Float[Array, "2 21 2"]:
    """Pixel errors in sigmas."""
    pixels = cameras.project(joints + wrist[:, None], problem.camera)
    sigma = config.keypoint_sigma * problem.side[:, None, None]
    error = (pixels - problem.keypoints[..., :2]) / sigma
    score = jnp.clip(problem.keypoints[..., 2:], 0.0, 1.0)
    return _linear_beyond(error, config.keypoint_knee) * jnp.sqrt(score)


def _world_residual(
    problem: Problem, joints: Float[Array, "2 21 3"], config: FitConfig
) -> Float[Array, "2 21 3"]:
    """Errors of the joints in sigmas, the detector's laid on their middle and size.

    Size and place are the picture's to tell: a detector has seen neither.
    """
    sigma = (
        jnp.full((21, 1), config.world_sigma)
        .at[jnp.array(TIPS)]
        .set(config.world_tip_sigma)
    )
    weight = 1.0 / sigma**2
    own, there = (_centred(points, weight) for points in (joints, problem.world))
    size = [jnp.sum(weight * points**2, axis=(-2, -1)) for points in (own, there)]
    scale = jax.lax.stop_gradient(jnp.sqrt(size[0] / jnp.maximum(size[1], 1e-6)))
    error = (own - scale[:, None, None] * there) / sigma
    trust = jnp.sqrt(problem.world_trust)[:, None, None]
    return _linear_beyond(error, config.world_knee) * trust


def _centred(
    points: Float[Array, "2 21 3"], weight: Float[Array, "21 1"]
) -> Float[Array, "2 21 3"]:
    return points - jnp.sum(weight * points, axis=-2, keepdims=True) / jnp.sum(weight)


def _linear_beyond(
    error: Float[Array, "2 21 k"], knee: float
) -> Float[Array, "2 21 k"]:
    """Residuals whose squares grow linearly where a point's error passes the knee."""
    squared = jnp.sum(error**2, axis=-1, keepdims=True) / knee**2
    return error * jnp.sqrt(2.0 / (1.0 + jnp.sqrt(1.0 + squared)))


def in_camera(
    world: Float[Array, "2 21 3"], keypoints: Float[Array, "2 21 3"], camera: Camera
) -> Float[Array, "2 21 3"]:
    """Joints as crops see their hands, in the axes of the picture's camera.

    A crop's detector takes the ray through its middle for the optical axis.
    """
    scored = (keypoints[..., 2:] > 0).astype(keypoints.dtype)
    count = jnp.maximum(jnp.sum(scored, axis=-2), 1.0)
    middle = jnp.sum(keypoints[..., :2] * scored, axis=-2) / count
    middle = jnp.where(jnp.any(scored > 0, axis=-2), middle, camera.center)
    ray = cameras.backproject(middle, jnp.ones(2), camera)
    R = view.toward(ray)
    return jnp.einsum("hij,hnj->hni", R, world, precision=HIGHEST)


def _turn_palm(
    hand: skeletons.Skeleton,
    orient: Float[Array, "2 3 3"],
    pose: Float[Array, "2 15 3"],
    betas: Float[Array, "2 10"],
    world: Float[Array, "2 21 3"],
) -> Float[Array, "2 3 3"]:
    """The orientation at which the palm lies as the detector's does."""
    palm, matrices = jnp.array(PALM), rotations.axis_angle_to_matrix(pose)
    joints = skeletons.joints(hand, orient, matrices, betas)
    turn = alignment.rotation_onto(joints[:, palm], world[:, palm])
    return jnp.matmul(turn, orient, precision=HIGHEST)


# Depth gives way only when the sizes in the picture differ by more than this factor:
# smaller differences may as well be the hand's shape.
SIZE_TOLERANCE = 1.3
# A whole hand, some 0.2 m long, then still lies in front of the camera.
MIN_DEPTH = 0.25
# Rounds of reweighting, and the error (in root mean square radii of the hand) at which
# a keypoint's weight has fallen to a quarter.
ROUNDS, REJECT = 3, 0.3


def lay_on(
    keypoints: Float[Array, "2 21 3"],
    hand: skeletons.Skeleton,
    orient: Float[Array, "2 3 3"],
    pose: Float[Array, "2 15 3"],
    betas: Float[Array, "2 10"],
    wrist: Float[Array, "2 3"],
    camera: Camera,
) -> Start:
    """Turn, scale and shift each hand in the picture's plane onto its keypoints.

    Hands whose keypoints are hardly to be trusted stay where they are.

    Args:
        keypoints: x, y, score in pixels.
        hand: joints of the model.
        orient: the network's, in the picture's camera.
        pose: absolute axis-angles.
        betas: shape.
        wrist: in the picture's camera, metres.
        camera: the picture's.
    """
    matrices = rotations.axis_angle_to_matrix(pose)
    wrist = wrist.at[:, 2].max(MIN_DEPTH)
    joints = skeletons.joints(hand, orient, matrices, betas) + wrist[:, None]
    pixels = cameras.project(joints, camera)
    seen = _similarity(pixels, keypoints)
    is_off = jnp.abs(jnp.log(jnp.maximum(seen.scale, 1e-6))) > jnp.log(SIZE_TOLERANCE)
    scale = jnp.where(is_off, seen.scale, 1.0)
    R = rotations.rotation_z(seen.angle)
    offset = _turned(R, pixels[:, :1] - seen.middle[:, None])[:, 0]
    laid = Start(
        orient=jnp.matmul(R, orient, precision=HIGHEST),
        wrist_px=seen.target + offset * scale[:, None],
        depth=wrist[:, 2] / scale,
    )
    own = Start(orient, pixels[:, 0], wrist[:, 2])
    trusted = jnp.max(keypoints[..., 2], axis=-1) >= LEAST_TRUST
    return jax.tree.map(
        lambda x, y: jnp.where(trusted.reshape(2, *[1] * (x.ndim - 1)), x, y), laid, own
    )


class _Similarity(NamedTuple):
    """``target + scale R(angle) (pixel - middle)``."""

    angle: Float[Array, "2"]
    scale: Float[Array, "2"]
    middle: Float[Array, "2 2"]
    target: Float[Array, "2 2"]


def _similarity(
    pixels: Float[Array, "2 21 2"], keypoints: Float[Array, "2 21 3"]
) -> _Similarity:
    """Best similarity onto the keypoints, reweighted so that single ones can't pull."""
    score = jnp.clip(keypoints[..., 2:], 0.0, 1.0)
    weight = score
    for _ in range(ROUNDS):
        total = jnp.maximum(jnp.sum(weight, axis=1), 1e-6)
        middle = jnp.sum(pixels * weight, axis=1) / total
        target = jnp.sum(keypoints[..., :2] * weight, axis=1) / total
        source, goal = pixels - middle[:, None], keypoints[..., :2] - target[:, None]
        dot = jnp.sum(weight * source * goal, axis=(1, 2))
        cross = source[..., 0] * goal[..., 1] - source[..., 1] * goal[..., 0]
        angle = jnp.arctan2(jnp.sum(weight[..., 0] * cross, axis=1), dot)
        spread = jnp.sum(weight * jnp.stack([source**2, goal**2]), axis=(2, 3))
        spread = jnp.maximum(spread, 1e-6)
        scale = jnp.sqrt(spread[1] / spread[0])
        moved = _turned(rotations.rotation_z(angle), source) * scale[:, None, None]
        error = jnp.sum((moved - goal) ** 2, axis=-1, keepdims=True)
        width = REJECT**2 * (spread[1] / total[:, 0])[:, None, None]
        weight = score / (1.0 + error / width) ** 2
    return _Similarity(angle, scale, middle, target)


def _turned(
    R: Float[Array, "2 3 3"], points: Float[Array, "2 n 2"]
) -> Float[Array, "2 n 2"]:
    return jnp.einsum("hij,hnj->hni", R[:, :2, :2], points, precision=HIGHEST)
