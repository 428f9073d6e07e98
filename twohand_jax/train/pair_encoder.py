"""What training the pair encoder minimises: it tells a pair from its surfaces."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from twohand_jax import mano
from twohand_jax.data.poses import PairBatch
from twohand_jax.diffusion import representation
from twohand_jax.diffusion.representation import OTHER, RELATIVE, Statistics
from twohand_jax.models.apply import Network, Variables, Weights
from twohand_jax.train.step import Loss
from twohand_jax.types import ManoModel, Mean

PAIRS = 1024  # looked at in an evaluation


@dataclasses.dataclass(frozen=True, kw_only=True)
class PairEncoderLossConfig:
    """Settings of the loss.

    Attributes:
        noise: standard deviation of what is added to each coordinate, metres.
        hand: name of the hand model whose surfaces these are.
    """

    noise: float = 0.002
    hand: str = "open-hand-1"


class PairEncoderConstants(NamedTuple):
    """What the loss needs and nobody trains."""

    model: ManoModel
    statistics: Statistics


def loss(network: Network, config: PairEncoderLossConfig) -> Loss:
    """Mean squared error of a pair's normalised numbers, told from noisy surfaces."""

    def compute(
        params: Weights,
        batch_stats: Weights,
        batch: PairBatch,
        constants: PairEncoderConstants,
        key: Key[Array, ""],
    ) -> tuple[Float[Array, ""], tuple[dict[str, Mean], Weights]]:
        clean = surfaces(constants.model, batch.vectors)
        seen = clean + config.noise * jax.random.normal(key, clean.shape)
        (_, estimate), updated = network.apply(
            Variables(params, batch_stats), seen, train=True
        )
        errors = squared_errors(estimate, batch.vectors, constants.statistics)
        squared = jnp.mean(errors, axis=(-2, -1))
        mean = Mean(jnp.sum(squared * batch.weight), jnp.sum(batch.weight))
        return mean.value(empty=0.0), ({"mse": mean}, updated.batch_stats)

    return compute


def surfaces(
    model: ManoModel, vectors: Float[Array, "b 2 64"]
) -> Float[Array, "b 2 778 3"]:
    """Both hands of raw vectors in the prior frame, metres."""
    return mano.forward(model, representation.unpack_at_origin(model, vectors)).vertices


def squared_errors(
    estimate: Float[Array, "b 128"],
    vectors: Float[Array, "b 2 64"],
    statistics: Statistics,
) -> Float[Array, "b 2 64"]:
    """Squared errors of the estimated numbers, in normalised units."""
    truth = representation.normalise(vectors, statistics)
    return (estimate.reshape(truth.shape) - truth) ** 2


def evaluate(
    network: Network,
    variables: Variables,
    *,
    vectors: Float[np.ndarray, "n 2 64"],
    constants: PairEncoderConstants,
) -> dict[str, float]:
    """Mean squared error on clean held-out surfaces, ``mse``.

    ``unexplained`` is that of the other hand's place alone (its last nine numbers),
    where 1 is what the mean would reach.
    """

    @jax.jit
    def compute(
        variables: Variables,
        vectors: Float[Array, "b 2 64"],
        constants: PairEncoderConstants,
    ) -> tuple[Float[Array, "b"], Float[Array, "b"]]:
        seen = surfaces(constants.model, vectors)
        (_, estimate), _ = network.apply(variables, seen)
        squared = squared_errors(estimate, vectors, constants.statistics)
        return squared.mean(axis=(-2, -1)), squared[:, OTHER, RELATIVE].mean(axis=-1)

    rows = np.linspace(0, len(vectors) - 1, min(PAIRS, len(vectors))).astype(int)
    mse, place = compute(variables, jnp.asarray(vectors[rows]), constants)
    return {"mse": float(mse.mean()), "unexplained": float(place.mean())}
