"""The two-hand prior's experiment: noise, loss, pose sets (METHOD §5)."""

import dataclasses
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from twohand_jax import collision, fields, mano
from twohand_jax.collision import CollisionConfig
from twohand_jax.data.poses import PairBatch
from twohand_jax.diffusion import representation
from twohand_jax.diffusion.representation import OTHER, RELATIVE, SIZE, Statistics
from twohand_jax.diffusion.schedule import add_noise, cosine, linear
from twohand_jax.experiments import base, data
from twohand_jax.experiments.base import Experiment, Kind
from twohand_jax.experiments.data import PosesConfig
from twohand_jax.models import apply
from twohand_jax.models.apply import Network, Variables, Weights
from twohand_jax.models.denoiser import (
    Denoiser,
    DenoiserConfig,
    ResidualDenoiser,
    ResidualDenoiserConfig,
)
from twohand_jax.models.pair_geometry import skeleton
from twohand_jax.train import dry_run
from twohand_jax.train.dry_run import Outline
from twohand_jax.train.step import Loss
from twohand_jax.train.task import Task
from twohand_jax.types import LEFT, RIGHT, ManoModel, Mean, NoiseSchedule

NORMALISE = ("std", "variance")
SCHEDULES = ("linear", "cosine")
WEIGHTINGS = ("clean", "velocity")
BRANCHES = ("share", "anchor")
SHARED = (("diffusion.timesteps", "model.timesteps"),)


