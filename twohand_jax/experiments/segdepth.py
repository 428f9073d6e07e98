"""The segmentation and depth network's experiment: its samples and its loss."""

import dataclasses
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int, Key

from twohand_jax import fields, mano
from twohand_jax.crops import cue_table, inputs, labels
from twohand_jax.crops.augment import canvas_middle, jitter_boxes, recolor
from twohand_jax.crops.motion import motion
from twohand_jax.crops.region import RegionConfig, network_input, region_map
from twohand_jax.experiments import base, data
from twohand_jax.experiments.base import Experiment, Kind
from twohand_jax.experiments.data import DataConfig
from twohand_jax.geometry import affine
from twohand_jax.models import apply
from twohand_jax.models.apply import Network, Variables, Weights
from twohand_jax.models.segdepth import (
    STRIDE,
    SegDepth,
    SegDepthConfig,
    SegDepthNetwork,
)
from twohand_jax.train import dry_run
from twohand_jax.train.dry_run import Outline
from twohand_jax.train.step import Loss
from twohand_jax.train.task import Task
from twohand_jax.types import Batch, ManoModel, Mean


@dataclasses.dataclass(frozen=True, kw_only=True)
class SegDepthAugmentConfig:
    """What is drawn for every sample.

    Attributes:
        flip_probability: share of mirrored samples.
        rotation_deg: standard deviation of the picture's turn, cut at twice itself.
        scale: largest relative growth of the region.
        box_jitter: largest shift and relative growth of a hand box, of its side.
        box_dropout: share of two-hand samples in which one box is missing.
        color: largest relative change of contrast and of each channel.
        grey_probability: share of samples without colour.
        noise: largest standard deviation of Gaussian pixel noise, of [0, 1].
    """

    flip_probability: float = 0.5
    rotation_deg: float = 25.0
    scale: float = 0.2
    box_jitter: float = 0.1
    box_dropout: float = 0.1
    color: float = 0.3
    grey_probability: float = 0.1
    noise: float = 0.04

    def __post_init__(self) -> None:
        fields.check(
            self,
            flip_probability=fields.PROBABILITY,
            rotation_deg=fields.NOT_NEGATIVE,
            scale=fields.SHARE_BELOW_ONE,
            box_jitter=fields.SHARE_BELOW_ONE,
            box_dropout=fields.PROBABILITY,
            color=fields.PROBABILITY,
            grey_probability=fields.PROBABILITY,
            noise=fields.NOT_NEGATIVE,
        )


class SegDepthSample(NamedTuple):
    """Regions, and what their maps should be at the maps' resolution.

    ``image`` is RGB in [0, 1]; ``boxes`` are those of the ``seen`` hands in pixels of
    the region. ``depth`` counts where ``measured`` is true, 0 near to 1 far over the
    picture's foreground; ``weight`` is 0 for padding and where labels are missing.
    """

    image: Float[Array, "b s s 3"]
    boxes: Float[Array, "b 2 4"]
    seen: Bool[Array, "b 2"]
    labels: Int[Array, "b i i"]
    depth: Float[Array, "b i i"]
    measured: Bool[Array, "b i i"]
    weight: Float[Array, "b"]


class _Augmentation(NamedTuple):
    """Everything random about the geometry of a batch."""

    mirror: Bool[Array, "b"]
    angle: Float[Array, "b"]
    scale: Float[Array, "b"]
    shift: Float[Array, "b 2 2"]
    growth: Float[Array, "b 2 2"]
    kept: Bool[Array, "b 2"]


def prepare(batch: Batch, *, region: RegionConfig) -> SegDepthSample:
    """Regions and their maps of a batch as it is."""
    hand_boxes = _hand_boxes(batch, region)
    valid = batch.targets.hand_valid
    return _sample(batch, hand_boxes, valid, batch.T_canvas_image, 1.0, region)


def augment(
    key: Key[Array, ""],
    batch: Batch,
    model: ManoModel,
    *,
    config: SegDepthAugmentConfig,
    region: RegionConfig,
) -> SegDepthSample:
    """Regions and their maps of a batch changed at random.

    The picture is mirrored and turned, boxes are disturbed as a detector disturbs them,
    and colours change last.

    Args:
        key: used up by this call.
        batch: as the reader hands it over.
        model: hand model, which the labels' motion asks for.
        config: ranges of the random draws.
        region: how the region is cut out.
    """
    geometry_key, color_key = jax.random.split(key)
    draw = _draw(geometry_key, len(batch.weight), config)
    move = motion(draw.mirror, draw.angle, canvas_middle(batch))
    moved = batch._replace(
        targets=labels.move_targets(batch.targets, move, model),
        cues=cue_table.move(batch.cues, move),
    )
    T_canvas_moved = affine.compose(
        batch.T_canvas_image, affine.invert(move.T_moved_image)
    )
    box = jitter_boxes(_hand_boxes(moved, region), shift=draw.shift, growth=draw.growth)
    valid = moved.targets.hand_valid
    both = jnp.all(valid, axis=-1, keepdims=True)
    seen = valid & (draw.kept | ~both)
    sample = _sample(moved, box, seen, T_canvas_moved, draw.scale, region)
    image = recolor(
        color_key,
        sample.image[:, None],
        color=(1.0 - config.color, 1.0 + config.color),
        grey_probability=config.grey_probability,
        noise=config.noise,
        contrast=config.color,
        noise_varies=True,
    )
    return sample._replace(image=image[:, 0])


