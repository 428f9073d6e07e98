"""Where two hands given as vectors are in space, as features for the prior's network.

A vector of numbers says little about which fingers are near each other. These features
say it: both hands' joints, a kernel of their distances, and in which direction the
other hand's numbers would have to change for its skeleton to leave the reference's.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from twohand_jax.geometry import rotations
from twohand_jax.mano.forward import Sides, pose, sides
from twohand_jax.mano.joints import BONES, CANONICAL, fingertips
from twohand_jax.types import LEFT, RIGHT, ManoModel

REACH = 0.025  # metres: standard deviation of the distances' kernel
REPULSION = (0.008, 0.02)  # metres: the same of the energies that are descended
UNIT = 0.1  # metres: joints are given in it
JOINTS = 21
PLACE = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0)  # of every reference hand


class Skeleton(NamedTuple):
    """What joints and fingertips of both sides need of a hand model."""

    directions: Float[Array, "2 146 15"]
    joint_directions: Float[Array, "2 11 48"]
    weights: Float[Array, "2 16 5"]
    components: Float[Array, "2 45 45"]
    pose_mean: Float[Array, "2 45"]


def skeleton(model: ManoModel) -> Skeleton:
    """The part of a hand model that ``PairGeometry`` needs."""
    tips = np.asarray(fingertips("interwild"))
    whole = sides(model, slice(0, 2))
    directions = whole.directions.reshape(2, 146, 3, -1)[..., tips]
    return Skeleton(
        directions=directions.reshape(2, 146, 15),
        joint_directions=whole.joint_directions,
        weights=whole.weights[..., tips],
        components=model.pose_components,
        pose_mean=model.pose_mean.reshape(2, 45),
    )


def joints(
    skeleton: Skeleton, side: int, vectors: Float[Array, "b 64"]
) -> Float[Array, "b 21 3"]:
    """Canonical joints of one side's hands in the prior frame, metres.

    Args:
        skeleton: of the hand model.
        side: RIGHT for the other hand, LEFT for the reference.
        vectors: raw (``diffusion.representation``).
    """
    own = jax.tree.map(lambda leaf: leaf[side : side + 1], skeleton)
    flat = vectors[:, :45] @ own.components[0] + own.pose_mean[0]
    fingers = rotations.axis_angle_to_matrix(flat.reshape(-1, 15, 3))
    orient = rotations.rotation_6d_to_matrix(vectors[:, 55:61])
    R = jnp.concatenate([orient[:, None], fingers], axis=1)[None]
    betas, zero = vectors[None, :, 45:55], jnp.zeros((1, len(vectors), 3))
    parts = Sides(own.directions, own.joint_directions, own.weights)
    posed = pose(parts, R, betas, zero, tuple(range(5)))[1][:, 0]
    base = posed[:, CANONICAL.MIDDLE_BASE : CANONICAL.MIDDLE_BASE + 1]
    return posed - base + vectors[:, None, 61:]


def with_bones(points: Float[Array, "b 21 3"]) -> Float[Array, "b 41 3"]:
    """The joints and the middles of the bones."""
    ends = np.asarray(BONES)
    middles = (points[:, ends[:, 0]] + points[:, ends[:, 1]]) / 2
    return jnp.concatenate([points, middles], axis=1)


def kernel(
    a: Float[Array, "b n 3"], b: Float[Array, "b m 3"], reach: float
) -> Float[Array, "b n m"]:
    """exp(-d² / 2 reach²) of every two points."""
    squared = jnp.sum((a[:, :, None] - b[:, None]) ** 2, axis=-1)
    return jnp.exp(-squared / (2.0 * reach**2))


class PairGeometry(nnx.Module):
    """Features of a pair; the skeleton is kept with the weights of the network."""

    def __init__(self) -> None:
        shapes = (2, 146, 15), (2, 11, 48), (2, 16, 5), (2, 45, 45), (2, 45)
        for name, shape in zip(Skeleton._fields, shapes, strict=True):
            setattr(self, name, nnx.BatchStat(jnp.zeros(shape)))

    @staticmethod
    def width(numbers: int) -> int:
        """How many features a pair has."""
        return 1 + 2 * 3 * JOINTS + JOINTS**2 + len(REPULSION) * numbers

    def __call__(
        self,
        clean: Float[Array, "b n"],
        condition: Float[Array, "b n"],
        mean: Float[Array, "n"],
        scale: Float[Array, "n"],
    ) -> Float[Array, "b f"]:
        """Features of normalised pairs; those of a pair are 0 without a condition.

        Args:
            clean: a guess at the other hand.
            condition: the reference; all zeros for none.
            mean: of the normalisation.
            scale: of the normalisation.
        """
        parts = Skeleton(*(getattr(self, name)[...] for name in Skeleton._fields))
        raw = (condition * scale + mean)[:, :55]
        place = jnp.broadcast_to(jnp.asarray(PLACE), (len(raw), 9))
        held = joints(parts, LEFT, jnp.concatenate([raw, place], axis=-1))
        obstacles = with_bones(held)

        def posed(vectors: Float[Array, "b n"]) -> Float[Array, "b 21 3"]:
            return joints(parts, RIGHT, vectors * scale + mean)

        def energy(vectors: Float[Array, "b n"], reach: float) -> Float[Array, ""]:
            return jnp.sum(kernel(with_bones(posed(vectors)), obstacles, reach))

        moved = posed(clean)
        slopes = [jax.grad(energy)(clean, reach) for reach in REPULSION]
        pairs = kernel(moved, held, REACH).reshape(len(raw), -1)
        given = jnp.any(condition != 0, axis=-1, keepdims=True).astype(clean.dtype)
        beside = [held.reshape(len(raw), -1) / UNIT, pairs, *map(jnp.arcsinh, slopes)]
        alone = moved.reshape(len(raw), -1) / UNIT
        return jnp.concatenate(
            [given, alone, given * jnp.concatenate(beside, axis=-1)], axis=-1
        )
