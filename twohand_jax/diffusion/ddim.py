"""Deterministic diffusion sampling and its inversion (Song et al., ICLR 2021)."""

import dataclasses
from collections.abc import Callable
from typing import Literal, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from twohand_jax.diffusion.representation import Statistics
from twohand_jax.errors import InputError
from twohand_jax.types import ManoModel, NoiseSchedule

Vector = Float[Array, "*b 64"]
Denoise = Callable[[Vector, Int[Array, ""], Vector], Vector]
Energy = Callable[[Vector], Float[Array, "*b"]]
Change = Callable[[Vector, Int[Array, ""]], Vector]


@dataclasses.dataclass(frozen=True, kw_only=True)
class DdimConfig:
    """Steps of sampling and inversion.

    Attributes:
        steps: number of denoising steps.
        horizon: number of timesteps, from 0 on, over which the steps are evenly spread.
        eta: randomness; 0 is deterministic, 1 as random as the diffusion itself.
        update: "ddim", or "interhandgen" for what its released code computes, with
            ``x̂0 - x`` in place of the predicted noise (for comparison only).
        guidance_scale: scale of classifier-free guidance; 1 uses the condition as it
            is, 0 ignores it, more than 1 exaggerates it.
        fixed_point: extra evaluations in each inversion step, which make it the exact
            inverse of a sampling step instead of an approximation.
    """

    steps: int = 42
    horizon: int = 126
    eta: float = 0.0
    update: Literal["ddim", "interhandgen"] = "ddim"
    guidance_scale: float = 1.0
    fixed_point: int = 1

    def __post_init__(self) -> None:
        """Refuse settings that nothing can be computed with."""
        if not 1 <= self.steps <= self.horizon:
            raise InputError(
                f"{self.steps} denoising steps do not fit into {self.horizon} "
                "timesteps; give between 1 and as many steps as the horizon has."
            )
        if self.eta < 0 or self.guidance_scale < 0 or self.fixed_point < 0:
            raise InputError(
                f"eta ({self.eta}), guidance_scale ({self.guidance_scale}) and "
                f"fixed_point ({self.fixed_point}) must not be negative."
            )
        if self.update not in ("ddim", "interhandgen"):
            raise InputError(
                f"Unknown update {self.update!r}; choose 'ddim' or 'interhandgen'."
            )


class Inversion(NamedTuple):
    """The noise that a clean vector comes from.

    ``residual`` holds, for each sampling step, the difference between the path of
    inversion and unguided sampling from ``latent``. Sampling that adds it back ends
    exactly at the clean vector.
    """

    latent: Float[Array, "*b 64"]
    residual: Float[Array, "k *b 64"]


class _Level(NamedTuple):
    """A timestep, how much signal is left at it, and the same one step further down."""

    step: Int[Array, "*k"]
    t: Int[Array, "*k"]
    alpha: Float[Array, "*k"]
    alpha_below: Float[Array, "*k"]


def timesteps(config: DdimConfig) -> Int[np.ndarray, "k"]:
    """The timesteps in sampling's order, from the noisiest down to 0."""
    return np.arange(config.steps)[::-1] * config.horizon // config.steps


def sample(
    denoise: Denoise,
    schedule: NoiseSchedule,
    latent: Float[Array, "*b 64"],
    condition: Float[Array, "*b 64"],
    *,
    config: DdimConfig,
    key: Key[Array, ""] | None = None,
    change: Change | None = None,
    residual: Float[Array, "k *b 64"] | None = None,
) -> Float[Array, "*b 64"]:
    """Clean vectors from noise.

    Args:
        denoise: predicts the clean vector from a noisy one, its timestep and condition.
        schedule: the noise schedule that the denoiser was trained with.
        latent: noise at the first timestep, standard normal or from ``invert``.
        condition: normalised vectors of the reference hand, or zeros for none.
        config: number, spacing and randomness of the steps.
        key: random key; needed when ``config.eta`` is not 0.
        change: a function that changes the clean vector predicted in step k, such as
            ``guidance.by_energy``.
        residual: result of ``invert`` that is added after each step.

    Returns:
        Normalised clean vectors.
    """
    if config.eta > 0 and key is None:
        raise InputError(
            f"Sampling with eta = {config.eta} draws noise; pass a key, or set eta = 0."
        )
    chex.assert_equal_shape([latent, condition])
    levels = _levels(schedule, config)
    if residual is None:
        residual = jnp.zeros((config.steps, *(1,) * latent.ndim), latent.dtype)

    def step(x: Vector, now: tuple[_Level, Vector]) -> tuple[Vector, None]:
        level, missed = now
        clean = _predict(denoise, x, level.t, condition, config)
        predicted = _predicted_noise(x, clean, level.alpha, config)
        if change is not None:
            clean = change(clean, level.step)
        noise = None
        if key is not None and config.eta > 0:
            noise = jax.random.normal(
                jax.random.fold_in(key, level.step), x.shape, x.dtype
            )
        return _down(clean, predicted, level, noise, config) + missed, None

    return jax.lax.scan(step, latent, (levels, residual))[0]


