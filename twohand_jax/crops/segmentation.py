"""The segmentation cue: which pixels are the right and the left hand's (METHOD §3)."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Integer

from twohand_jax.crops.cue_kinds import CueKind, MapStorage, Sheet
from twohand_jax.crops.motion import Motion
from twohand_jax.types import LEFT, RIGHT

OTHER_HAND = 0.5


def segmentation_image(
    labels: Integer[Array, "*b h w"] | Float[Array, "*b h w"],
    hand: Integer[Array, "*b"] | int,
    overlap: Bool[Array, "*b"],
) -> Float[Array, "*b h w 3"]:
    """Label map as the picture of one hand's crop, three equal channels.

    Args:
        labels: 0 background, 1 right, 2 left.
        hand: the crop's hand, 0 right or 1 left. It is drawn as 1, the other as 0.5.
        overlap: whether the hands' boxes intersect; then both are drawn as 1.
    """
    own_label = jnp.asarray(hand)[..., None, None] + 1
    other = jnp.where(overlap, 1.0, OTHER_HAND)[..., None, None]
    value = jnp.where(labels == own_label, 1.0, jnp.where(labels > 0, other, 0.0))
    return jnp.repeat(value[..., None], 3, axis=-1)


def _move(labels: Array, move: Motion) -> Array:
    swapped = jnp.where(labels > 0, 3 - labels, 0).astype(labels.dtype)
    return jnp.where(move.mirror[..., None, None], swapped, labels)


def _draw(sheet: Sheet) -> Float[Array, "*b 2 s s 3"]:
    gated = sheet.overlap[..., None] & ("segmentation" in sheet.gated)
    hands = jnp.array([RIGHT, LEFT])
    return segmentation_image(sheet.cut["segmentation"], hands, gated)


SEGMENTATION = CueKind(
    name="segmentation",
    doc="0 background, 1 right hand, 2 left hand",
    storage=MapStorage(levels=np.uint8, values=np.uint8),
    move=_move,
    draw=_draw,
    gate=True,
)
