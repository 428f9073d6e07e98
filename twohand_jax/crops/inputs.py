"""From a canvas, hand boxes and cues to what the network sees.

Training, evaluation and inference all come through ``make_inputs``, so a crop means
the same thing everywhere (METHOD §§2-3).
"""

import dataclasses

import chex
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, UInt8

from twohand_jax.crops import drawing
from twohand_jax.geometry import affine, boxes
from twohand_jax.types import LEFT, RIGHT, Cues, Inputs, Targets


@dataclasses.dataclass(frozen=True, kw_only=True)
class CropConfig:
    """How hands are cut out and in which units the network speaks.

    Attributes:
        crop_size: side of a hand's crop in pixels.
        box_scale: hand box over the tight box of the 2D joints.
        crop_scale: side of the crop over the longer side of the hand box.
        cells: side of the heat map in cells (x, y and z).
        box_3d_m: depth that the heat map spans about the wrist.
        focal: virtual camera's focal length in pixels of a 256-pixel crop.
        gate_keypoints: overlapping hands show their wrists only.
        gate_segmentation: overlapping hands share one label.
        crop_view: the network speaks of a hand as its crop sees it, turned about the
            wrist by the angle between the crop's ray and the optical axis, which a
            crop can't show; otherwise of its orientation in the picture's camera.
    """

    crop_size: int = 256
    box_scale: float = 1.2
    crop_scale: float = 2.0
    cells: int = 8
    box_3d_m: float = 0.3
    focal: float = 5000.0
    gate_keypoints: bool = True
    gate_segmentation: bool = True
    crop_view: bool = False


def hand_boxes(targets: Targets, *, crop: CropConfig) -> Float[Array, "*b 2 4"]:
    """Unexpanded hand boxes: about the 2D joints, else those of the labels.

    The joints' box counts where more than half of the joints are labelled.
    """
    valid = targets.joints_2d_valid
    tight = boxes.from_points(targets.joints_2d, valid)
    enough = 2 * jnp.sum(valid, axis=-1) > valid.shape[-1]
    grown = boxes.scale(tight, crop.box_scale)
    return jnp.where(enough[..., None], grown, targets.box)


def make_inputs(
    canvas: UInt8[Array, "*b c c 3"],
    T_canvas_image: Float[Array, "*b 2 3"],
    cues: Cues,
    hand_boxes: Float[Array, "*b 2 4"],
    hand_valid: Bool[Array, "*b 2"],
    *,
    crop: CropConfig,
    scale: Float[Array, "*b"] | float = 1.0,
) -> Inputs:
    """Cut both hands' crops and draw their cues.

    Args:
        canvas: 8-bit RGB that covers both crops as far as the picture does.
        T_canvas_image: picture pixels to canvas pixels; may turn and mirror.
        cues: maps on the canvas, keypoints in picture pixels.
        hand_boxes: unexpanded boxes in picture pixels, right then left.
        hand_valid: hands that are there; an absent hand's crop shows the other's box.
        scale: extra factor on the side of the crops.
    """
    chex.assert_shape(
        [canvas, T_canvas_image, hand_boxes, hand_valid],
        [(..., None, None, 3), (..., 2, 3), (..., 2, 4), (..., 2)],
    )
    box = _filled(hand_boxes, hand_valid, T_canvas_image, canvas.shape[-2])
    T_crop_image = _crop_maps(box, scale, crop)
    T_canvas_crop = affine.compose(
        T_canvas_image[..., None, :, :], affine.invert(T_crop_image)
    )
    overlap = drawing.overlaps(hand_boxes, hand_valid)
    labels, depth = _cut_maps(cues, T_canvas_crop, crop.crop_size)
    return Inputs(
        image=_cut(canvas, T_canvas_crop, crop.crop_size) / 255.0,
        keypoints=_keypoint_images(cues, T_crop_image, overlap, crop),
        segmentation=_segmentation_images(labels, overlap, crop),
        depth=_depth_images(cues, labels, depth),
        present=jnp.stack(
            [cues.has_keypoints, cues.has_segmentation, cues.has_depth], axis=-1
        ),
        T_crop_image=T_crop_image,
        box=box,
        hand_valid=hand_valid,
        overlap=overlap,
    )


