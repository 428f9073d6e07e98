"""One training step: augment, forward, losses, gradient, update in one function."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Key

from twohand_jax import losses
from twohand_jax.data import augment as augmentation
from twohand_jax.models.apply import Network, Variables, Weights
from twohand_jax.train import rng
from twohand_jax.train.optim import update_average
from twohand_jax.train.state import TrainState
from twohand_jax.types import Batch, Inputs, ManoModel, Mean, Targets

Metrics = dict[str, Float[Array, ""]]
Step = Callable[
    [TrainState, Batch, ManoModel, Key[Array, ""]], tuple[TrainState, Metrics]
]


@dataclasses.dataclass(frozen=True, kw_only=True)
class StepConfig:
    """Settings of a step beside the network's and the optimiser's."""

    crop: augmentation.CropConfig
    augment: augmentation.AugmentConfig
    weights: losses.LossWeights
    ema_decay: float


def make(
    network: Network, optimizer: optax.GradientTransformation, config: StepConfig
) -> Step:
    """The step as a pure function, to be jitted with the run's shardings."""

    def loss(
        params: Weights,
        batch_stats: Weights,
        inputs: Inputs,
        targets: Targets,
        weight: Float[Array, "b"],
        model: ManoModel,
    ) -> tuple[Float[Array, ""], tuple[dict[str, Mean], Weights]]:
        output, updated = network.apply(
            Variables(params, batch_stats), inputs, train=True
        )
        total, terms = losses.compute(
            output,
            model,
            inputs,
            targets,
            weight,
            weights=config.weights,
            crop=config.crop,
        )
        return total, (terms, updated.batch_stats)

    def step(
        state: TrainState, batch: Batch, model: ManoModel, key: Key[Array, ""]
    ) -> tuple[TrainState, Metrics]:
        inputs, targets = augmentation.augment(
            rng.at_step(key, state.step),
            batch,
            model,
            crop=config.crop,
            augment=config.augment,
        )
        (total, (terms, batch_stats)), gradient = jax.value_and_grad(
            loss, has_aux=True
        )(state.params, state.batch_stats, inputs, targets, batch.weight, model)
        updates, opt_state = optimizer.update(gradient, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        metrics = {
            "loss/total": total,
            "gradient_norm": optax.tree.norm(gradient),
        }
        for name, mean in terms.items():
            metrics[f"loss/{name}"] = mean.total / jnp.maximum(mean.count, 1.0)
        average = update_average(
            state.ema_params, params, state.step, decay=config.ema_decay
        )
        return (
            TrainState(state.step + 1, params, batch_stats, opt_state, average),
            metrics,
        )

    return step
