"""The two-hand prior as an object: load it, draw pairs, draw a partner for a hand."""

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from twohand_jax import assets, mano, paths, switches
from twohand_jax.diffusion import cascade, representation
from twohand_jax.diffusion.cascade import SampleConfig
from twohand_jax.diffusion.ddim import PriorParts
from twohand_jax.diffusion.representation import REFERENCE, PairFrame, Statistics
from twohand_jax.errors import InputError
from twohand_jax.experiments.prior import DiffusionConfig
from twohand_jax.models import apply
from twohand_jax.models.apply import Network, Variables
from twohand_jax.models.denoiser import DenoiserConfig, ResidualDenoiserConfig
from twohand_jax.types import ManoModel, ManoParams, NoiseSchedule
from twohand_jax.weights import native

FREE = SampleConfig()


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=["variables", "model"],
    meta_fields=["network", "settings", "sizes"],
)
@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Prior:
    """A diffusion model of a hand, alone or beside another hand.

    It is a pytree: it can be an argument of a function under ``jax.jit`` (weights and
    hand model are arrays, the rest is static), or be used inside it as a closure.

    Attributes:
        network: pure functions of the denoiser.
        variables: weights; statistics of the vectors are the ``batch_stats``.
        settings: noise schedule and normalisation of its training.
        sizes: sizes of the network.
        model: the hand model that it was trained on.
    """

    network: Network
    variables: Variables
    settings: DiffusionConfig
    sizes: DenoiserConfig | ResidualDenoiserConfig
    model: ManoModel

    @classmethod
    @switches.defaults()
    def load(
        cls, directory: str | Path | None = None, *, model: ManoModel | None = None
    ) -> "Prior":
        """Load the prior of a model directory.

        Args:
            directory: a directory written by training; None for the shipped prior.
            model: hand model; None for the open hand.

        Raises:
            InputError: there is no such prior, or it belongs to another hand model.
        """
        from twohand_jax import experiments
        from twohand_jax.experiments.prior import PriorExperiment

        if directory is None and not assets.PRIOR.is_dir():
            raise InputError(
                "This installation ships no prior; name the model directory of one."
            )
        source = assets.PRIOR if directory is None else paths.local(directory)
        experiment = experiments.parse_as(PriorExperiment, native.load_config(source))
        model = mano.load() if model is None else model
        if model.name != experiment.diffusion.hand:
            raise InputError(
                f"The prior in {source} was trained on the hand model "
                f"{experiment.diffusion.hand!r}, but the hand model here is "
                f"{model.name!r}; their numbers mean different hands. Load the prior's "
                "hand model, or train a prior on this one."
            )
        network = experiments.network(experiment)
        variables = native.load(source, apply.shapes(network))
        return cls(
            network=network,
            variables=variables,
            settings=experiment.diffusion,
            sizes=experiment.model,
            model=model,
        )

    @property
    def statistics(self) -> Statistics:
        """Mean and scale that normalise the vectors of hands."""
        return _statistics(self.variables)

    @property
    def schedule(self) -> NoiseSchedule:
        """The noise schedule of its training."""
        return self.settings.noise()

    @property
    def parts(self) -> PriorParts:
        """The prior as ``diffusion`` takes it; made anew, as traces need it."""
        return parts(self.network, self.settings, self.variables)

    def denoise(
        self,
        variables: Variables,
        x: Float[Array, "*b 64"],
        t: Int[Array, ""],
        condition: Float[Array, "*b 64"],
    ) -> Float[Array, "*b 64"]:
        """The estimated clean hand; with the first argument given, what ``ddim`` walks.

        Args:
            variables: ``self.variables``, or traced ones.
            x: noisy normalised vectors of the other hand.
            t: timestep of all of them.
            condition: normalised vectors of the reference hand, or zeros for none.
        """
        return _denoise(self.network, variables, x, t, condition)

    @switches.defaults()
    def sample(
        self, key: Key[Array, ""], n: int, *, config: SampleConfig = FREE
    ) -> ManoParams:
        """Draw pairs of hands; the reference is the right and the left hand in turn.

        Args:
            key: random key.
            n: number of pairs.
            config: steps, and an energy that steers the samples.

        Returns:
            Parameters ``n 2 ...`` in metres, each pair in its own frame, in which the
            reference hand is not rotated and has its middle-finger base at the origin.
        """
        if n < 1:
            raise InputError(f"{n} samples were asked for; ask for at least 1.")
        return _sample(
            self.network, self.settings, self.variables, self.model, key, n, config
        )

    @switches.defaults()
    def sample_second(
        self,
        key: Key[Array, ""],
        params: ManoParams,
        reference: Int[Array, "*b"],
        *,
        config: SampleConfig = FREE,
    ) -> ManoParams:
        """Draw a second hand beside each reference hand, which stays as it is.

        Args:
            key: random key.
            params: parameters of both hands, any leading batch. Those of the hands
                that are drawn are ignored.
            reference: RIGHT or LEFT, for each pair.
            config: steps, and an energy that steers the samples.
        """
        reference = jnp.broadcast_to(reference, params.transl.shape[:-2])
        return _sample_second(
            self.network,
            self.settings,
            self.variables,
            self.model,
            key,
            params,
            reference,
            config,
        )


