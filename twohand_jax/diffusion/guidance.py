"""Energies that guidance descends, and the steps by which it does (METHOD §5)."""

import dataclasses
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from twohand_jax import collision
from twohand_jax.collision import DEFAULT, CollisionConfig
from twohand_jax.diffusion import representation
from twohand_jax.diffusion.ddim import Change, Energy
from twohand_jax.diffusion.representation import (
    KINDS,
    SIZE,
    TRANSLATION,
    PairFrame,
    Statistics,
    check_statistics,
)
from twohand_jax.errors import InputError
from twohand_jax.geometry import boxes, cameras
from twohand_jax.mano.joints import CANONICAL
from twohand_jax.types import (
    LEFT,
    RIGHT,
    Camera,
    HandGeometry,
    ManoModel,
    Prediction,
)

# A user's energy, in sampling and in refinement: (hand model, pairs in the prior frame)
# -> one value a pair. There the reference is the left hand and lies unrotated with its
# middle-finger base at the origin; a pair with a right reference is seen in a mirror.
PairEnergy = Callable[[ManoModel, HandGeometry], Float[Array, "*b"]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class GuidanceConfig:
    """Step sizes λ of gradient descent on the predicted clean vector.

    Attributes:
        last: size of the last step, for variance-normalised vectors.
        ratio: ratio of each step's size to the next one's.
        others_at_last: factor on all but the translation in the last step.
        others: factor on all but the translation in every step.
        across: factor on translations across the line of sight. The picture shows
            where a hand is in these directions, but not how far away it is.
        settle: number of steps of the last size that follow without the prior.
        limit: largest change of a vector in one step, in normalised units; None sets
            no limit.
    """

    last: float = 7.0
    ratio: float = 0.9
    others_at_last: float = 0.1
    others: float = 1.0
    across: float = 1.0
    settle: int = 0
    limit: float | None = None

    def __post_init__(self) -> None:
        """Refuse step sizes that ascend or overflow."""
        for name in ("last", "others_at_last", "others", "across", "settle"):
            if not 0 <= getattr(self, name) < math.inf:
                raise InputError(
                    f"GuidanceConfig.{name} is {getattr(self, name)}; it must be "
                    "finite and not negative."
                )
        if not 0 < self.ratio <= 1:
            raise InputError(
                f"GuidanceConfig.ratio is {self.ratio}; it must lie in (0, 1]."
            )
        if self.limit is not None and not self.limit > 0:
            raise InputError(
                f"GuidanceConfig.limit is {self.limit}; give a positive length or None."
            )


def step_sizes(
    steps: int, statistics: Statistics, kind: str, *, config: GuidanceConfig
) -> Float[Array, "k 64"]:
    """Step size of every coordinate in every sampling step.

    A gradient step of size λ on variance-normalised vectors moves a raw coordinate by
    λ·variance²·gradient. The returned sizes move it equally far in the prior's space.

    Args:
        steps: number of sampling steps.
        statistics: mean and scale of the prior's vectors.
        kind: "std" or "variance": the meaning of the statistics' scale.
        config: sizes of the steps.
    """
    check_statistics(statistics)
    if kind not in KINDS:
        raise InputError(
            f"Unknown kind of statistics {kind!r}; choose one of {', '.join(KINDS)}."
        )
    geometric = config.last * config.ratio ** jnp.arange(steps - 1, -1, -1)
    sizes = jnp.broadcast_to(geometric[:, None], (steps, SIZE))
    coordinate = jnp.arange(SIZE)
    others = (coordinate < TRANSLATION.start) & (jnp.arange(steps) == steps - 1)[
        :, None
    ]
    sizes = jnp.where(others, sizes * config.others_at_last, sizes)
    sizes = jnp.where(coordinate < TRANSLATION.start, sizes * config.others, sizes)
    return sizes * (statistics.scale**2 if kind == "std" else 1.0)


def by_energy(
    energy: Energy,
    sizes: Float[Array, "k 64"],
    *,
    limit: float | None = None,
    sight: Float[Array, "*b 3"] | None = None,
    across: float = 1.0,
) -> Change:
    """A function that makes one gradient step on an energy, for ``ddim.sample``.

    Samples do not influence each other: the energy of each depends on its own vector.

    Args:
        energy: maps normalised clean vectors to one value for each sample.
        sizes: step sizes from ``step_sizes``.
        limit: as in ``GuidanceConfig``.
        sight: unit vector from the camera to the hand, in the frame of its translation.
        across: as in ``GuidanceConfig``; needs ``sight``.
    """

    def change(
        clean: Float[Array, "*b 64"], step: Int[Array, ""]
    ) -> Float[Array, "*b 64"]:
        gradient = jax.grad(lambda vectors: jnp.sum(energy(vectors)))(clean)
        move = sizes[step] * gradient
        if limit is not None:
            squared = jnp.sum(move**2, axis=-1, keepdims=True)
            long = squared > limit**2
            safe = jnp.where(long, squared, 1.0)
            move = jnp.where(long, move * limit * jax.lax.rsqrt(safe), move)
        if sight is not None:
            # After the limit: across, the hand moves more slowly at any step size.
            shift = move[..., TRANSLATION]
            along = jnp.sum(shift * sight, axis=-1, keepdims=True) * sight
            move = move.at[..., TRANSLATION].set(along + across * (shift - along))
        return clean - move

    return change


@dataclasses.dataclass(frozen=True, kw_only=True)
class EnergyConfig:
    """Weights and lengths of the terms; a weight of 0 leaves a term out.

    Attributes:
        collision: weight of the collision energy.
        keypoints: weight of the distance of the other hand's joints from its keypoints.
        estimate: weight of the distance of its joints from the estimate.
        criteria: which pairs of vertices collide.
        keypoint_scale: distance in the picture at which a keypoint's robust cost is one
            half, as a share of the diagonal of the hand's box.
        estimate_scale: distance from the estimate at which the cost is 1, metres.
    """

    collision: float = 1.0
    keypoints: float = 0.0
    estimate: float = 0.0
    criteria: CollisionConfig = DEFAULT
    keypoint_scale: float = 0.05
    estimate_scale: float = 0.05

    def __post_init__(self) -> None:
        """Refuse weights and lengths that would reward what they should punish."""
        for name in ("collision", "keypoints", "estimate"):
            if not 0 <= getattr(self, name) < math.inf:
                raise InputError(
                    f"EnergyConfig.{name} is {getattr(self, name)}; a weight must be "
                    "finite and not negative (0 leaves the term out)."
                )
        for name in ("keypoint_scale", "estimate_scale"):
            if not 0 < getattr(self, name) < math.inf:
                raise InputError(
                    f"EnergyConfig.{name} is {getattr(self, name)}; give a positive "
                    "length."
                )


class PairContext(NamedTuple):
    """What the other hand is judged by, per sample.

    The reference's vertices and joints and ``estimate_joints``, those of the other
    hand, are in the prior frame (metres). ``keypoints`` are x, y, score of the other
    hand in pixels of ``camera``; ``extent`` is the diagonal of its box in pixels.
    """

    reference_vertices: Float[Array, "*b 778 3"]
    reference_joints: Float[Array, "*b 21 3"]
    estimate_joints: Float[Array, "*b 21 3"]
    keypoints: Float[Array, "*b 21 3"]
    extent: Float[Array, "*b"]
    camera: Camera
    reference: Int[Array, "*b"]
    frame: PairFrame


def pair_context(
    prediction: Prediction,
    reference: Int[Array, "*b"],
    frame: PairFrame,
    keypoints: Float[Array, "*b 2 21 3"] | None = None,
) -> PairContext:
    """The scene of an estimate.

    Args:
        prediction: both hands, in the camera.
        reference: RIGHT or LEFT, for each sample: the hand that stays.
        frame: from ``representation.pair_frame``.
        keypoints: x, y, score of both hands in the picture's pixels.
    """
    if keypoints is None:
        keypoints = jnp.zeros((*prediction.score.shape, 21, 3))
    vertices = hand_values(prediction.geometry.vertices, reference)
    held = hand_values(prediction.geometry.joints, reference)
    joints = hand_values(prediction.geometry.joints, 1 - reference)
    keypoints = jnp.where(jnp.isfinite(keypoints).all(-1, keepdims=True), keypoints, 0)
    size = boxes.size(hand_values(prediction.box, 1 - reference))
    return PairContext(
        reference_vertices=representation.to_prior(vertices, reference, frame),
        reference_joints=representation.to_prior(held, reference, frame),
        estimate_joints=representation.to_prior(joints, reference, frame),
        keypoints=hand_values(keypoints, 1 - reference),
        extent=jnp.linalg.norm(size, axis=-1),
        camera=prediction.camera,
        reference=reference,
        frame=frame,
    )


def line_of_sight(scene: PairContext) -> Float[Array, "*b 3"]:
    """Unit vectors from the camera to the estimated other hand, in the prior frame."""
    lens = jnp.zeros((*scene.reference.shape, 1, 3))
    start = representation.to_prior(lens, scene.reference, scene.frame)[..., 0, :]
    towards = scene.estimate_joints[..., CANONICAL.MIDDLE_BASE, :] - start
    squared = jnp.sum(towards**2, axis=-1, keepdims=True)
    return towards * jax.lax.rsqrt(jnp.maximum(squared, 1e-12))


def joint_weights(scene: PairContext) -> Float[Array, "*b 21"]:
    """How well each joint of the other hand was seen, from 0 to 1.

    The scores of its keypoints; a hand without any score counts as seen whole.
    """
    score = jnp.clip(scene.keypoints[..., 2], 0.0, 1.0)
    known = jnp.any(score > 0, axis=-1, keepdims=True)
    return jnp.where(known, score, 1.0)


def hand_values(values: Array, hand: Int[Array, "*b"]) -> Array:
    """The rows of one hand, which may differ from sample to sample."""
    index = hand.reshape(hand.shape + (1,) * (values.ndim - hand.ndim))
    return jnp.take_along_axis(values, index, axis=hand.ndim).squeeze(hand.ndim)


def total_energy(
    model: ManoModel,
    statistics: Statistics,
    scene: PairContext,
    *,
    config: EnergyConfig,
    extra: PairEnergy | None = None,
) -> Energy:
    """The weighted sum of the terms, as a function of normalised other hands.

    Args:
        model: hand model.
        statistics: of the prior.
        scene: what the other hand is judged by.
        config: the built-in terms.
        extra: a user's energy of both hands, added as it is.
    """

    def energy(clean: Float[Array, "*b 64"]) -> Float[Array, "*b"]:
        vectors = representation.denormalise(
            clean, statistics, hand=representation.OTHER
        )
        vertices, joints = representation.other_hand(model, vectors)
        value = jnp.zeros(clean.shape[:-1], clean.dtype)
        if config.collision:
            value += config.collision * collide(model, scene, vertices, config=config)
        if config.keypoints:
            value += config.keypoints * leave_keypoints(scene, joints, config=config)
        if config.estimate:
            value += config.estimate * leave_estimate(scene, joints, config=config)
        if extra is not None:
            value += extra(model, as_pair(scene, vertices, joints))
        return value

    return energy


def as_pair(
    scene: PairContext,
    vertices: Float[Array, "*b 778 3"],
    joints: Float[Array, "*b 21 3"],
) -> HandGeometry:
    """The other hand beside the reference, prior frame: a right and a left hand."""
    return HandGeometry(
        vertices=jnp.stack([vertices, scene.reference_vertices], axis=-3),
        joints=jnp.stack([joints, scene.reference_joints], axis=-3),
    )


def collide(
    model: ManoModel,
    scene: PairContext,
    vertices: Float[Array, "*b 778 3"],
    *,
    config: EnergyConfig,
) -> Float[Array, "*b"]:
    """Collision energy with the reference mesh, which guidance holds fixed."""
    return collision.energy(
        scene.reference_vertices,
        vertices,
        model.faces[LEFT],
        model.faces[RIGHT],
        config=config.criteria,
    )


def leave_keypoints(
    scene: PairContext, joints: Float[Array, "*b 21 3"], *, config: EnergyConfig
) -> Float[Array, "*b"]:
    """Robust distance of the projected joints to the keypoints, weighted by score.

    Zero when no keypoint has a score.
    """
    placed = representation.to_camera(joints, scene.reference, scene.frame)
    pixels = cameras.project(placed, scene.camera)
    score = jnp.maximum(scene.keypoints[..., 2], 0.0)
    offset = jnp.where(score[..., None] > 0, pixels - scene.keypoints[..., :2], 0.0)
    squared = jnp.sum(offset**2, axis=-1)
    half = (config.keypoint_scale * jnp.maximum(scene.extent, 1.0)) ** 2
    robust = squared / (squared + half[..., None])
    weight = jnp.sum(score, axis=-1)
    return jnp.sum(score * robust, axis=-1) / jnp.where(weight > 0, weight, 1.0)


def leave_estimate(
    scene: PairContext, joints: Float[Array, "*b 21 3"], *, config: EnergyConfig
) -> Float[Array, "*b"]:
    """Mean squared distance of the joints to the estimate's."""
    squared = jnp.sum((joints - scene.estimate_joints) ** 2, axis=-1)
    return jnp.mean(squared, axis=-1) / config.estimate_scale**2
