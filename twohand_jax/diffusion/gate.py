"""The gate: which estimates are refined, which hand stays, and why others are not."""

import dataclasses
import enum
import math
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from twohand_jax import collision
from twohand_jax.collision import CollisionConfig, Contacts
from twohand_jax.errors import InputError
from twohand_jax.geometry import boxes
from twohand_jax.mano.joints import CANONICAL
from twohand_jax.types import LEFT, RIGHT, ManoModel, Prediction

# Beyond these no hand is meant, and squares and sines lose their digits.
LARGEST_ANGLE = 4 * math.pi  # radians, of each axis-angle number
LARGEST_SHAPE = 20.0  # standard deviations
LARGEST_DISTANCE = 100.0  # metres from the camera
INSIDE = CollisionConfig(angle=None)


class Status(enum.IntEnum):
    """Outcome of a sample; all but REFINED are returned unchanged."""

    REFINED = 0
    NOT_NEEDED = 1
    HAND_MISSING = 2
    NOT_FINITE = 3
    TOO_LARGE = 4
    TOO_FAR = 5
    FAILED = 6
    LEFT_JOINTS = 7


SENTENCES = {
    Status.REFINED: "The hands were refined.",
    Status.NOT_NEEDED: (
        "The hands do not run into each other and no finger is hidden, so nothing was "
        "changed."
    ),
    Status.HAND_MISSING: "One hand is missing, so there is no pair to refine.",
    Status.NOT_FINITE: "The estimate has numbers that are not finite.",
    Status.TOO_LARGE: "The estimate has angles, shapes or positions no hand can have.",
    Status.TOO_FAR: "The hands are farther apart than the prior knows hands to be.",
    Status.FAILED: (
        "Refinement gave no usable hands, or hands that share more space than before, "
        "so its result was dropped."
    ),
    Status.LEFT_JOINTS: (
        "Refinement would move a hand off its 2D joints, so its result was dropped."
    ),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class GateConfig:
    """Conditions for refinement.

    Attributes:
        when: "auto" refines hands whose boxes overlap, and which penetrate each other
            or have hidden joints; "always" refines every pair of usable hands.
        min_depth: smallest penetration that is refined, metres.
        hidden: smallest share of hidden joints that is refined. A joint is hidden if
            its keypoint has no score while others of the hand have one.
        max_distance: largest distance of the middle-finger bases, metres.
    """

    when: Literal["auto", "always"] = "auto"
    min_depth: float = 0.001
    hidden: float = 0.1
    max_distance: float = 0.5

    def __post_init__(self) -> None:
        """Refuse unknown names and negative lengths."""
        if self.when not in ("auto", "always"):
            raise InputError(
                f"GateConfig.when is {self.when!r}; choose 'auto' or 'always'."
            )
        if not (self.min_depth >= 0 and self.max_distance > 0):
            raise InputError(
                f"GateConfig.min_depth ({self.min_depth} m) must not be negative and "
                f"max_distance ({self.max_distance} m) must be positive."
            )
        if not 0 < self.hidden <= 1:
            raise InputError(
                f"GateConfig.hidden is {self.hidden}; a share of joints that calls for "
                "refinement lies in (0, 1]."
            )


def status(
    prediction: Prediction,
    depth: Float[Array, "*b"],
    *,
    config: GateConfig,
    keypoints: Float[Array, "*b 2 21 3"] | None = None,
) -> Int[Array, "*b"]:
    """``Status`` before refinement; REFINED for samples that should be.

    Args:
        prediction: both hands.
        depth: from ``penetration_depth``, metres.
        keypoints: x, y, score of both hands.
        config: the conditions, of which the first that fails is reported.
    """
    joints = prediction.geometry.joints[..., CANONICAL.MIDDLE_BASE, :]
    apart = jnp.linalg.norm(joints[..., LEFT, :] - joints[..., RIGHT, :], axis=-1)
    overlap = boxes.iou(prediction.box[..., RIGHT, :], prediction.box[..., LEFT, :])
    needed = (depth >= config.min_depth) & (depth > 0)
    if keypoints is not None:
        needed |= jnp.max(hidden_share(keypoints), axis=-1) >= config.hidden
    needed &= overlap > 0
    conditions = (
        (jnp.all(prediction.score > 0, axis=-1), Status.HAND_MISSING),
        (_finite(prediction), Status.NOT_FINITE),
        (_sane(prediction), Status.TOO_LARGE),
        (apart <= config.max_distance, Status.TOO_FAR),
        (needed | (config.when == "always"), Status.NOT_NEEDED),
    )
    found = jnp.full(depth.shape, Status.REFINED, jnp.int32)
    for holds, otherwise in reversed(conditions):
        found = jnp.where(holds, found, otherwise)
    return found


def hidden_share(keypoints: Float[Array, "*b h 21 3"]) -> Float[Array, "*b h"]:
    """Share of each hand's keypoints without a score; 0 for hands that have none."""
    found = keypoints[..., 2] > 0
    return jnp.where(found.any(axis=-1), jnp.mean(~found, axis=-1), 0.0)


def usable(prediction: Prediction) -> Bool[Array, "*b"]:
    """Whether the numbers of each sample can be a pair of hands'."""
    return _finite(prediction) & _sane(prediction)


def penetration_depth(
    model: ManoModel, prediction: Prediction, *, criteria: CollisionConfig
) -> Float[Array, "*b"]:
    """Deepest colliding vertex, metres; 0 for hands that are not finite."""
    return collision.largest_depth(_contacts(model, prediction, criteria))


def penetration_amount(model: ManoModel, prediction: Prediction) -> Float[Array, "*b"]:
    """Depths of all vertices inside the other hand, added up, metres.

    Grows with the shared volume while one hand dips into the other. It does not ask
    for normals that face each other, so that hands pushed half through each other do
    not count as separated; hands in the very same place have little depth anywhere.
    """
    contacts = _contacts(model, prediction, INSIDE)
    deep_a = jnp.where(contacts.collides_a, contacts.depth_a, 0.0)
    deep_b = jnp.where(contacts.collides_b, contacts.depth_b, 0.0)
    return jnp.sum(deep_a, axis=-1) + jnp.sum(deep_b, axis=-1)


def _contacts(
    model: ManoModel, prediction: Prediction, criteria: CollisionConfig
) -> Contacts:
    vertices = prediction.geometry.vertices
    vertices = jnp.where(jnp.isfinite(vertices), vertices, 0.0)
    return collision.find_contacts(
        vertices[..., RIGHT, :, :],
        vertices[..., LEFT, :, :],
        model.faces[RIGHT],
        model.faces[LEFT],
        config=criteria,
    )


def choose_reference(
    score: Float[Array, "*b 2"],
    *,
    visible: Float[Array, "*b 2"] | None = None,
    keypoints: Float[Array, "*b 2 21 3"] | None = None,
) -> Int[Array, "*b"]:
    """Choose the hand that was seen better, RIGHT or LEFT for each sample (METHOD §6).

    The larger visible area decides, then the higher mean keypoint score, then the
    higher score of the hand, then the right hand.

    Args:
        score: score of each hand in the prediction.
        visible: visible area of each hand, any unit (``visibility.visible_area``).
        keypoints: x and y in pixels, and score.
    """
    left = score[..., LEFT] > score[..., RIGHT]
    means = None if keypoints is None else jnp.mean(keypoints[..., 2], axis=-1)
    for evidence in (means, visible):
        if evidence is not None:
            more, less = evidence[..., LEFT], evidence[..., RIGHT]
            left = jnp.where(more == less, left, more > less)
    return jnp.where(left, LEFT, RIGHT)


def _finite(prediction: Prediction) -> Bool[Array, "*b"]:
    """Whether all numbers of each sample are finite."""
    batch = prediction.score.shape[:-1]
    parts = [
        jnp.all(jnp.isfinite(leaf.reshape(*batch, -1)), axis=-1)
        for leaf in jax.tree.leaves(prediction)
    ]
    return jnp.all(jnp.stack(parts), axis=0)


def _sane(prediction: Prediction) -> Bool[Array, "*b"]:
    """Whether the parameters are of a size that hands in front of a camera have."""
    params, batch = prediction.mano, prediction.score.shape[:-1]
    sane = jnp.ones(batch, bool)
    for leaf, largest in (
        (params.global_orient, LARGEST_ANGLE),
        (params.hand_pose, LARGEST_ANGLE),
        (params.betas, LARGEST_SHAPE),
        (params.transl, LARGEST_DISTANCE),
        (prediction.geometry.vertices, LARGEST_DISTANCE + 1.0),
    ):
        sane &= jnp.all(jnp.abs(leaf.reshape(*batch, -1)) <= largest, axis=-1)
    return sane
