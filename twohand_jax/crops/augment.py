"""Random changes of pictures and of their labels, on the device.

``prepare`` does the same without random changes, for evaluation. The picture is first
mirrored and rotated (``crops.motion``); no canvas pixel is touched, since the maps to
the crops include the motion. Crops are then cut from the new picture, and colours
change last.
"""

import dataclasses
from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from twohand_jax import fields
from twohand_jax.crops import cue_table, labels
from twohand_jax.crops import inputs as inputs_
from twohand_jax.crops.inputs import CropConfig
from twohand_jax.crops.motion import motion
from twohand_jax.geometry import affine, boxes
from twohand_jax.types import Batch, Cues, Inputs, ManoModel, Targets

__all__ = [
    "AugmentConfig",
    "CropConfig",
    "augment",
    "canvas_middle",
    "jitter_boxes",
    "prepare",
    "recolor",
]

LUMINANCE = (0.299, 0.587, 0.114)


@dataclasses.dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """Ranges of the random changes; the defaults are the recipe of METHOD §4.

    Attributes:
        scale: the crops' side is multiplied by ``1 + scale · clip(N, ±1)``.
        rotation_deg: the picture is rotated by ``rotation_deg · clip(N, ±2)`` degrees.
        rotation_probability: share of samples that are rotated.
        color: range of the factor of each colour channel.
        flip_probability: share of mirrored samples.
        grey_probability: share of samples without colour.
        noise: standard deviation of Gaussian noise on pixels in [0, 1].
        box_jitter: largest shift and growth of a hand box, relative to its side.
        angle_jitter: largest error of a rotated crop's angle, radians.
        keypoint_jitter: standard deviation of the keypoint cue's error, relative to
            the longer side of the hand box.
        cue_dropout: share of samples without a cue, by its name; 0 for others.
    """

    scale: float = 0.25
    rotation_deg: float = 30.0
    rotation_probability: float = 0.6
    color: tuple[float, float] = (0.8, 1.2)
    flip_probability: float = 0.5
    grey_probability: float = 0.0
    noise: float = 0.0
    box_jitter: float = 0.0
    angle_jitter: float = 0.0
    keypoint_jitter: float = 0.0
    cue_dropout: Mapping[str, float] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        cue_table.check_field(self, "cue_dropout")
        fields.check(
            self,
            scale=fields.SHARE_BELOW_ONE,
            rotation_deg=fields.NOT_NEGATIVE,
            rotation_probability=fields.PROBABILITY,
            color=fields.NOT_NEGATIVE,
            flip_probability=fields.PROBABILITY,
            grey_probability=fields.PROBABILITY,
            noise=fields.NOT_NEGATIVE,
            box_jitter=fields.SHARE_BELOW_ONE,
            angle_jitter=fields.NOT_NEGATIVE,
            keypoint_jitter=fields.NOT_NEGATIVE,
            cue_dropout=fields.PROBABILITY,
        )
        low, high = self.color
        if low > high:
            raise fields.error(
                self, "color", f"is {self.color}; give the lower end first."
            )


class _Draw(NamedTuple):
    """Everything random about the geometry of a batch."""

    scale: Float[Array, "*b"]
    angle: Float[Array, "*b"]
    mirror: Bool[Array, "*b"]
    box_shift: Float[Array, "*b 2 2"]
    box_growth: Float[Array, "*b 2 1"]
    box_turn: Float[Array, "*b 2"]
    keypoint_shift: Float[Array, "*b 2 21 2"]


def prepare(batch: Batch, *, crop: CropConfig) -> tuple[Inputs, Targets]:
    """Inputs and labels of a batch, unchanged."""
    angle = inputs_.hand_angles(batch.targets, batch.cues, crop=crop)
    inputs = inputs_.make_inputs(
        batch.canvas,
        batch.T_canvas_image,
        batch.cues,
        inputs_.hand_boxes(batch.targets, crop=crop, angle=angle),
        batch.targets.hand_valid,
        crop=crop,
        angle=angle,
    )
    return inputs, labels.to_network(batch.targets, inputs, crop=crop)


def augment(
    key: Key[Array, ""],
    batch: Batch,
    model: ManoModel,
    *,
    crop: CropConfig,
    augment: AugmentConfig,
) -> tuple[Inputs, Targets]:
    """Inputs and labels of a batch with random changes.

    Args:
        key: random key, used up by this call.
        batch: a batch whose canvases have room for the largest rotated and grown crop.
        model: hand model; a rotated hand's ``transl`` depends on its rest wrist.
        crop: how hands are cut out.
        augment: ranges of the random changes.

    Returns:
        As from ``prepare``, for the mirrored and rotated picture.
    """
    geometry_key, color_key, drop_key = jax.random.split(key, 3)
    draw = _draw(geometry_key, batch.weight.shape, augment)
    move = motion(draw.mirror, draw.angle, canvas_middle(batch))
    targets = labels.move_targets(batch.targets, move, model)
    cues = cue_table.move(batch.cues, move)
    angle = inputs_.hand_angles(targets, cues, crop=crop)
    if angle is not None:
        angle = angle + draw.box_turn
    box = jitter_boxes(
        inputs_.hand_boxes(targets, crop=crop, angle=angle),
        shift=draw.box_shift,
        growth=1.0 + draw.box_growth,
    )
    inputs = inputs_.make_inputs(
        batch.canvas,
        affine.compose(batch.T_canvas_image, affine.invert(move.T_moved_image)),
        _jitter_keypoints(cues, box, draw),
        box,
        targets.hand_valid,
        crop=crop,
        scale=draw.scale,
        angle=angle,
    )
    inputs = inputs._replace(
        image=recolor(
            color_key,
            inputs.image,
            color=augment.color,
            grey_probability=augment.grey_probability,
            noise=augment.noise,
        ),
        present=_dropped(drop_key, inputs.present, augment),
    )
    return inputs, labels.to_network(targets, inputs, crop=crop)


