"""How well a prior's network denoises held-out pairs: a fixed, quick measure."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from twohand_jax.diffusion import representation
from twohand_jax.diffusion.representation import OTHER
from twohand_jax.diffusion.schedule import add_noise
from twohand_jax.experiments.prior import PriorConstants, surface_errors
from twohand_jax.models.apply import Network, Variables

# Share of the schedule at which pairs are looked at, and how many of them.
LEVELS = (0.25, 0.5, 1.0)
PAIRS = 2048


def evaluate(
    network: Network,
    variables: Variables,
    *,
    vectors: Float[np.ndarray, "n 2 64"],
    constants: PriorConstants,
) -> dict[str, float]:
    """Errors of the estimated clean hand, with and without the other hand known.

    Returns:
        Mean squared error of the normalised numbers (``mse``) and root mean square
        distance of the vertices in mm (``vertex_mm``), by noise level; the mean of
        ``mse`` over the levels as ``conditional/mse`` and ``blind/mse``.
    """
    rows = np.linspace(0, len(vectors) - 1, min(PAIRS, len(vectors))).astype(int)
    found = {}
    for name, blind in (("conditional", False), ("blind", True)):
        errors = []
        for level in LEVELS:
            t = round(level * (len(constants.schedule.betas) - 1))
            mse, vertex = _errors(
                network, variables, jnp.asarray(vectors[rows]), constants, t, blind
            )
            found[f"{name}/{level:g}/mse"] = float(mse)
            found[f"{name}/{level:g}/vertex_mm"] = 1e3 * float(vertex)
            errors.append(float(mse))
        found[f"{name}/mse"] = float(np.mean(errors))
    return found


def _errors(
    network: Network,
    variables: Variables,
    vectors: Float[Array, "n 2 64"],
    constants: PriorConstants,
    level: int,
    blind: bool,
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    @jax.jit
    def compute(variables, vectors, constants, t):
        model, statistics, schedule = constants
        normal = representation.normalise(vectors, statistics)
        noise = jax.random.normal(jax.random.key(0), normal[:, 1].shape)
        noisy = add_noise(normal[:, 1], noise, t, schedule)
        condition = jnp.where(blind, 0.0, normal[:, 0])
        estimate, _ = network.apply(variables, noisy, t, condition)
        mse = jnp.mean((estimate - normal[:, 1]) ** 2)
        found = representation.denormalise(estimate, statistics, hand=OTHER)
        weight = jnp.ones(len(vectors))
        surface = surface_errors(model, found, vectors[:, 1], weight)
        return mse, jnp.sqrt(surface["vertex"].value())

    t = jnp.full(len(vectors), level)
    return compute(variables, vectors, constants, t)
