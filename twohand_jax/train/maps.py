"""What training the map network minimises: labels and relative depth of the hands."""

import dataclasses

import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Key

from twohand_jax.cues.map_region import RegionConfig, network_input
from twohand_jax.models.apply import Network, Variables, Weights
from twohand_jax.models.maps import Maps
from twohand_jax.train.map_samples import MapsAugmentConfig, Sample, augment
from twohand_jax.train.step import Loss
from twohand_jax.types import Batch, ManoModel, Mean

FLATTEST = 0.01  # of the foreground's depth range: below it depth differences are noise


@dataclasses.dataclass(frozen=True, kw_only=True)
class MapsLossConfig:
    """Settings of the loss: ``depth`` is the factor of the depth term."""

    depth: float = 0.3


def loss(
    network: Network,
    config: MapsLossConfig,
    *,
    region: RegionConfig,
    changes: MapsAugmentConfig,
) -> Loss:
    """Cross-entropy of the labels and absolute error of the standardised depth."""

    def compute(
        params: Weights,
        batch_stats: Weights,
        batch: Batch,
        model: ManoModel,
        key: Key[Array, ""],
    ) -> tuple[Float[Array, ""], tuple[dict[str, Mean], Weights]]:
        sample = augment(key, batch, model, config=changes, region=region)
        seen = network_input(sample.image, sample.boxes, sample.seen)
        maps, updated = network.apply(Variables(params, batch_stats), seen, train=True)
        terms = errors(maps, sample)
        total = _value(terms["labels"]) + config.depth * _value(terms["depth"])
        return total, (terms, updated.batch_stats)

    return compute


def errors(maps: Maps, sample: Sample) -> dict[str, Mean]:
    """The loss's terms.

    The network's depth is compared with the label's after bringing that to one mean and
    deviation over the picture's hands: a picture shows no absolute depth.
    """
    entropy = optax.softmax_cross_entropy_with_integer_labels(
        maps.logits, sample.labels
    )
    weight = sample.weight
    count = jnp.sum(sample.measured, axis=(-2, -1))
    off = jnp.abs(maps.depth - standardised(sample.depth, sample.measured))
    off = jnp.sum(jnp.where(sample.measured, off, 0.0), axis=(-2, -1))
    known = weight * (count > 0)
    return {
        "labels": Mean(
            jnp.sum(weight * jnp.mean(entropy, axis=(-2, -1))), jnp.sum(weight)
        ),
        "depth": Mean(jnp.sum(known * off / jnp.maximum(count, 1)), jnp.sum(known)),
    }


def standardised(
    depth: Float[Array, "*b h w"], mask: Bool[Array, "*b h w"]
) -> Float[Array, "*b h w"]:
    """Depth with mean 0 and mean absolute deviation 1 over the mask, 0 elsewhere.

    The absolute deviation, because labels that miss a hand's edge by a pixel bring in
    single depths far behind it.
    """
    count = jnp.maximum(jnp.sum(mask, axis=(-2, -1), keepdims=True), 1)
    mean = jnp.sum(jnp.where(mask, depth, 0.0), axis=(-2, -1), keepdims=True) / count
    off = jnp.where(mask, depth - mean, 0.0)
    deviation = jnp.sum(jnp.abs(off), axis=(-2, -1), keepdims=True) / count
    return off / jnp.maximum(deviation, FLATTEST)


def _value(mean: Mean) -> Float[Array, ""]:
    return mean.total / jnp.maximum(mean.count, 1.0)