def _crop_maps(
    box: Float[Array, "*b 2 4"], scale: Float[Array, "*b"] | float, crop: CropConfig
) -> Float[Array, "*b 2 2 3"]:
    """Maps from the picture to both hands' crops; the left one is mirrored."""
    square = boxes.square(box)
    factor = jnp.asarray(crop.crop_scale * scale)[..., None, None]
    grown = boxes.from_center(boxes.center(square), boxes.size(square) * factor)
    return affine.crop(grown, size=crop.crop_size, mirror=jnp.array([False, True]))


def _filled(
    box: Float[Array, "*b 2 4"],
    valid: Bool[Array, "*b 2"],
    T_canvas_image: Float[Array, "*b 2 3"],
    canvas_size: int,
) -> Float[Array, "*b 2 4"]:
    """The boxes, with the other hand's box or the canvas for a hand not there."""
    end = canvas_size - 1.0
    corners = jnp.array([[0.0, 0.0], [end, 0.0], [0.0, end], [end, end]], box.dtype)
    seen = affine.apply(
        affine.invert(T_canvas_image),
        jnp.broadcast_to(corners, (*box.shape[:-2], 4, 2)),
    )
    canvas_box = boxes.from_points(seen)[..., None, :]
    usable = valid & (jnp.max(boxes.size(box), axis=-1) > 0)
    spare = jnp.where(jnp.flip(usable, -1)[..., None], jnp.flip(box, -2), canvas_box)
    return jnp.where(usable[..., None], box, spare)


def _cut(
    image: Array,
    T_image_crop: Float[Array, "*b 2 2 3"],
    size: int,
    *,
    nearest: bool = False,
) -> Float[Array, "*b 2 s s c"]:
    """Both hands' crops of one picture."""
    hands = [
        affine.warp(image, T_image_crop[..., hand, :, :], size=size, nearest=nearest)
        for hand in (RIGHT, LEFT)
    ]
    return jnp.stack(hands, axis=-4)


def _cut_maps(
    cues: Cues, T_canvas_crop: Float[Array, "*b 2 2 3"], size: int
) -> tuple[Float[Array, "*b 2 s s"], Float[Array, "*b 2 s s"]]:
    """Labels and depth of both crops, unmixed: nearest pixel of both maps at once."""
    maps = jnp.stack([cues.segmentation.astype(jnp.float32), cues.depth], axis=-1)
    cut = _cut(maps, T_canvas_crop, size, nearest=True)
    return cut[..., 0], cut[..., 1]


def _keypoint_images(
    cues: Cues,
    T_crop_image: Float[Array, "*b 2 2 3"],
    overlap: Bool[Array, "*b"],
    crop: CropConfig,
) -> Float[Array, "*b 2 s s 3"]:
    score = cues.keypoints[..., 2:] * cues.has_keypoints[..., None, None, None]

    def in_crop(points: Float[Array, "*b 2 21 3"]) -> Float[Array, "*b 2 21 2"]:
        return affine.apply(T_crop_image, points[..., :2])

    own = jnp.concatenate([in_crop(cues.keypoints), score], axis=-1)
    other = jnp.concatenate(
        [in_crop(jnp.flip(cues.keypoints, -3)), jnp.flip(score, -3)], axis=-1
    )
    gated = overlap[..., None] & crop.gate_keypoints
    gated = jnp.broadcast_to(gated, own.shape[:-2])
    return drawing.keypoint_image(own, other, gated, size=crop.crop_size)


def _segmentation_images(
    labels: Float[Array, "*b 2 s s"], overlap: Bool[Array, "*b"], crop: CropConfig
) -> Float[Array, "*b 2 s s 3"]:
    gated = overlap[..., None] & crop.gate_segmentation
    return drawing.segmentation_image(labels, jnp.array([RIGHT, LEFT]), gated)


def _depth_images(
    cues: Cues, labels: Float[Array, "*b 2 s s"], depth: Float[Array, "*b 2 s s"]
) -> Float[Array, "*b 2 s s 3"]:
    """Without a segmentation the depth map's own foreground is the mask."""

    def each(flag: Bool[Array, "*b"]) -> Bool[Array, "*b 1 1 1"]:
        return flag[..., None, None, None]

    mask = jnp.where(each(cues.has_segmentation), labels, depth)
    image = drawing.depth_image(depth, mask)
    return jnp.where(each(cues.has_depth)[..., None], image, 0.0)
