"""An estimate as evidence: the likely hand between what was seen and what is plausible.

A hand is denoised from a middle level of noise, where its errors drown and its gist is
left. At every step the network's clean hand is drawn towards the estimate, as far as
each can be trusted: the nearer the end, the less the network's may change. This is
plug-and-play restoration (Zhu et al., CVPRW 2023, "DiffPIR") with joints in space as
measurements. What was not seen, such as hidden fingers, the prior alone decides.
"""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from twohand_jax import fields
from twohand_jax.diffusion import ddim
from twohand_jax.diffusion.ddim import Change, DdimConfig, PriorParts
from twohand_jax.diffusion.representation import (
    RELATIVE,
    ROTATION,
    TRANSLATION,
    Statistics,
)
from twohand_jax.models import pair_geometry
from twohand_jax.models.pair_geometry import Skeleton
from twohand_jax.types import RIGHT

LONGEST = 2.0  # of one correction of pose and shape, in normalised units
# (clean vectors, their variance) -> clean vectors
Agree = Callable[[Float[Array, "n 64"], Float[Array, ""]], Float[Array, "n 64"]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvidenceConfig:
    """How far an estimate can be trusted: standard deviations of its errors.

    Attributes:
        joints: of each joint's coordinates within the hand, metres.
        rotation: of the six numbers of the rotation, about radians.
        across: of the position across the line of sight, metres.
        along: of the position along the line of sight, which a picture shows least.
    """

    joints: float = 0.012
    rotation: float = 0.15
    across: float = 0.01
    along: float = 0.02

    def __post_init__(self) -> None:
        """Refuse what is no length."""
        positive = fields.Range(low=0, open_low=True)
        for name in fields.names(type(self)):
            fields.check(self, **{name: positive})


class Evidence(NamedTuple):
    """An estimate in the terms in which it is compared with clean vectors.

    ``joints`` are those of the unrotated hand about its middle-finger base, metres;
    ``weight`` is 0 for joints that were not seen. ``precision`` is the inverse
    covariance of the normalised translation.
    """

    vector: Float[Array, "n 64"]
    joints: Float[Array, "n 63"]
    weight: Float[Array, "n 21"]
    precision: Float[Array, "n 3 3"]


def gather(
    skeleton: Skeleton,
    statistics: Statistics,
    estimate: Float[Array, "n 64"],
    sight: Float[Array, "n 3"],
    weight: Float[Array, "n 21"],
    *,
    config: EvidenceConfig,
) -> Evidence:
    """What an estimate says.

    Args:
        skeleton: of the hand model.
        statistics: of the prior.
        estimate: normalised vectors of the other hand.
        sight: unit vectors from the camera to it, prior frame.
        weight: of each joint, from 0 for hidden to 1 for seen.
        config: the errors to expect.
    """
    along = sight[:, :, None] * sight[:, None]
    inverse = (jnp.eye(3) - along) / config.across**2 + along / config.along**2
    scale = statistics.scale[TRANSLATION]
    return Evidence(
        vector=estimate,
        joints=_within(skeleton, statistics, estimate),
        weight=weight,
        precision=scale[:, None] * inverse * scale,
    )


def agreement(
    skeleton: Skeleton,
    statistics: Statistics,
    seen: Evidence,
    *,
    config: EvidenceConfig,
) -> Agree:
    """The likeliest vectors between clean ones of a known variance and the evidence.

    Placement is a product of normal distributions; pose and shape take one step of
    Gauss and Newton on the joints.
    """
    inside = slice(0, RELATIVE.start)
    identity = jnp.eye(RELATIVE.start)

    def joints(vector: Float[Array, "64"]) -> Float[Array, "63"]:
        return _within(skeleton, statistics, vector[None])[0]

    def bend(
        clean: Float[Array, "64"], variance: Float[Array, ""], seen: Evidence
    ) -> Float[Array, "55"]:
        J = jax.jacfwd(joints)(clean)[:, inside]
        weight = jnp.repeat(seen.weight, 3) / config.joints**2
        A = J.T @ (weight[:, None] * J) + identity / variance
        b = J.T @ (weight * (seen.joints - joints(clean)))
        move = jax.scipy.linalg.cho_solve(jax.scipy.linalg.cho_factor(A), b)
        length = jnp.sqrt(jnp.sum(move**2) + 1e-12)
        return clean[inside] + move * jnp.minimum(1.0, LONGEST / length)

    def agree(
        clean: Float[Array, "n 64"], variance: Float[Array, ""]
    ) -> Float[Array, "n 64"]:
        bent = jax.vmap(bend, in_axes=(0, None, 0))(clean, variance, seen)
        scale = statistics.scale[ROTATION]
        trust = (scale / config.rotation) ** 2 * variance
        turned = clean[:, ROTATION] + trust * seen.vector[:, ROTATION]
        A = jnp.eye(3) + variance * seen.precision
        b = clean[:, TRANSLATION] + variance * jnp.einsum(
            "nij,nj->ni", seen.precision, seen.vector[:, TRANSLATION]
        )
        moved = jnp.linalg.solve(A, b[..., None])[..., 0]
        return jnp.concatenate([bent, turned / (1.0 + trust), moved], axis=-1)

    return agree


def restore(
    prior: PriorParts,
    estimate: Float[Array, "n 64"],
    condition: Float[Array, "n 64"],
    *,
    config: DdimConfig,
    agree: Agree,
    change: Change,
) -> Float[Array, "n 64"]:
    """Denoise an estimate that is held to the evidence and guided.

    The estimate stands for the noisy vector of the walk's first level, so
    ``config.horizon`` should end where noise is larger than its errors.

    Args:
        prior: the denoiser and its noise.
        estimate: normalised vectors of the other hand.
        condition: of the reference hand.
        config: the walk; its ``eta`` and ``update`` play no role.
        agree: from ``agreement``.
        change: turns the clean vector of step k into the one used.
    """
    levels = ddim.levels(prior.schedule, config)

    def step(
        x: Float[Array, "n 64"], level: ddim.Level
    ) -> tuple[Float[Array, "n 64"], None]:
        clean = ddim.predict(prior.denoise, x, level.t, condition, config)
        # The variance of the clean vector if the data were standard normal.
        clean = change(agree(clean, 1.0 - level.alpha), level.step)
        noise = ddim.noise_of(x, clean, level.alpha)
        kept, left = jnp.sqrt(level.alpha_below), jnp.sqrt(1.0 - level.alpha_below)
        return kept * clean + left * noise, None

    return jax.lax.scan(step, jnp.sqrt(levels.alpha[0]) * estimate, levels)[0]


def _within(
    skeleton: Skeleton, statistics: Statistics, vectors: Float[Array, "n 64"]
) -> Float[Array, "n 63"]:
    """Joints of unrotated right hands about their middle-finger bases, metres."""
    raw = vectors * statistics.scale + statistics.mean
    place = jnp.broadcast_to(jnp.asarray(pair_geometry.PLACE), (len(raw), 9))
    still = jnp.concatenate([raw[:, : RELATIVE.start], place], axis=-1)
    return pair_geometry.joints(skeleton, RIGHT, still).reshape(len(raw), -1)
