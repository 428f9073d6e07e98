"""Noise schedules and the forward process (Ho et al., 2020, eq. 4)."""

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
    if steps < 1:
        raise InputError(
            f"A noise schedule of {steps} timesteps is empty; give at least 1."
        )
    if not 0.0 < start <= stop < 1.0:
        raise InputError(
            f"The noise schedule goes from {start} to {stop}; both variances must lie "
            "between 0 and 1, the first not above the last."
        )
    betas = np.linspace(start, stop, steps)
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
