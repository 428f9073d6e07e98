"""What training the regressor minimises: augment, forward, losses (METHOD §4)."""

import dataclasses

import jax
from jaxtyping import Array, Float, Key

from twohand_jax import losses
from twohand_jax.crops import augment as augmentation
from twohand_jax.models.apply import Network, Variables, Weights
from twohand_jax.models.layers import BLOCK
from twohand_jax.train.step import Loss
from twohand_jax.types import Batch, ManoModel, Mean


@dataclasses.dataclass(frozen=True, kw_only=True)
class RegressorLossConfig:
    """Settings of the loss beside the network's.

    Attributes:
        crop: how hands are cut out.
        augment: random changes of the training pictures.
        weights: factor of each term.
        remat: keep only the blocks' outputs for the backward pass and compute the rest
            again; memory against time.
    """

    crop: augmentation.CropConfig
    augment: augmentation.AugmentConfig
    weights: losses.LossWeights
    remat: bool = False


def loss(network: Network, config: RegressorLossConfig) -> Loss:
    """The loss of one batch of records; its constant is the hand model."""

    def forward(params: Weights, batch_stats: Weights, inputs: losses.Inputs):
        output, updated = network.apply(
            Variables(params, batch_stats), inputs, train=True
        )
        return output, updated.batch_stats

    if config.remat:
        keep_blocks = jax.checkpoint_policies.save_only_these_names(BLOCK)
        forward = jax.checkpoint(forward, policy=keep_blocks)

    def compute(
        params: Weights,
        batch_stats: Weights,
        batch: Batch,
        model: ManoModel,
        key: Key[Array, ""],
    ) -> tuple[Float[Array, ""], tuple[dict[str, Mean], Weights]]:
        inputs, targets = augmentation.augment(
            key, batch, model, crop=config.crop, augment=config.augment
        )
        output, updated = forward(params, batch_stats, inputs)
        total, terms = losses.compute(
            output,
            model,
            inputs,
            targets,
            batch.weight,
            weights=config.weights,
            crop=config.crop,
        )
        return total, (terms, updated)

    return compute