def invert(
    denoise: Denoise,
    schedule: NoiseSchedule,
    clean: Float[Array, "*b 64"],
    condition: Float[Array, "*b 64"],
    *,
    config: DdimConfig,
) -> Inversion:
    """Find the noise that unguided sampling turns into ``clean``, and its residual.

    Args:
        denoise: as in ``sample``.
        schedule: as in ``sample``.
        clean: normalised vectors.
        condition: as in ``sample``.
        config: number and spacing of the steps; ``eta`` is ignored.
    """
    chex.assert_equal_shape([clean, condition])
    still = dataclasses.replace(config, eta=0.0)

    def step(
        carry: tuple[Vector, Vector], level: _Level
    ) -> tuple[tuple[Vector, Vector], Vector]:
        below, noise = carry

        def up(noise: Vector) -> tuple[Vector, Vector, Vector]:
            x = _up(below, noise, level)
            estimate = _predict(denoise, x, level.t, condition, still)
            return x, estimate, _noise(x, estimate, level.alpha)

        if config.fixed_point:
            noise = jax.lax.fori_loop(
                0, config.fixed_point, lambda _, now: up(now)[2], noise
            )
        x, estimate, noise = up(noise)
        predicted = _predicted_noise(x, estimate, level.alpha, still)
        missed = below - _down(estimate, predicted, level, None, still)
        return (x, noise), missed

    start = (clean, jnp.zeros_like(clean))
    (latent, _), residual = jax.lax.scan(
        step, start, _levels(schedule, config), reverse=True
    )
    return Inversion(latent=latent, residual=residual)


def _levels(schedule: NoiseSchedule, config: DdimConfig) -> _Level:
    """The levels in sampling's order; below timestep 0 all is signal."""
    length = schedule.alphas_cumprod.shape[-1]
    if config.horizon > length:
        raise InputError(
            f"The noise schedule has {length} timesteps, the steps are spread over "
            f"{config.horizon}; set DdimConfig.horizon to {length} or fewer."
        )
    t = timesteps(config)
    alpha = schedule.alphas_cumprod[t]
    below = jnp.concatenate([alpha[1:], jnp.ones_like(alpha[:1])])
    return _Level(jnp.arange(config.steps), jnp.asarray(t, jnp.int32), alpha, below)


def _predict(
    denoise: Denoise,
    x: Vector,
    t: Int[Array, ""],
    condition: Vector,
    config: DdimConfig,
) -> Vector:
    """The clean vector, with classifier-free guidance where it changes anything."""
    if config.guidance_scale == 1.0:
        return denoise(x, t, condition)
    given = denoise(x, t, condition)
    free = denoise(x, t, jnp.zeros_like(condition))
    return free + config.guidance_scale * (given - free)


def _noise(x: Vector, clean: Vector, alpha: Float[Array, ""]) -> Vector:
    return (x - jnp.sqrt(alpha) * clean) * jax.lax.rsqrt(1.0 - alpha)


def _predicted_noise(
    x: Vector, clean: Vector, alpha: Float[Array, ""], config: DdimConfig
) -> Vector:
    if config.update == "interhandgen":
        return clean - x
    return _noise(x, clean, alpha)


def _down(
    clean: Vector,
    predicted: Vector,
    level: _Level,
    noise: Vector | None,
    config: DdimConfig,
) -> Vector:
    """One sampling step (eq. 12 of the paper).

    The predicted noise is that of the clean vector before guidance changed it: taken
    from the changed one, it would undo nearly all of the change.
    """
    alpha, below = level.alpha, level.alpha_below
    variance = config.eta**2 * (1 - below) / (1 - alpha) * (1 - alpha / below)
    stepped = jnp.sqrt(below) * clean + jnp.sqrt(1 - below - variance) * predicted
    return stepped if noise is None else stepped + jnp.sqrt(variance) * noise


def _up(below: Vector, noise: Vector, level: _Level) -> Vector:
    """The noisier vector that steps down to ``below`` if ``noise`` is its noise."""
    clean = (below - jnp.sqrt(1 - level.alpha_below) * noise) * jax.lax.rsqrt(
        level.alpha_below
    )
    return jnp.sqrt(level.alpha) * clean + jnp.sqrt(1 - level.alpha) * noise


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class PriorParts:
    """The parts of a trained prior that refinement needs; a pytree.

    Attributes:
        denoise: predicts normalised clean vectors; ``jax.tree_util.Partial`` of a
            function and its weights, so that weights are arguments of compiled code.
        statistics: mean and scale that normalise the vectors.
        schedule: the noise schedule that the denoiser was trained with.
        hand_model: name of the hand model that the prior was trained on.
        kind: "std" or "variance": the meaning of the statistics' scale.
    """

    denoise: Denoise
    statistics: Statistics
    schedule: NoiseSchedule
    hand_model: str = dataclasses.field(metadata={"static": True})
    kind: str = dataclasses.field(default="std", metadata={"static": True})


def check_hand_model(prior: PriorParts, model: ManoModel) -> None:
    """Refuse hands of a model that the prior was not trained on.

    Raises:
        InputError: the names differ; the message says both.
    """
    if prior.hand_model != model.name:
        raise InputError(
            f"The prior was trained on the hand model {prior.hand_model!r}, the hands "
            f"to refine belong to {model.name!r}; load a prior for {model.name!r} or "
            f"the hand model {prior.hand_model!r}."
        )
