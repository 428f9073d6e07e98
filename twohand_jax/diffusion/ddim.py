"""Deterministic diffusion sampling and its inversion (Song et al., ICLR 2021)."""

import dataclasses
from collections.abc import Callable
from typing import Literal, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from twohand_jax.diffusion.representation import RELATIVE, SIZE, Statistics
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
        horizon: number of timesteps, from 0 on, over which the steps are spread; None
            for the whole schedule. A shorter one leaves some of the signal.
        spacing: "even" includes the horizon's last timestep, where sampling from pure
            noise must start; "leading" has equal strides from 0 on and stops a stride
            short of the end, as the released InterHandGen does with a horizon of 126.
        eta: randomness; 0 is deterministic, 1 as random as the diffusion itself.
        update: "ddim", or "interhandgen" for what its released code computes, with
            ``x̂0 - x`` in place of the predicted noise, where x̂0 is the clean vector
            after guidance (for comparison only).
        guidance_scale: scale of classifier-free guidance; 1 uses the condition as it
            is, 0 ignores it, more than 1 exaggerates it.
        guided: numbers on which classifier-free guidance acts: "all", or "placement"
            for the last nine, rotation and translation.
        fixed_point: extra evaluations in each inversion step, which make it the exact
            inverse of a sampling step instead of an approximation.
    """

    steps: int = 42
    horizon: int | None = None
    spacing: Literal["even", "leading"] = "even"
    eta: float = 0.0
    update: Literal["ddim", "interhandgen"] = "ddim"
    guidance_scale: float = 1.0
    guided: Literal["all", "placement"] = "all"
    fixed_point: int = 1

    def __post_init__(self) -> None:
        """Refuse settings that nothing can be computed with."""
        if self.steps < 1:
            raise InputError(
                f"There are {self.steps} denoising steps; give at least 1."
            )
        if self.horizon is not None and self.steps > self.horizon:
            raise InputError(
                f"{self.steps} denoising steps do not fit into {self.horizon} "
                "timesteps; give between 1 and as many steps as the horizon has."
            )
        if self.spacing not in ("even", "leading"):
            raise InputError(
                f"Unknown spacing {self.spacing!r}; choose 'even' or 'leading'."
            )
        if self.eta < 0 or self.guidance_scale < 0 or self.fixed_point < 0:
            raise InputError(
                f"eta ({self.eta}), guidance_scale ({self.guidance_scale}) and "
                f"fixed_point ({self.fixed_point}) must not be negative."
            )
        if self.guided not in ("all", "placement"):
            raise InputError(
                f"Unknown numbers {self.guided!r}; choose 'all' or 'placement'."
            )
        if self.update not in ("ddim", "interhandgen"):
            raise InputError(
                f"Unknown update {self.update!r}; choose 'ddim' or 'interhandgen'."
            )


# METHOD §5: the published number of steps, three timesteps apart.
PUBLISHED = DdimConfig(steps=42, horizon=126, spacing="leading")
# What InterHandGen's released code does in sampling.
RELEASED = dataclasses.replace(
    PUBLISHED, update="interhandgen", guidance_scale=1.1, guided="placement"
)


PUBLISHED_LEVEL = 0.52  # of the signal's variance is left at the end of its schedule


def at_level(
    config: DdimConfig, schedule: NoiseSchedule, kept: float = PUBLISHED_LEVEL
) -> DdimConfig:
    """The same number of steps, from where a share of the signal's variance is left.

    Args:
        config: the walk.
        schedule: of concrete numbers, not traced.
        kept: the share.
    """
    left = np.asarray(schedule.alphas_cumprod) >= kept
    horizon = max(int(left.sum()), config.steps)
    return dataclasses.replace(config, horizon=horizon)


class Inversion(NamedTuple):
    """The noise that a clean vector comes from.

    ``residual`` holds, for each sampling step, the difference between the path of
    inversion and unguided sampling from ``latent``. Sampling that adds it back ends
    exactly at the clean vector.
    """

    latent: Float[Array, "*b 64"]
    residual: Float[Array, "k *b 64"]


class Level(NamedTuple):
    """A timestep, how much signal is left at it, and the same one step further down."""

    step: Int[Array, "*k"]
    t: Int[Array, "*k"]
    alpha: Float[Array, "*k"]
    alpha_below: Float[Array, "*k"]


def timesteps(config: DdimConfig, length: int) -> Int[np.ndarray, "k"]:
    """The timesteps in sampling's order, from the noisiest down to 0.

    Args:
        config: how many, and how they are spread.
        length: of the schedule.

    Raises:
        InputError: the schedule is shorter than the horizon or has too few timesteps.
    """
    horizon = length if config.horizon is None else config.horizon
    if horizon > length:
        raise InputError(
            f"The noise schedule has {length} timesteps, the steps are spread over "
            f"{horizon}; set DdimConfig.horizon to {length} or fewer."
        )
    if config.steps > horizon:
        raise InputError(
            f"{config.steps} denoising steps do not fit into the noise schedule's "
            f"{length} timesteps; give that many or fewer."
        )
    if config.spacing == "leading":
        return np.arange(config.steps)[::-1] * horizon // config.steps
    if config.steps == 1:
        return np.array([horizon - 1])
    return np.rint(np.linspace(horizon - 1, 0, config.steps)).astype(np.int64)


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
    walk = levels(schedule, config)
    if residual is None:
        residual = jnp.zeros((config.steps, *(1,) * latent.ndim), latent.dtype)

    def step(x: Vector, now: tuple[Level, Vector]) -> tuple[Vector, None]:
        level, missed = now
        estimate = predict(denoise, x, level.t, condition, config)
        clean = estimate if change is None else change(estimate, level.step)
        predicted = _predicted_noise(x, estimate, clean, level.alpha, config)
        noise = None
        if key is not None and config.eta > 0:
            noise = jax.random.normal(
                jax.random.fold_in(key, level.step), x.shape, x.dtype
            )
        return _down(clean, predicted, level, noise, config) + missed, None

    return jax.lax.scan(step, latent, (walk, residual))[0]


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
        carry: tuple[Vector, Vector], level: Level
    ) -> tuple[tuple[Vector, Vector], Vector]:
        below, noise = carry

        def up(noise: Vector) -> tuple[Vector, Vector, Vector]:
            x = _up(below, noise, level)
            estimate = predict(denoise, x, level.t, condition, still)
            return x, estimate, noise_of(x, estimate, level.alpha)

        if config.fixed_point:
            noise = jax.lax.fori_loop(
                0, config.fixed_point, lambda _, now: up(now)[2], noise
            )
        x, estimate, noise = up(noise)
        predicted = _predicted_noise(x, estimate, estimate, level.alpha, still)
        missed = below - _down(estimate, predicted, level, None, still)
        return (x, noise), missed

    start = (clean, jnp.zeros_like(clean))
    (latent, _), residual = jax.lax.scan(
        step, start, levels(schedule, config), reverse=True
    )
    return Inversion(latent=latent, residual=residual)


def levels(schedule: NoiseSchedule, config: DdimConfig) -> Level:
    """The levels in sampling's order; below timestep 0 all is signal."""
    t = timesteps(config, schedule.alphas_cumprod.shape[-1])
    alpha = schedule.alphas_cumprod[t]
    below = jnp.concatenate([alpha[1:], jnp.ones_like(alpha[:1])])
    return Level(jnp.arange(config.steps), jnp.asarray(t, jnp.int32), alpha, below)


