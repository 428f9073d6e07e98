"""Steering the samples by an energy of the predicted clean vector (METHOD §5)."""

import dataclasses
import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from twohand_jax.diffusion.ddim import Change, Energy
from twohand_jax.diffusion.layout import SIZE, TRANSLATION
from twohand_jax.diffusion.statistics import KINDS, Statistics, check_statistics
from twohand_jax.errors import InputError


@dataclasses.dataclass(frozen=True, kw_only=True)
class GuidanceConfig:
    """Step sizes λ of gradient descent on the predicted clean vector.

    Attributes:
        last: step size at the last step, for variance-normalised vectors.
        ratio: of each step's size to the next one's; 0.9 makes 0.093 of 42 steps'
            first.
        others_at_last: factor on all but the translation at the last step.
        others: factor on all but the translation at every step.
        across: share of a translation across the line of sight that is made. The
            picture shows where a hand is across, and leaves open how far away it is.
        settle: steps of the last one's size that follow without the prior.
        limit: longest change of a vector in one step, in its normalised units; None
            sets no limit.
    """

    last: float = 7.0
    ratio: float = 0.9
    others_at_last: float = 0.1
    others: float = 1.0
    across: float = 1.0
    settle: int = 0
    limit: float | None = None

    def __post_init__(self) -> None:
        """Refuse step sizes that ascend or overflow."""
        for name in ("last", "others_at_last", "others", "across", "settle"):
            if not 0 <= getattr(self, name) < math.inf:
                raise InputError(
                    f"GuidanceConfig.{name} is {getattr(self, name)}; it must be "
                    "finite and not negative."
                )
        if not 0 < self.ratio <= 1:
            raise InputError(
                f"GuidanceConfig.ratio is {self.ratio}; it must lie in (0, 1]."
            )
        if self.limit is not None and not self.limit > 0:
            raise InputError(
                f"GuidanceConfig.limit is {self.limit}; give a positive length or None."
            )


def step_sizes(
    steps: int, statistics: Statistics, kind: str, *, config: GuidanceConfig
) -> Float[Array, "k 64"]:
    """Step size of every coordinate at every sampling step.

    A gradient step of size λ on variance-normalised vectors moves the raw coordinate by
    λ·variance²·gradient. The sizes returned move it as far in the prior's own space.

    Args:
        steps: sampling steps.
        statistics: of the prior.
        kind: "std" or "variance", what the statistics' scale is.
        config: the sizes.
    """
    check_statistics(statistics)
    if kind not in KINDS:
        raise InputError(
            f"Unknown kind of statistics {kind!r}; choose one of {', '.join(KINDS)}."
        )
    geometric = config.last * config.ratio ** jnp.arange(steps - 1, -1, -1)
    sizes = jnp.broadcast_to(geometric[:, None], (steps, SIZE))
    coordinate = jnp.arange(SIZE)
    others = (coordinate < TRANSLATION.start) & (jnp.arange(steps) == steps - 1)[
        :, None
    ]
    sizes = jnp.where(others, sizes * config.others_at_last, sizes)
    sizes = jnp.where(coordinate < TRANSLATION.start, sizes * config.others, sizes)
    return sizes * (statistics.scale**2 if kind == "std" else 1.0)


def by_energy(
    energy: Energy,
    sizes: Float[Array, "k 64"],
    *,
    limit: float | None = None,
    sight: Float[Array, "*b 3"] | None = None,
    across: float = 1.0,
) -> Change:
    """One gradient step on an energy, for ``ddim.sample``.

    Samples do not influence each other: the energy of each depends on its own vector.

    Args:
        energy: from normalised clean vectors to one value a sample.
        sizes: from ``step_sizes``.
        limit: as in ``GuidanceConfig``.
        sight: unit vector from the camera to the hand, in the frame of its translation.
        across: as in ``GuidanceConfig``; needs ``sight``.
    """

    def change(
        clean: Float[Array, "*b 64"], step: Int[Array, ""]
    ) -> Float[Array, "*b 64"]:
        gradient = jax.grad(lambda vectors: jnp.sum(energy(vectors)))(clean)
        move = sizes[step] * gradient
        if limit is not None:
            squared = jnp.sum(move**2, axis=-1, keepdims=True)
            long = squared > limit**2
            safe = jnp.where(long, squared, 1.0)
            move = jnp.where(long, move * limit * jax.lax.rsqrt(safe), move)
        if sight is not None:
            # After the limit: across, the hand moves more slowly at any step size.
            shift = move[..., TRANSLATION]
            along = jnp.sum(shift * sight, axis=-1, keepdims=True) * sight
            move = move.at[..., TRANSLATION].set(along + across * (shift - along))
        return clean - move

    return change
