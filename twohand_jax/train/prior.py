"""What training the two-hand prior minimises (METHOD §5)."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from twohand_jax.data.poses import PairBatch
from twohand_jax.diffusion import representation
from twohand_jax.diffusion.representation import OTHER, Statistics
from twohand_jax.diffusion.schedule import add_noise, linear
from twohand_jax.models.apply import Network, Variables, Weights
from twohand_jax.train.step import Loss
from twohand_jax.types import ManoModel, Mean, NoiseSchedule


@dataclasses.dataclass(frozen=True, kw_only=True)
class DiffusionConfig:
    """The noise, and the numbers that it is added to.

    Attributes:
        timesteps: length of the schedule.
        beta_start, beta_end: of the linear schedule.
        normalise: "std" divides the numbers by their standard deviation, "variance" by
            their variance, as the released InterHandGen models do.
        precondition: the noisy vector goes into the estimate with the share that would
            be best if all vectors were independent normal numbers, and the network only
            adds to it; the released models do without.
        hand: name of the hand model whose poses these are.
    """

    timesteps: int = 129
    beta_start: float = 1e-4
    beta_end: float = 1e-2
    normalise: str = "std"
    precondition: bool = True
    hand: str = "open-hand-1"

    def schedule(self) -> NoiseSchedule:
        """The noise's variances."""
        return linear(steps=self.timesteps, start=self.beta_start, stop=self.beta_end)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PriorLossConfig:
    """Settings of the loss.

    Attributes:
        unconditional: share of samples whose condition is zeroed.
        vertex: factor of the vertices' mean squared error, per square metre.
        joint: the same of the joints.
    """

    unconditional: float = 0.2
    vertex: float = 0.0
    joint: float = 0.0


def fixed_numbers(
    settings: DiffusionConfig, statistics: Statistics, schedule: NoiseSchedule
) -> dict[str, Array]:
    """What the denoiser keeps beside its weights, see ``models.denoiser``."""
    share = jnp.sqrt(schedule.alphas_cumprod)
    keep = share if settings.precondition else jnp.zeros_like(share)
    return statistics._asdict() | {"keep": keep}


class PriorConstants(NamedTuple):
    """What the loss needs and nobody trains."""

    model: ManoModel
    statistics: Statistics
    schedule: NoiseSchedule


def loss(network: Network, config: PriorLossConfig) -> Loss:
    """The loss of one batch of pairs, as vectors of reference and other hand.

    The network predicts the clean second hand from its noisy version, given the first
    hand or (unconditionally) zeros. Timesteps are antithetic: one half of the batch has
    those of the other half counted from the end.
    """
    measures_surface = config.vertex > 0 or config.joint > 0

    def compute(
        params: Weights,
        batch_stats: Weights,
        batch: PairBatch,
        constants: PriorConstants,
        key: Key[Array, ""],
    ) -> tuple[Float[Array, ""], tuple[dict[str, Mean], Weights]]:
        model, statistics, schedule = constants
        vectors = representation.normalise(batch.vectors, statistics)
        reference, other = vectors[:, 0], vectors[:, 1]
        keys = jax.random.split(key, 3)
        t = antithetic(keys[0], len(other), len(schedule.betas))
        noise = jax.random.normal(keys[1], other.shape)
        blind = jax.random.bernoulli(keys[2], config.unconditional, t.shape)
        condition = jnp.where(blind[:, None], 0.0, reference)
        noisy = add_noise(other, noise, t, schedule)
        estimate, updated = network.apply(
            Variables(params, batch_stats), noisy, t, condition, train=True
        )
        squared = jnp.mean((estimate - other) ** 2, axis=-1)
        terms = {"mse": Mean(jnp.sum(squared * batch.weight), jnp.sum(batch.weight))}
        total = terms["mse"].value(empty=0.0)
        if measures_surface:
            found = representation.denormalise(estimate, statistics, hand=OTHER)
            surface = surface_errors(model, found, batch.vectors[:, 1], batch.weight)
            terms |= surface
            total += config.vertex * surface["vertex"].value(empty=0.0)
            total += config.joint * surface["joint"].value(empty=0.0)
        return total, (terms, updated.batch_stats)

    return compute


def antithetic(key: Key[Array, ""], count: int, length: int) -> Int[Array, "b"]:
    """Timesteps in [0, length) whose second half mirrors the first."""
    half = jax.random.randint(key, ((count + 1) // 2,), 0, length)
    return jnp.concatenate([half, length - 1 - half])[:count]


def surface_errors(
    model: ManoModel,
    estimate: Float[Array, "b 64"],
    truth: Float[Array, "b 64"],
    weight: Float[Array, "b"],
) -> dict[str, Mean]:
    """Squared distances of the other hand's vertices and joints, square metres.

    Args:
        model: hand model.
        estimate: raw vectors of the other hand.
        truth: the same.
        weight: 0 for padding.
    """
    pairs = zip(
        ("vertex", "joint"),
        representation.other_hand(model, estimate),
        representation.other_hand(model, truth),
        strict=True,
    )
    out = {}
    for name, found, wanted in pairs:
        squared = jnp.mean(jnp.sum((found - wanted) ** 2, axis=-1), axis=-1)
        out[name] = Mean(jnp.sum(squared * weight), jnp.sum(weight))
    return out