def predict(
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
    mixed = free + config.guidance_scale * (given - free)
    if config.guided == "all":
        return mixed
    return jnp.where(jnp.arange(SIZE) >= RELATIVE.start, mixed, given)


def noise_of(x: Vector, clean: Vector, alpha: Float[Array, ""]) -> Vector:
    """The noise that makes ``x`` of a clean vector."""
    return (x - jnp.sqrt(alpha) * clean) * jax.lax.rsqrt(1.0 - alpha)


def _predicted_noise(
    x: Vector,
    estimate: Vector,
    clean: Vector,
    alpha: Float[Array, ""],
    config: DdimConfig,
) -> Vector:
    """The direction that a step keeps.

    It is the noise of the estimate before guidance changed it: taken from the changed
    one, it would undo nearly all of the change. The released code takes another, and
    that of the changed one.
    """
    if config.update == "interhandgen":
        return clean - x
    return noise_of(x, estimate, alpha)


def _down(
    clean: Vector,
    predicted: Vector,
    level: Level,
    noise: Vector | None,
    config: DdimConfig,
) -> Vector:
    """One sampling step (eq. 12 of the paper)."""
    alpha, below = level.alpha, level.alpha_below
    variance = config.eta**2 * (1 - below) / (1 - alpha) * (1 - alpha / below)
    stepped = jnp.sqrt(below) * clean + jnp.sqrt(1 - below - variance) * predicted
    return stepped if noise is None else stepped + jnp.sqrt(variance) * noise


def _up(below: Vector, noise: Vector, level: Level) -> Vector:
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
