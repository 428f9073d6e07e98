"""Noise schedules and the forward process (Ho et al., 2020, eq. 4)."""

import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from twohand_jax.errors import InputError
from twohand_jax.types import NoiseSchedule


def linear(steps: int = 129, start: float = 1e-4, stop: float = 1e-2) -> NoiseSchedule:
    """Noise schedule whose variances grow linearly (Ho et al., 2020).

    The defaults are InterHandGen's: half of the signal's variance is left at the end.

    Args:
        steps: number of timesteps T.
        start: variance added at the first timestep.
        stop: variance added at the last timestep.

    Raises:
        InputError: there is no timestep, or a variance is outside (0, 1).
    """
    _check_length(steps)
    if not 0.0 < start <= stop < 1.0:
        raise InputError(
            f"The noise schedule goes from {start} to {stop}; both variances must lie "
            "between 0 and 1, the first not above the last."
        )
    return _from_variances(np.linspace(start, stop, steps))


def cosine(steps: int = 129, offset: float = 0.008) -> NoiseSchedule:
    """Signal that falls as a squared cosine (Nichol and Dhariwal, 2021, eq. 17).

    Nothing of it is left at the last timestep, where sampling starts from noise alone
    (Lin et al., 2024). A network that predicts noise cannot work there; ours predicts
    clean vectors.

    Args:
        steps: number of timesteps T.
        offset: moves the first timesteps away from no noise at all.

    Raises:
        InputError: no timestep, or an offset that is not positive.
    """
    _check_length(steps)
    if not 0.0 < offset < math.inf:
        raise InputError(
            f"The cosine schedule's offset is {offset}; give a positive number such as "
            "0.008."
        )
    times = np.arange(steps + 1) / steps
    kept = np.cos((times + offset) / (1.0 + offset) * np.pi / 2) ** 2
    kept[-1] = 0.0  # and not what rounding leaves
    return _from_variances(1.0 - kept[1:] / kept[:-1])


def _check_length(steps: int) -> None:
    if steps < 1:
        raise InputError(
            f"A noise schedule of {steps} timesteps is empty; give at least 1."
        )


def _from_variances(betas: Float[np.ndarray, "t"]) -> NoiseSchedule:
    return NoiseSchedule(
        betas=jnp.asarray(betas, jnp.float32),
        alphas_cumprod=jnp.asarray(np.cumprod(1.0 - betas), jnp.float32),
    )


def add_noise(
    x0: Float[Array, "*b n"],
    noise: Float[Array, "*b n"],
    t: Int[Array, "*b"],
    schedule: NoiseSchedule,
) -> Float[Array, "*b n"]:
    """Noisy samples at timestep ``t``: sqrt(a) x0 + sqrt(1 - a) noise, cumulative a.

    Args:
        x0: clean samples, normalised.
        noise: standard normal noise of the same shape.
        t: timesteps from 0.
        schedule: noise schedule.
    """
    kept = schedule.alphas_cumprod[t][..., None]
    return jnp.sqrt(kept) * x0 + jnp.sqrt(1.0 - kept) * noise
