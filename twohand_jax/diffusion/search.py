"""The most plausible place of a hand along the line of sight.

A picture says little about how far one hand is behind the other, and a regressor errs
most in this. The prior compares a few distances: a pair that it finds plausible is
nearly unchanged after noise has been added and removed.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from twohand_jax.diffusion import representation
from twohand_jax.diffusion.ddim import Denoise
from twohand_jax.diffusion.representation import (
    OTHER,
    REFERENCE,
    SIZE,
    TRANSLATION,
    Statistics,
)
from twohand_jax.diffusion.schedule import add_noise
from twohand_jax.errors import InputError
from twohand_jax.types import NoiseSchedule


@dataclasses.dataclass(frozen=True, kw_only=True)
class SearchConfig:
    """The distances that are compared.

    Attributes:
        reach: largest shift along the line of sight, metres; 0 for no search.
        places: number of shifts that are compared, from one end to the other; an odd
            number includes the shift 0.
        spread: standard deviation of the estimate's error along the line of sight,
            metres; larger shifts are less likely.
        levels: shares of the noise schedule at which hands are judged.
        draws: number of noises at each level, in antithetic pairs.
    """

    reach: float = 0.06
    places: int = 13
    spread: float = 0.02
    levels: tuple[float, ...] = (0.06, 0.12, 0.19, 0.25, 0.37, 0.5, 0.75, 1.0)
    draws: int = 4

    def __post_init__(self) -> None:
        """Refuse a search that compares nothing."""
        if not (0 <= self.reach < math.inf and 0 < self.spread < math.inf):
            raise InputError(
                f"SearchConfig.reach ({self.reach} m) must not be negative and spread "
                f"({self.spread} m) must be positive; both must be finite."
            )
        if self.places < 1 or self.draws < 1 or not self.levels:
            raise InputError(
                "A search needs at least one of places, draws and levels, not "
                f"{self.places}, {self.draws} and {len(self.levels)}."
            )


def along_sight(
    denoise: Denoise,
    schedule: NoiseSchedule,
    statistics: Statistics,
    pair: Float[Array, "n 2 64"],
    sight: Float[Array, "n 3"],
    *,
    config: SearchConfig,
) -> Float[Array, "n"]:
    """The most plausible shift of the other hand along the line of sight, metres.

    Args:
        denoise: as in ``ddim.sample``.
        schedule: that it was trained with.
        statistics: that normalise the vectors.
        pair: raw vectors of reference and other hand.
        sight: unit vectors from the camera to the other hand, prior frame.
        config: the shifts and how they are judged.
    """
    shifts = jnp.linspace(-config.reach, config.reach, config.places)
    normal = representation.normalise(pair, statistics)
    scale = statistics.scale[TRANSLATION]
    last = len(schedule.betas) - 1

    t = jnp.asarray([round(level * last) for level in config.levels], jnp.int32)
    trials = jnp.repeat(t, config.draws), _noises(len(t), config.draws)

    def unlikely(shift: Float[Array, ""]) -> Float[Array, "n"]:
        moved = normal[:, OTHER].at[:, TRANSLATION].add(shift * sight / scale)

        def judge(
            total: Float[Array, "n"], trial: tuple[Int[Array, ""], Float[Array, "64"]]
        ) -> tuple[Float[Array, "n"], None]:
            t, noise = trial
            noisy = add_noise(moved, noise, jnp.full(len(moved), t), schedule)
            clean = denoise(noisy, t, normal[:, REFERENCE])
            return total + jnp.sum((clean - moved) ** 2, axis=-1) / config.draws, None

        start = jnp.full(len(moved), 0.5 * (shift / config.spread) ** 2)
        return jax.lax.scan(judge, start, trials)[0]

    return shifts[jnp.argmin(jax.lax.map(unlikely, shifts), axis=0)]


def _noises(levels: int, draws: int) -> Float[Array, "k 64"]:
    """The same for every shift and every hand, so that only the shift matters.

    Of two draws the second is the first one's negative.
    """
    drawn = np.random.default_rng(0).normal(size=(levels, (draws + 1) // 2, 1, SIZE))
    pairs = np.concatenate([drawn, -drawn], axis=2).reshape(levels, -1, SIZE)
    return jnp.asarray(pairs[:, :draws].reshape(-1, SIZE), jnp.float32)