def _draw(key: Array, shape: tuple[int, ...], config: AugmentConfig) -> _Draw:
    keys = jax.random.split(key, 7)
    turned = jax.random.bernoulli(keys[1], config.rotation_probability, shape)
    normal = jnp.clip(jax.random.normal(keys[2], shape), -2.0, 2.0)
    angle = jnp.deg2rad(config.rotation_deg) * normal
    grown = jnp.clip(jax.random.normal(keys[0], shape), -1.0, 1.0)
    jitter = config.box_jitter
    turn_key = jax.random.fold_in(key, 1)  # the others' draws stay what they were
    return _Draw(
        scale=1.0 + config.scale * grown,
        angle=jnp.where(turned, angle, 0.0),
        mirror=jax.random.bernoulli(keys[3], config.flip_probability, shape),
        box_shift=jitter * jax.random.uniform(keys[4], (*shape, 2, 2), minval=-1),
        box_growth=jitter * jax.random.uniform(keys[5], (*shape, 2, 1), minval=-1),
        box_turn=config.angle_jitter
        * jax.random.uniform(turn_key, (*shape, 2), minval=-1),
        keypoint_shift=config.keypoint_jitter
        * jax.random.normal(keys[6], (*shape, 2, 21, 2)),
    )


def canvas_middle(batch: Batch) -> Float[Array, "*b 2"]:
    """Middle of the canvas in picture pixels: a motion about it stays on the canvas."""
    middle = jnp.full((*batch.weight.shape, 1, 2), (batch.canvas.shape[-2] - 1) / 2)
    return affine.apply(affine.invert(batch.T_canvas_image), middle)[..., 0, :]


def jitter_boxes(
    box: Float[Array, "*b 2 4"],
    *,
    shift: Float[Array, "*b 2 2"],
    growth: Float[Array, "*b 2 #2"],
) -> Float[Array, "*b 2 4"]:
    """Boxes as a detector disturbs them.

    Args:
        box: hand boxes, pixels.
        shift: of the centre, of the box's longer side.
        growth: factor of the sides.
    """
    extent = boxes.size(box)
    side = jnp.max(extent, axis=-1, keepdims=True)
    return boxes.from_center(boxes.center(box) + side * shift, extent * growth)


def _jitter_keypoints(cues: Cues, box: Float[Array, "*b 2 4"], draw: _Draw) -> Cues:
    side = jnp.max(boxes.size(box), axis=-1)[..., None, None]
    shift = jnp.pad(side * draw.keypoint_shift, [(0, 0)] * (box.ndim) + [(0, 1)])
    points = cues.values.get("keypoints")
    if points is None:
        return cues
    return cues.put("keypoints", points + shift, cues.present["keypoints"])


def _dropped(
    key: Array, present: dict[str, Bool[Array, "*b"]], config: AugmentConfig
) -> dict[str, Bool[Array, "*b"]]:
    """Flags only: the maps stay, so that their encoders see ordinary pictures."""
    names = cue_table.in_order(present)
    if not names:
        return present
    flags = jnp.stack([present[name] for name in names], axis=-1)
    share = jnp.array([config.cue_dropout.get(name, 0.0) for name in names])
    kept = flags & (jax.random.uniform(key, flags.shape) >= share)
    return {name: kept[..., k] for k, name in enumerate(names)}


def recolor(
    key: Key[Array, ""],
    image: Float[Array, "*b n s s 3"],
    *,
    color: tuple[float, float],
    grey_probability: float,
    noise: float,
    contrast: float = 0.0,
    noise_varies: bool = False,
) -> Float[Array, "*b n s s 3"]:
    """Other colours, one draw a sample, shared by its n pictures; noise for each pixel.

    Grey and factors are one matrix of the channels, so that every pixel is read once.

    Args:
        key: used up by this call.
        image: RGB in [0, 1].
        color: range of the factor of each colour channel.
        grey_probability: share of samples without colour.
        noise: standard deviation of Gaussian pixel noise, of [0, 1].
        contrast: largest relative change of the distance from each picture's mean.
        noise_varies: ``noise`` is the largest deviation, drawn from 0 up to it.
    """
    factor_key, grey_key, noise_key = jax.random.split(key, 3)
    contrast_key, deviation_key = jax.random.split(jax.random.fold_in(key, 1))
    shape = image.shape[:-4]
    low, high = color
    factor = jax.random.uniform(factor_key, (*shape, 3, 1), minval=low, maxval=high)
    grey = jax.random.bernoulli(grey_key, grey_probability, shape)
    luminance = jnp.broadcast_to(jnp.array(LUMINANCE), (3, 3))
    mix = factor * jnp.where(grey[..., None, None], luminance, jnp.eye(3))
    mix = mix[..., None, None, None, :, :]
    red, green, blue = (image[..., k, None] * mix[..., k] for k in range(3))
    image = red + green + blue
    each = (*shape, 1, 1, 1, 1)
    if contrast > 0:
        wider = 1.0 + contrast * jax.random.uniform(contrast_key, each, minval=-1)
        mean = jnp.mean(image, axis=(-3, -2), keepdims=True)
        image = mean + wider * (image - mean)
    if noise > 0:
        share = jax.random.uniform(deviation_key, each) if noise_varies else 1.0
        image = image + noise * share * jax.random.normal(noise_key, image.shape)
    return jnp.clip(image, 0.0, 1.0)
