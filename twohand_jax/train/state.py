"""The state of a training run, and the random keys that are derived from it."""

import zlib
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int, Key, PyTree

from twohand_jax.models.apply import Network, Variables


class TrainState(NamedTuple):
    """Everything that a checkpoint contains; ``step`` is also the data's position."""

    step: Int[Array, ""]
    params: PyTree[Array]
    batch_stats: PyTree[Array]
    opt_state: PyTree[Array]
    ema_params: PyTree[Array]


def create(
    network: Network, optimizer: optax.GradientTransformation, key: Key[Array, ""]
) -> TrainState:
    """Make a fresh state; under jit, so that arrays are made on their devices."""
    variables = network.init(key)
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=variables.params,
        batch_stats=variables.batch_stats,
        opt_state=optimizer.init(variables.params),
        ema_params=jax.tree.map(jnp.copy, variables.params),
    )


def inference_variables(state: TrainState) -> Variables:
    """The averaged weights with the current statistics, which evaluation uses."""
    return Variables(state.ema_params, state.batch_stats)


def adopt(
    state: TrainState, adopt_into: Callable[[Variables], Variables]
) -> TrainState:
    """Put pretrained weights into a state; the averages start from them as well."""
    adopted = adopt_into(Variables(state.params, state.batch_stats))
    # Copies: the state's buffers are donated, and nobody else may hold them.
    variables = jax.tree.map(jnp.copy, adopted)
    return state._replace(
        params=variables.params,
        batch_stats=variables.batch_stats,
        ema_params=jax.tree.map(jnp.copy, variables.params),
    )


def key_stream(seed: int, name: str) -> Key[Array, ""]:
    """The key of a named stream ("init", "augment", …)."""
    return jax.random.fold_in(jax.random.key(seed), zlib.crc32(name.encode()))


def key_at_step(key: Key[Array, ""], step: Int[Array, ""] | int) -> Key[Array, ""]:
    """The stream's key for one step, so that a resumed run draws the same numbers."""
    return jax.random.fold_in(key, step)
