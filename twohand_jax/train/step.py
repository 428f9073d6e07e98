"""One training step of any task: loss, gradient, update, average."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int, Key

from twohand_jax.models.apply import Weights
from twohand_jax.train.optim import update_average
from twohand_jax.train.state import TrainState, key_at_step
from twohand_jax.types import Mean

Metrics = dict[str, Float[Array, ""]]
# (params, batch_stats, batch, constants, key) -> total, (terms, updated batch_stats)
Loss = Callable[
    [Weights, Weights, Any, Any, Key[Array, ""]],
    tuple[Float[Array, ""], tuple[dict[str, Mean], Weights]],
]
# (state, batch, constants, key of the run, number of the step) -> state, metrics
Step = Callable[
    [TrainState, Any, Any, Key[Array, ""], Int[Array, ""]], tuple[TrainState, Metrics]
]


def make(
    loss: Loss, optimizer: optax.GradientTransformation, *, ema_decay: float
) -> Step:
    """Make the step as a pure function, to be jitted with the run's shardings.

    A step whose loss or gradient is not finite leaves the state as it was. So do all
    later steps, whose number is not the state's next one. Therefore the state before
    the bad batch can still be saved.

    Args:
        loss: loss of one batch; its key is the run's, folded with the step.
        optimizer: gradient transformation.
        ema_decay: decay of the averaged weights.
    """

    def step(
        state: TrainState,
        batch: Any,
        constants: Any,
        key: Key[Array, ""],
        number: Int[Array, ""],
    ) -> tuple[TrainState, Metrics]:
        (total, (terms, batch_stats)), gradient = jax.value_and_grad(
            loss, has_aux=True
        )(
            state.params,
            state.batch_stats,
            batch,
            constants,
            key_at_step(key, state.step),
        )
        updates, opt_state = optimizer.update(gradient, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        average = update_average(state.ema_params, params, state.step, decay=ema_decay)
        after = TrainState(state.step + 1, params, batch_stats, opt_state, average)
        norm = optax.tree.norm(gradient)
        metrics = {"loss/total": total, "gradient_norm": norm}
        for name, mean in terms.items():
            metrics[f"loss/{name}"] = mean.value(empty=0.0)
        fine = jnp.isfinite(total) & jnp.isfinite(norm) & (number == after.step)
        return _choose(fine, after, state), metrics

    return step


def _choose(fine: Bool[Array, ""], after: TrainState, before: TrainState) -> TrainState:
    return jax.tree.map(lambda new, old: jnp.where(fine, new, old), after, before)
