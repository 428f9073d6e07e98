"""The pair encoder's experiment: it learns to tell a pair from its surfaces."""

import dataclasses
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from twohand_jax import fields, mano
from twohand_jax.data.poses import PairBatch
from twohand_jax.diffusion import representation
from twohand_jax.diffusion.representation import SIZE, Statistics
from twohand_jax.experiments import base, data
from twohand_jax.experiments.base import Experiment, Kind
from twohand_jax.experiments.data import PosesConfig
from twohand_jax.models import apply
from twohand_jax.models.apply import Network, Variables, Weights
from twohand_jax.models.pair_encoder import PairEncoder, PairEncoderConfig
from twohand_jax.train import dry_run
from twohand_jax.train.dry_run import Outline
from twohand_jax.train.step import Loss
from twohand_jax.train.task import Task
from twohand_jax.types import ManoModel, Mean


@dataclasses.dataclass(frozen=True, kw_only=True)
class PairEncoderLossConfig:
    """Settings of the loss.

    Attributes:
        noise: standard deviation of what is added to each coordinate, metres.
        hand: name of the hand model whose surfaces these are.
    """

    noise: float = 0.002
    hand: str = "open-hand-1"

    def __post_init__(self) -> None:
        fields.check(self, noise=fields.NOT_NEGATIVE)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PairEncoderExperiment(Experiment):
    """A whole experiment with the pair encoder, checked and typed."""

    kind: ClassVar[str] = "pair_encoder"
    model: PairEncoderConfig
    loss: PairEncoderLossConfig
    data: PosesConfig

    def __post_init__(self) -> None:
        if self.model.outputs != 2 * SIZE:
            raise fields.error(
                self,
                "model.outputs",
                f"is {self.model.outputs}; a pair is two vectors of {SIZE} numbers.",
            )


def network(config: PairEncoderConfig) -> Network:
    """The network that pairs are compared in, as pure functions."""
    return apply.network(lambda rngs: PairEncoder(config, rngs=rngs))


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
        total = mean.value(empty=0.0)
        return total, ({"mse": mean}, updated.batch_stats)

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


def outline(experiment: PairEncoderExperiment) -> Outline:
    """The experiment in shapes only."""
    net, loop = network(experiment.model), experiment.train
    numbers: Any = jax.ShapeDtypeStruct((SIZE,), jnp.float32)
    return Outline(
        network=net,
        loss=loss(net, experiment.loss),
        constants=PairEncoderConstants(mano.load(), Statistics(numbers, numbers)),
        batch=dry_run.abstract_pairs(loop.batch_size),
        optim=experiment.optim,
        loop=loop,
        unit="pair",
    )


def task(experiment: PairEncoderExperiment) -> Task:
    """Training on pose sets."""
    net, model = network(experiment.model), mano.load()
    train = experiment.data.train
    data.expect_hand(model, experiment.loss.hand, "config.loss.hand")
    vectors = data.split_vectors(model, train, "train")
    statistics = representation.compute_statistics(jnp.asarray(vectors[:, 1]))
    return Task(
        network=net,
        loss=loss(net, experiment.loss),
        constants=PairEncoderConstants(model, statistics),
        batches=data.pair_batches(vectors, experiment.train),
        describe=lambda record: f"pair {record} of {train}",
        adopt=base.start_from(experiment.init.model),
        unit="pair",
        records=data.records(experiment.data),
    )


KIND = Kind(config=PairEncoderExperiment, network=network, outline=outline, task=task)
