"""Random hands: blends of library poses with noise, and hand shapes."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from twohand_jax.pipelines.synthetic.poses import library
from twohand_jax.pipelines.synthetic.poses.angles import COUNT


@dataclasses.dataclass(frozen=True, kw_only=True)
class DrawConfig:
    """How far random hands stray from the library; angles in degrees.

    Attributes:
        bend_noise: spread of the flexion that all joints of a finger share.
        joint_noise: spread of each flexion on its own.
        spread_noise: spread of the abduction.
        wobble: spread of the small rotation about every axis of every joint.
        finger_swap: chance that one finger takes another pose than the rest.
        shape_noise: spread of the difference between a person's two hands.
        shape_limit: shape coefficients are clipped to plus or minus this.
    """

    bend_noise: float = 6.0
    joint_noise: float = 4.0
    spread_noise: float = 2.5
    wobble: float = 1.5
    finger_swap: float = 0.25
    shape_noise: float = 0.1
    shape_limit: float = 2.5


# Angles of each finger, and which of them bend it.
_FINGERS = [slice(4 * k, 4 * k + 4) for k in range(4)] + [slice(16, 21)]
_BEND = np.array([1.0, 0.0, 1.0, 0.6] * 4 + [0.0, 0.3, 0.3, 0.6, 1.0])
_IS_SPREAD = np.array(
    [False, True, False, False] * 4 + [True, True, True] + [False] * 2
)


def blends(
    rng: np.random.Generator, count: int, *, config: DrawConfig
) -> Float[np.ndarray, "n 21"]:
    """Mixtures of two or three library poses; a finger may follow yet another one."""
    picks = rng.integers(len(library.NAMES), size=(count, 3))
    weights = rng.dirichlet([0.7, 0.7, 0.7], size=count)
    weights[rng.random(count) < 0.5, 2] = 0.0
    weights /= weights.sum(-1, keepdims=True)
    angles = np.einsum("nk,nka->na", weights, library.ANGLES[picks])
    other = library.ANGLES[rng.integers(len(library.NAMES), size=count)]
    finger = rng.integers(5, size=count)
    swapped = rng.random(count) < config.finger_swap
    for k, part in enumerate(_FINGERS):
        rows = swapped & (finger == k)
        angles[rows, part] = 0.5 * (angles[rows, part] + other[rows, part])
    return angles


def between(rng: np.random.Generator, names: Sequence[str]) -> Float[np.ndarray, "21"]:
    """One pose between two of the named ones."""
    first, second = (
        library.named(names[int(rng.integers(len(names)))]) for _ in range(2)
    )
    return first + rng.random() * (second - first)


def noise(
    rng: np.random.Generator, count: int, *, config: DrawConfig
) -> Float[np.ndarray, "n 21"]:
    """Noise on the angles: a common bend a finger, and each joint's own."""
    bend = rng.normal(0.0, config.bend_noise, (count, 5))
    common = np.repeat(bend, [4, 4, 4, 4, 5], axis=-1) * _BEND
    own = rng.normal(size=(count, COUNT))
    own *= np.where(_IS_SPREAD, config.spread_noise, config.joint_noise)
    return np.deg2rad(common + own)


def wobble(
    rng: np.random.Generator, count: int, *, config: DrawConfig
) -> Float[np.ndarray, "n 15 3"]:
    """Small rotations of all joints about any axis."""
    return rng.normal(0.0, np.deg2rad(config.wobble), (count, 15, 3))


def shapes(
    rng: np.random.Generator, count: int, *, config: DrawConfig
) -> Float[np.ndarray, "n 2 10"]:
    """Shape coefficients of both hands of one person each."""
    person = rng.normal(size=(count, 1, 10))
    hands = person + rng.normal(0.0, config.shape_noise, (count, 2, 10))
    return np.clip(hands, -config.shape_limit, config.shape_limit)
