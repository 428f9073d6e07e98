"""Optimiser and schedules (METHOD §4: AdamW, 1e-4, a tenth of it from epoch 4)."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PyTree

from twohand_jax import fields

DECAYS = "matrices", "all"


@dataclasses.dataclass(frozen=True, kw_only=True)
class OptimConfig:
    """Optimiser settings; steps count optimiser updates.

    Attributes:
        schedule: "constant", "step" (times ``factor`` at each of ``milestones``) or
            "cosine" (to zero at ``total_steps``).
        warmup_steps: number of updates in which the rate grows linearly from zero.
        weight_decay: decay of AdamW.
        decays: "matrices", weights with two or more axes, so that norms and biases have
            none; or "all", as PyTorch's AdamW does by itself.
        clip_norm: largest global gradient norm; 0 switches clipping off.
        accumulate: number of micro-batches in an update.
        ema_decay: decay of the averaged weights; with 0 they equal the weights.
    """

    learning_rate: float = 1e-4
    schedule: str = "step"
    total_steps: int = 1
    milestones: tuple[int, ...] = ()
    factor: float = 0.1
    warmup_steps: int = 0
    weight_decay: float = 0.01
    decays: str = DECAYS[0]
    clip_norm: float = 0.0
    accumulate: int = 1
    ema_decay: float = 0.0

    def __post_init__(self) -> None:
        at_least_zero = fields.NOT_NEGATIVE
        fields.check(
            self,
            learning_rate=at_least_zero,
            schedule=tuple(SCHEDULES),
            total_steps=at_least_zero,
            milestones=at_least_zero,
            factor=at_least_zero,
            warmup_steps=at_least_zero,
            weight_decay=at_least_zero,
            decays=DECAYS,
            clip_norm=at_least_zero,
            accumulate=fields.COUNT,
            ema_decay=fields.SHARE_BELOW_ONE,
        )


def schedule(config: OptimConfig) -> optax.Schedule:
    """Learning rate as a function of the update."""
    rate, main = config.learning_rate, SCHEDULES[config.schedule](config)
    if config.warmup_steps == 0:
        return main
    warm = optax.linear_schedule(0.0, rate, config.warmup_steps)
    return optax.join_schedules([warm, main], [config.warmup_steps])


def _constant(config: OptimConfig) -> optax.Schedule:
    return optax.constant_schedule(config.learning_rate)


def _step(config: OptimConfig) -> optax.Schedule:
    drops = {
        milestone - config.warmup_steps: config.factor
        for milestone in config.milestones
    }
    return optax.piecewise_constant_schedule(config.learning_rate, drops)


def _cosine(config: OptimConfig) -> optax.Schedule:
    rest = config.total_steps - config.warmup_steps
    return optax.cosine_decay_schedule(config.learning_rate, max(rest, 1))


SCHEDULES: Mapping[str, Callable[[OptimConfig], optax.Schedule]] = {
    "constant": _constant,
    "step": _step,
    "cosine": _cosine,
}


def optimizer(
    config: OptimConfig, *, frozen: Sequence[str] = ()
) -> optax.GradientTransformation:
    """AdamW with clipping and gradient accumulation.

    Args:
        config: settings.
        frozen: beginnings of paths, such as ``image/stem/``, of weights that the loss
            has no gradient for; they do not decay either, and so stay as they are.
    """
    parts = [optax.clip_by_global_norm(config.clip_norm)] if config.clip_norm else []
    axes = 2 if config.decays == "matrices" else 0
    decays = functools.partial(_decays, frozen=tuple(frozen), axes=axes)
    parts.append(
        optax.adamw(schedule(config), weight_decay=config.weight_decay, mask=decays)
    )
    chain = optax.chain(*parts)
    if config.accumulate == 1:
        return chain
    steps = optax.MultiSteps(chain, config.accumulate)
    return optax.GradientTransformation(steps.init, steps.update)


def update_average(
    average: PyTree[Array],
    params: PyTree[Array],
    step: Int[Array, ""],
    *,
    decay: float,
) -> PyTree[Array]:
    """Exponential moving average that starts fast: min(decay, (1 + n) / (10 + n))."""
    count = step.astype(jnp.float32)
    rate: Float[Array, ""] = jnp.minimum(decay, (1 + count) / (10 + count))
    return jax.tree.map(lambda a, p: a + (1 - rate) * (p - a), average, params)


def _decays(
    params: PyTree[Array], *, frozen: tuple[str, ...], axes: int
) -> PyTree[bool]:
    """Weights with at least so many axes, but for the frozen ones."""

    def decays(path: jax.tree_util.KeyPath, leaf: Array) -> bool:
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        return leaf.ndim >= axes and not name.startswith(frozen)

    return jax.tree_util.tree_map_with_path(decays, params)