def parts(
    network: Network, settings: DiffusionConfig, variables: Variables
) -> PriorParts:
    """A prior as ``diffusion.refine`` takes it, from weights that may be traced."""
    return PriorParts(
        denoise=jax.tree_util.Partial(_denoiser(network), variables),
        statistics=_statistics(variables),
        schedule=settings.noise(),
        hand_model=settings.hand,
        kind=settings.normalise,
    )


def shipped_hand() -> str | None:
    """Name of the hand model that the shipped prior belongs to; None without one."""
    from twohand_jax import experiments
    from twohand_jax.experiments.prior import PriorExperiment

    if not assets.PRIOR.is_dir():
        return None
    config = native.load_config(assets.PRIOR)
    return experiments.parse_as(PriorExperiment, config).diffusion.hand


@functools.cache
def _denoiser(network: Network) -> Callable[..., Array]:
    """One function for each network, so that programs are compiled once."""
    return functools.partial(_denoise, network)


@functools.partial(jax.jit, static_argnums=(0, 1, 5, 6))
def _sample(
    network: Network,
    settings: DiffusionConfig,
    variables: Variables,
    model: ManoModel,
    key: Key[Array, ""],
    count: int,
    config: SampleConfig,
) -> ManoParams:
    prior = parts(network, settings, variables)
    pairs = cascade.draw_pairs(prior, model, key, count, config=config)
    identity = jnp.broadcast_to(jnp.eye(3), (count, 3, 3))
    frame = PairFrame(rotation=identity, origin=jnp.zeros((count, 3)))
    return representation.unpack(model, pairs, jnp.arange(count) % 2, frame)


@functools.partial(jax.jit, static_argnums=(0, 1, 7))
def _sample_second(
    network: Network,
    settings: DiffusionConfig,
    variables: Variables,
    model: ManoModel,
    key: Key[Array, ""],
    params: ManoParams,
    reference: Int[Array, "*b"],
    config: SampleConfig,
) -> ManoParams:
    prior = parts(network, settings, variables)
    first = representation.pack(model, params, reference)[..., REFERENCE, :]
    second = cascade.draw_second(prior, model, key, first, config=config)
    frame = representation.pair_frame(model, params, reference)
    pairs = jnp.stack([first, second], axis=-2)
    drawn = representation.unpack(model, pairs, reference, frame)
    kept = jnp.arange(2) == reference[..., None]
    return jax.tree.map(
        lambda old, new: jnp.where(
            kept.reshape(kept.shape + (1,) * (old.ndim - kept.ndim)), old, new
        ),
        params,
        drawn,
    )


def _statistics(variables: Variables) -> Statistics:
    fixed: Any = variables.batch_stats
    return Statistics(mean=fixed["mean"], scale=fixed["scale"])


def _denoise(
    network: Network,
    variables: Variables,
    x: Float[Array, "*b 64"],
    t: Int[Array, ""],
    condition: Float[Array, "*b 64"],
) -> Float[Array, "*b 64"]:
    flat = x.reshape(-1, x.shape[-1])
    times = jnp.broadcast_to(t, x.shape[:-1]).reshape(-1)
    estimate, _ = network.apply(
        variables, flat, times, jnp.broadcast_to(condition, x.shape).reshape(flat.shape)
    )
    return estimate.reshape(x.shape)