def _draw(
    key: Key[Array, ""], count: int, config: SegDepthAugmentConfig
) -> _Augmentation:
    keys = jax.random.split(key, 7)
    normal = jnp.clip(jax.random.normal(keys[1], (count,)), -2.0, 2.0)
    jitter = config.box_jitter
    missing = jax.random.bernoulli(keys[5], config.box_dropout, (count, 1))
    which = jax.random.bernoulli(keys[6], 0.5, (count, 1))
    chosen = jnp.concatenate([which, ~which], axis=-1)
    return _Augmentation(
        mirror=jax.random.bernoulli(keys[0], config.flip_probability, (count,)),
        angle=jnp.deg2rad(config.rotation_deg) * normal,
        scale=1.0 + config.scale * jax.random.uniform(keys[2], (count,), minval=-1),
        shift=jitter * jax.random.uniform(keys[3], (count, 2, 2), minval=-1),
        growth=1.0 + jitter * jax.random.uniform(keys[4], (count, 2, 2), minval=-1),
        kept=~(missing & chosen),
    )


def _hand_boxes(batch: Batch, region: RegionConfig) -> Float[Array, "b 2 4"]:
    crop = inputs.CropConfig(box_scale=region.box_scale)
    return inputs.hand_boxes(batch.targets, crop=crop)


def _sample(
    batch: Batch,
    hand_boxes: Float[Array, "b 2 4"],
    seen: Bool[Array, "b 2"],
    T_canvas_image: Float[Array, "b 2 3"],
    scale: Float[Array, "b"] | float,
    region: RegionConfig,
) -> SegDepthSample:
    """Cut the region and its maps; ``seen`` hands have a known box."""
    size, cues = region.crop_size, batch.cues
    factor = region.crop_scale * scale
    T_region_image = region_map(hand_boxes, seen, size=size, scale=factor)
    T_canvas_region = affine.compose(T_canvas_image, affine.invert(T_region_image))
    image = affine.warp(batch.canvas, T_canvas_region, size=size) / 255.0
    corners = hand_boxes.reshape(-1, 4, 2)
    placed = affine.apply(T_region_image, corners).reshape(hand_boxes.shape)
    T_maps_image = region_map(hand_boxes, seen, size=size // STRIDE, scale=factor)
    maps = [cues.values[name].astype(jnp.float32) for name in ("segmentation", "depth")]
    both = jnp.stack(maps, axis=-1)
    T_canvas_maps = affine.compose(T_canvas_image, affine.invert(T_maps_image))
    cut = affine.warp(both, T_canvas_maps, size=size // STRIDE, nearest=True)
    classes = cut[..., 0].astype(jnp.int32)
    usable = jnp.any(seen, axis=-1) & cues.has("segmentation")
    measured = (classes > 0) & (cut[..., 1] > 0) & cues.has("depth")[:, None, None]
    return SegDepthSample(
        image=image,
        boxes=placed,
        seen=seen,
        labels=classes,
        depth=cut[..., 1],
        measured=measured,
        weight=batch.weight * usable,
    )


FLATTEST = 0.01  # of the foreground's depth range: below it depth differences are noise


@dataclasses.dataclass(frozen=True, kw_only=True)
class SegDepthLossConfig:
    """Settings of the loss: ``depth`` is the factor of the depth term."""

    depth: float = 0.3

    def __post_init__(self) -> None:
        fields.check(self, depth=fields.NOT_NEGATIVE)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SegDepthExperiment(Experiment):
    """A whole experiment with the segmentation and depth network, checked and typed."""

    kind: ClassVar[str] = "segdepth"
    model: SegDepthConfig
    crop: RegionConfig
    augment: SegDepthAugmentConfig
    loss: SegDepthLossConfig
    data: DataConfig

    def __post_init__(self) -> None:
        if self.crop.crop_size % self.model.stride:
            raise fields.error(
                self,
                "crop.crop_size",
                f"is {self.crop.crop_size}; a network with {len(self.model.widths)} "
                f"stages needs a multiple of {self.model.stride} pixels.",
            )


def network(config: SegDepthConfig) -> Network:
    """The network of the segmentation and depth cues, as pure functions."""
    return apply.network(lambda rngs: SegDepthNetwork(config, rngs=rngs))


def loss(
    network: Network,
    config: SegDepthLossConfig,
    *,
    region: RegionConfig,
    changes: SegDepthAugmentConfig,
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
        total = terms["labels"].value(empty=0.0) + config.depth * terms["depth"].value(
            empty=0.0
        )
        return total, (terms, updated.batch_stats)

    return compute


def errors(maps: SegDepth, sample: SegDepthSample) -> dict[str, Mean]:
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


def outline(experiment: SegDepthExperiment) -> Outline:
    """The experiment in shapes only."""
    net, loop = network(experiment.model), experiment.train
    return Outline(
        network=net,
        loss=_loss(net, experiment),
        constants=mano.load(),
        batch=dry_run.abstract_records(
            loop.batch_size, canvas=experiment.data.canvas_size
        ),
        optim=experiment.optim,
        loop=loop,
        unit="img",
    )


def task(experiment: SegDepthExperiment) -> Task:
    """Training on record sets."""
    net = network(experiment.model)
    train = data.train_reader(experiment)
    return Task(
        network=net,
        loss=_loss(net, experiment),
        constants=mano.load(),
        batches=data.prefetched(train.batches),
        describe=train.describe,
        adopt=base.start_from(experiment.init.model),
        records=data.records(experiment.data),
    )


def _loss(net: Network, experiment: SegDepthExperiment) -> Loss:
    return loss(
        net, experiment.loss, region=experiment.crop, changes=experiment.augment
    )


KIND = Kind(config=SegDepthExperiment, network=network, outline=outline, task=task)
