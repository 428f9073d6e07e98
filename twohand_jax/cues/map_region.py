"""What the map network looks at: one square about both hands, and the hands' places.

Training and photographs come through here, so that a region means the same in both.
"""

import dataclasses

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from twohand_jax.errors import InputError
from twohand_jax.geometry import affine, boxes


@dataclasses.dataclass(frozen=True, kw_only=True)
class RegionConfig:
    """How the region is cut out.

    Attributes:
        crop_size: side of the region in pixels.
        crop_scale: side of the region over the longer side of the box about both hands.
        box_scale: hand box over the tight box of the 2D joints, in training.
    """

    crop_size: int = 160
    crop_scale: float = 1.5
    box_scale: float = 1.2

    def __post_init__(self) -> None:
        if self.crop_size < 1 or self.crop_scale < 1.0:
            raise InputError(
                f"A region of {self.crop_size} pixels and {self.crop_scale} times the "
                "hands' box cannot be cut: crop_size and crop_scale must be at least 1."
            )


def square(
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
    return affine.crop(square(hand_boxes, valid, scale=scale), size=size)