@dataclasses.dataclass(frozen=True, kw_only=True)
class DiffusionConfig:
    """The noise, and the numbers that it is added to.

    Attributes:
        timesteps: length of the schedule.
        schedule: "linear", the released models', ends with half of the signal's
            variance; "cosine" ends with noise alone, where sampling starts.
        beta_start, beta_end: of the linear schedule.
        normalise: "std" divides the numbers by their standard deviation, "variance" by
            their variance, as the released InterHandGen models do.
        precondition: the noisy vector goes into the estimate with the share that would
            be best if all vectors were independent normal numbers, and the network only
            adds to it, which makes its output the negative velocity of Salimans and Ho
            (ICLR 2022); the released models do without.
        hand: name of the hand model whose poses these are.
    """

    timesteps: int = 129
    schedule: str = "linear"
    beta_start: float = 1e-4
    beta_end: float = 1e-2
    normalise: str = "std"
    precondition: bool = True
    hand: str = "open-hand-1"

    def __post_init__(self) -> None:
        inside = fields.Range(low=0, high=1, open_low=True, open_high=True)
        fields.check(
            self,
            timesteps=fields.COUNT,
            schedule=SCHEDULES,
            beta_start=inside,
            beta_end=inside,
            normalise=NORMALISE,
        )
        if self.beta_start > self.beta_end:
            raise fields.error(
                self,
                "beta_start",
                f"is {self.beta_start}, above beta_end {self.beta_end}; noise must not "
                "fall.",
            )

    def noise(self) -> NoiseSchedule:
        """The noise's variances."""
        if self.schedule == "cosine":
            return cosine(steps=self.timesteps)
        return linear(steps=self.timesteps, start=self.beta_start, stop=self.beta_end)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PriorLossConfig:
    """Settings of the loss.

    Attributes:
        branch: how the network learns to do without a condition. "share": some samples
            denoise the other hand with their condition zeroed. "anchor", as in
            InterHandGen: every sample denoises the reference hand, too, without
            condition and with the placement's nine numbers out of the loss, which is
            the sum.
        unconditional: share of samples whose condition is zeroed; 0 for "anchor".
        weighting: "clean" weighs squared errors of the clean vectors alike at all
            timesteps; "velocity" those of the velocities, that is by 1 / (1 - ᾱ) at
            most 1 / ``floor``, so that little noise counts for more.
        floor: see ``weighting``.
        vertex: factor of the vertices' mean squared error, per square metre.
        joint: the same of the joints.
        collision: factor of how deep the estimated hand lies in the true reference:
            the sum of the vertices' squared depths in square millimetres, the mean over
            the quarter of the batch with the least noise. The squared error alone
            does not tell a millimetre inside from a millimetre outside.
    """

    branch: str = "share"
    unconditional: float = 0.2
    weighting: str = "clean"
    floor: float = 1e-3
    vertex: float = 0.0
    joint: float = 0.0
    collision: float = 0.0

    def __post_init__(self) -> None:
        fields.check(
            self,
            branch=BRANCHES,
            unconditional=fields.PROBABILITY,
            weighting=WEIGHTINGS,
            floor=fields.Range(low=0, high=1, open_low=True),
            vertex=fields.NOT_NEGATIVE,
            joint=fields.NOT_NEGATIVE,
            collision=fields.NOT_NEGATIVE,
        )
        if self.branch == "anchor" and self.unconditional > 0:
            raise fields.error(
                self,
                "unconditional",
                f"is {self.unconditional}, but the branch 'anchor' learns the "
                "unconditional hand from every sample; set it to 0.",
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class PriorExperiment(Experiment):
    """A whole experiment with the two-hand prior, checked and typed.

    A config may give ``timesteps`` in ``diffusion`` or in ``model``.
    """

    kind: ClassVar[str] = "prior"
    model: DenoiserConfig | ResidualDenoiserConfig
    diffusion: DiffusionConfig
    loss: PriorLossConfig
    data: PosesConfig

    def __post_init__(self) -> None:
        if self.model.timesteps != self.diffusion.timesteps:
            raise fields.error(
                self,
                "model.timesteps",
                f"is {self.model.timesteps} but config.diffusion.timesteps is "
                f"{self.diffusion.timesteps}; they must be equal, and one of them is "
                "enough.",
            )
        if self.model.numbers != SIZE:
            raise fields.error(
                self,
                "model.numbers",
                f"is {self.model.numbers}; a hand is a vector of {SIZE} numbers.",
            )


def network(config: DenoiserConfig | ResidualDenoiserConfig) -> Network:
    """The prior's network as pure functions."""
    if isinstance(config, ResidualDenoiserConfig):
        return apply.network(lambda rngs: ResidualDenoiser(config, rngs=rngs))
    return apply.network(lambda rngs: Denoiser(config, rngs=rngs))


def fixed_numbers(
    experiment: PriorExperiment, constants: "PriorConstants"
) -> dict[str, Any]:
    """What the denoiser keeps beside its weights, see ``models.denoiser``."""
    share = jnp.sqrt(constants.schedule.alphas_cumprod)
    keep = share if experiment.diffusion.precondition else jnp.zeros_like(share)
    fixed: dict[str, Any] = constants.statistics._asdict() | {"keep": keep}
    if getattr(experiment.model, "geometry", False):
        fixed["geometry"] = skeleton(constants.model)._asdict()
    return fixed


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
    by_velocity = config.weighting == "velocity"

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
        keys = jax.random.split(key, 4)
        t = antithetic(keys[0], len(other), len(schedule.betas))
        kept = schedule.alphas_cumprod[t]
        divisor = jnp.maximum(1.0 - kept, config.floor) if by_velocity else 1.0

        def denoise(
            clean: Float[Array, "b 64"],
            condition: Float[Array, "b 64"],
            key: Key[Array, ""],
        ) -> Float[Array, "b 64"]:
            noisy = add_noise(clean, jax.random.normal(key, clean.shape), t, schedule)
            variables = Variables(params, batch_stats)
            return network.apply(variables, noisy, t, condition, train=True)[0]

        def mean(squared: Float[Array, "b n"], divisor: Any = 1.0) -> Mean:
            each = jnp.mean(squared, axis=-1) / divisor
            return Mean(jnp.sum(each * batch.weight), jnp.sum(batch.weight))

        blind = jax.random.bernoulli(keys[2], config.unconditional, t.shape)
        condition = jnp.where(blind[:, None], 0.0, reference)
        estimate = denoise(other, condition, keys[1])
        squared = (estimate - other) ** 2
        terms = {"mse": mean(squared), "beside": mean(squared, divisor)}
        total = terms["beside"].value(empty=0.0)
        if config.branch == "anchor":
            alone = denoise(reference, jnp.zeros_like(reference), keys[3])
            squared = (alone - reference)[:, : RELATIVE.start] ** 2
            terms["alone"] = mean(squared, divisor)
            total += terms["alone"].value(empty=0.0)
        if measures_surface:
            found = representation.denormalise(estimate, statistics, hand=OTHER)
            surface = surface_errors(model, found, batch.vectors[:, 1], batch.weight)
            terms |= surface
            total += config.vertex * surface["vertex"].value(empty=0.0)
            total += config.joint * surface["joint"].value(empty=0.0)
        if config.collision > 0:
            few = jnp.argsort(t)[: -(-len(t) // 4)]
            found = representation.denormalise(estimate[few], statistics, hand=OTHER)
            depths = depths_in_reference(model, batch.vectors[few, 0], found)
            counts = batch.weight[few] * ~blind[few]
            terms["collision"] = Mean(jnp.sum(depths * counts), jnp.sum(counts))
            total += config.collision * terms["collision"].value(empty=0.0)
        return total, (terms, batch_stats)

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


def depths_in_reference(
    model: ManoModel,
    reference: Float[Array, "b 64"],
    other: Float[Array, "b 64"],
) -> Float[Array, "b"]:
    """Sum of the vertices' squared depths in the other hand, square millimetres.

    Args:
        model: hand model.
        reference: raw vectors of the reference hand, which is held fixed.
        other: raw vectors of the other hand.
    """
    twice = jnp.stack([reference, reference], axis=1)
    hands = mano.forward(model, representation.unpack_at_origin(model, twice))
    squared = collision.squared_depths(
        hands.vertices[:, LEFT],
        representation.other_hand(model, other)[0],
        model.faces[LEFT],
        model.faces[RIGHT],
        config=CollisionConfig(stop_gradient="a"),
    )
    return 1e6 * squared


def outline(experiment: PriorExperiment) -> Outline:
    """The experiment in shapes only."""
    net, loop = network(experiment.model), experiment.train
    numbers: Any = jax.ShapeDtypeStruct((SIZE,), jnp.float32)
    return Outline(
        network=net,
        loss=loss(net, experiment.loss),
        constants=PriorConstants(
            mano.load(), Statistics(numbers, numbers), experiment.diffusion.noise()
        ),
        batch=dry_run.abstract_pairs(loop.batch_size),
        optim=experiment.optim,
        loop=loop,
        unit="pair",
    )


def task(experiment: PriorExperiment) -> Task:
    """Training on pose sets."""
    net, model = network(experiment.model), mano.load()
    settings, train = experiment.diffusion, experiment.data.train
    data.expect_hand(model, settings.hand, "config.diffusion.hand")
    vectors = data.split_vectors(model, train, "train")
    statistics = representation.compute_statistics(
        jnp.asarray(vectors[:, 1]), kind=settings.normalise
    )
    constants = PriorConstants(model, statistics, settings.noise())
    fixed = fixed_numbers(experiment, constants)
    whole = base.start_from(experiment.init.model)

    def adopt(variables: Variables) -> Variables:
        started = variables if whole is None else whole(variables)
        return started._replace(batch_stats=fixed)

    return Task(
        network=net,
        loss=loss(net, experiment.loss),
        constants=constants,
        batches=data.pair_batches(vectors, experiment.train),
        describe=lambda record: f"pair {record} of {train}",
        adopt=adopt,
        unit="pair",
        records=data.records(experiment.data),
    )


KIND = Kind(
    config=PriorExperiment,
    network=network,
    outline=outline,
    task=task,
    shared=SHARED,
)
