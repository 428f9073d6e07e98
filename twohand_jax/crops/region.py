"""The square around both hands, which is the input of the segdepth network."""

import dataclasses

import cv2
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Shaped, UInt8

from twohand_jax import fields
from twohand_jax.crops.canvas import CanvasConfig, Window
from twohand_jax.geometry import affine, boxes


@dataclasses.dataclass(frozen=True, kw_only=True)
class RegionConfig:
    """How the region is cut out.

    Attributes:
        crop_size: side of the region in pixels.
        crop_scale: ratio of the region's side to the longer side of both hands' box.
        box_scale: ratio of the hand box to the tight box of the 2D joints, in training.
    """

    crop_size: int = 160
    crop_scale: float = 1.5
    box_scale: float = boxes.HAND_BOX_SCALE

    def __post_init__(self) -> None:
        fields.check(
            self,
            crop_size=fields.COUNT,
            crop_scale=fields.COUNT,
            box_scale=fields.POSITIVE,
        )

    def canvas(self) -> CanvasConfig:
        """The canvas that a region is cut from; it stands upright."""
        return CanvasConfig(crop_size=self.crop_size, crop_scale=self.crop_scale)


def region_square(
    hand_boxes: Float[Array, "*b 2 4"],
    valid: Bool[Array, "*b 2"],
    *,
    scale: Float[Array, "*b"] | float,
) -> Float[Array, "*b 4"]:
    """Square about the boxes of the hands that are there, pixels of the picture.

    Args:
        hand_boxes: unexpanded boxes, right then left.
        valid: hands that are there; with none the square means nothing.
        scale: side over the longer side of the box about both.
    """
    corners = hand_boxes.reshape(*hand_boxes.shape[:-2], 4, 2)
    known = jnp.repeat(valid, 2, axis=-1)
    union = boxes.square(boxes.from_points(corners, known))
    factor = jnp.asarray(scale)[..., None]
    return boxes.from_center(boxes.center(union), boxes.size(union) * factor)


def network_input(
    image: Float[Array, "*b s s 3"],
    hand_boxes: Float[Array, "*b 2 4"],
    valid: Bool[Array, "*b 2"],
) -> Float[Array, "*b s s 5"]:
    """The region's colours about zero, and where each hand is.

    Args:
        image: the region, RGB in [0, 1].
        hand_boxes: unexpanded boxes in pixels of the region.
        valid: hands whose box is known.
    """
    places = place_maps(hand_boxes, valid, size=image.shape[-2])
    return jnp.concatenate([4.0 * (image - 0.5), places], axis=-1)


def place_maps(
    hand_boxes: Float[Array, "*b 2 4"], valid: Bool[Array, "*b 2"], *, size: int
) -> Float[Array, "*b s s 2"]:
    """A bell over each hand's box, 1 in its middle, exp(-1/2) at its edges.

    A bell says which side is where without claiming to know a hand's outline, which
    detectors' boxes get wrong. An unknown box gives zeros.
    """
    axis = jnp.arange(size, dtype=hand_boxes.dtype)
    middle = boxes.center(hand_boxes)[..., None, :]
    half = jnp.maximum(boxes.size(hand_boxes) / 2, 1.0)[..., None, :]
    bell = jnp.exp(-0.5 * ((axis[:, None] - middle) / half) ** 2)
    bell = jnp.where(valid[..., None, None], bell, 0.0)
    across, down = bell[..., 0], bell[..., 1]
    return jnp.einsum("...hy,...hx->...yxh", down, across)


def region_map(
    hand_boxes: Float[Array, "*b 2 4"],
    valid: Bool[Array, "*b 2"],
    *,
    size: int,
    scale: Float[Array, "*b"] | float,
) -> Float[Array, "*b 2 3"]:
    """``T_region_image`` of a region, or of its maps, drawn at ``size`` pixels."""
    return affine.crop(region_square(hand_boxes, valid, scale=scale), size=size)


_square = jax.jit(region_square)


def place_window(
    boxes: Float[np.ndarray, "2 4"], valid: Bool[np.ndarray, "2"], *, scale: float
) -> Window:
    """The square of pixels about both hands.

    Args:
        boxes: unexpanded hand boxes, pixels.
        valid: which hands are there; one at least.
        scale: side over the longer side of the box about both.
    """
    box = np.asarray(_square(boxes.astype(np.float32), valid, scale=scale), np.float64)
    side = max(round(float(box[2] - box[0])), 1)
    x, y = np.rint((box[:2] + box[2:] - (side - 1)) / 2).astype(int)
    return Window(int(x), int(y), side)


def boxes_in_window(
    boxes: Float[np.ndarray, "2 4"], window: Window, *, size: int
) -> Float[np.ndarray, "2 4"]:
    """Boxes in pixels of the window drawn at ``size`` pixels."""
    corners = window.move(boxes.reshape(2, 2, 2), size)
    return corners.reshape(2, 4).astype(np.float32)


def cut_window(
    image: UInt8[np.ndarray, "h w 3"], window: Window, *, size: int
) -> UInt8[np.ndarray, "s s 3"]:
    """The window at ``size`` pixels, black outside the picture."""
    shrinks = window.side > size
    return window.cut(image, size, cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def enlarge_maps(
    maps: Float[np.ndarray, "i i c"], window: Window
) -> Float[np.ndarray, "s s c"]:
    """Maps of the window in the picture's pixels."""
    fine = cv2.resize(maps, (window.side, window.side))
    return fine.reshape(window.side, window.side, maps.shape[-1])


def paste_window(
    values: Shaped[np.ndarray, "s s"], window: Window, height: int, width: int
) -> Shaped[np.ndarray, "h w"]:
    """The picture with the window's values and zeros elsewhere."""
    out = np.zeros((height, width), values.dtype)
    there, here = window.shared(height, width)
    out[there] = values[here]
    return out
