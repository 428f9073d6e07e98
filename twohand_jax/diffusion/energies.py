"""What guidance descends: collision with the reference hand, and what was seen.

Every term is without unit, 0 at its best, and compares squared lengths with the square
of a length at which they start to matter, so that weights near 1 balance.
"""

import dataclasses
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from twohand_jax import collision
from twohand_jax.collision import DEFAULT, CollisionConfig
from twohand_jax.diffusion import representation
from twohand_jax.diffusion.ddim import Energy
from twohand_jax.diffusion.representation import Frame, Statistics
from twohand_jax.errors import InputError
from twohand_jax.geometry import boxes, cameras
from twohand_jax.mano.joints import MIDDLE_BASE
from twohand_jax.types import LEFT, RIGHT, Camera, ManoModel, Prediction


@dataclasses.dataclass(frozen=True, kw_only=True)
class EnergyConfig:
    """Weights and lengths of the terms; a weight of 0 leaves a term out.

    Attributes:
        collision: weight of the hands running into each other.
        keypoints: weight of the other hand's joints leaving its 2D keypoints.
        estimate: weight of its joints leaving the estimate.
        criteria: which pairs of vertices collide.
        keypoint_scale: distance in the picture at which a keypoint's robust cost is one
            half, as a share of the hand's box diagonal.
        estimate_scale: distance from the estimate that costs 1, metres.
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


class Scene(NamedTuple):
    """What the other hand is judged by, per sample.

    ``reference_vertices`` and ``estimate_joints`` are in the prior frame (metres),
    ``keypoints`` are x, y, score of the other hand in pixels of ``camera``; ``extent``
    is the diagonal of its box in pixels.
    """

    reference_vertices: Float[Array, "*b 778 3"]
    estimate_joints: Float[Array, "*b 21 3"]
    keypoints: Float[Array, "*b 21 3"]
    extent: Float[Array, "*b"]
    camera: Camera
    reference: Int[Array, "*b"]
    frame: Frame


def scene(
    prediction: Prediction,
    reference: Int[Array, "*b"],
    frame: Frame,
    keypoints: Float[Array, "*b 2 21 3"] | None = None,
) -> Scene:
    """The scene of an estimate.

    Args:
        prediction: both hands, in the camera.
        reference: RIGHT or LEFT, for each sample: the hand that stays.
        frame: from ``representation.frame``.
        keypoints: x, y, score of both hands in the picture's pixels.
    """
    if keypoints is None:
        keypoints = jnp.zeros((*prediction.score.shape, 21, 3))
    vertices = of_hand(prediction.geometry.vertices, reference)
    joints = of_hand(prediction.geometry.joints, 1 - reference)
    keypoints = jnp.where(jnp.isfinite(keypoints).all(-1, keepdims=True), keypoints, 0)
    size = boxes.size(of_hand(prediction.box, 1 - reference))
    return Scene(
        reference_vertices=representation.to_prior(vertices, reference, frame),
        estimate_joints=representation.to_prior(joints, reference, frame),
        keypoints=of_hand(keypoints, 1 - reference),
        extent=jnp.linalg.norm(size, axis=-1),
        camera=prediction.camera,
        reference=reference,
        frame=frame,
    )


def line_of_sight(scene: Scene) -> Float[Array, "*b 3"]:
    """Unit vectors from the camera to the estimated other hand, in the prior frame."""
    lens = jnp.zeros((*scene.reference.shape, 1, 3))
    start = representation.to_prior(lens, scene.reference, scene.frame)[..., 0, :]
    towards = scene.estimate_joints[..., MIDDLE_BASE, :] - start
    squared = jnp.sum(towards**2, axis=-1, keepdims=True)
    return towards * jax.lax.rsqrt(jnp.maximum(squared, 1e-12))


def of_hand(values: Array, hand: Int[Array, "*b"]) -> Array:
    """The rows of one hand, which may differ from sample to sample."""
    index = hand.reshape(hand.shape + (1,) * (values.ndim - hand.ndim))
    return jnp.take_along_axis(values, index, axis=hand.ndim).squeeze(hand.ndim)


def total(
    model: ManoModel, statistics: Statistics, scene: Scene, *, config: EnergyConfig
) -> Energy:
    """The weighted sum of the terms, as a function of normalised other hands."""

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
        return value

    return energy


def collide(
    model: ManoModel,
    scene: Scene,
    vertices: Float[Array, "*b 778 3"],
    *,
    config: EnergyConfig,
) -> Float[Array, "*b"]:
    """Collision energy with the reference mesh, which is held fixed."""
    return collision.energy(
        jax.lax.stop_gradient(scene.reference_vertices),
        vertices,
        model.faces[LEFT],
        model.faces[RIGHT],
        config=config.criteria,
    )


def leave_keypoints(
    scene: Scene, joints: Float[Array, "*b 21 3"], *, config: EnergyConfig
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
    scene: Scene, joints: Float[Array, "*b 21 3"], *, config: EnergyConfig
) -> Float[Array, "*b"]:
    """Mean squared distance of the joints to the estimate's."""
    squared = jnp.sum((joints - scene.estimate_joints) ** 2, axis=-1)
    return jnp.mean(squared, axis=-1) / config.estimate_scale**2
