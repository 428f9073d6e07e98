"""The forward process: mixing noise into samples (Ho et al., 2020, eq. 4)."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from twohand_jax.types import NoiseSchedule


def add_noise(
    x0: Float[Array, "*b n"],
    noise: Float[Array, "*b n"],
    t: Int[Array, "*b"],
    schedule: NoiseSchedule,
) -> Float[Array, "*b n"]:
    """Samples at timestep ``t``: sqrt(a) x0 + sqrt(1 - a) noise, a cumulative.

    Args:
        x0: clean samples, normalised.
        noise: standard normal.
        t: timesteps from 0.
        schedule: noise schedule.
    """
    kept = schedule.alphas_cumprod[t][..., None]
    return jnp.sqrt(kept) * x0 + jnp.sqrt(1.0 - kept) * noise
