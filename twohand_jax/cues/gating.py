"""Cues of overlapping hands are reduced to what cannot mix them up (METHOD §3)."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Integer

from twohand_jax.geometry import boxes as box_ops

OTHER_HAND = 0.5


def overlaps(
    boxes: Float[Array, "*b 2 4"], present: Bool[Array, "*b 2"]
) -> Bool[Array, "*b"]:
    """Whether both hands are there and their unexpanded boxes intersect."""
    iou = box_ops.iou(boxes[..., 0, :], boxes[..., 1, :])
    return (iou > 0) & jnp.all(present, axis=-1)


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


def depth_image(
    depth: Float[Array, "*b h w"],
    labels: Integer[Array, "*b h w"] | Float[Array, "*b h w"],
) -> Float[Array, "*b h w 3"]:
    """Relative depth of the hands in a crop, three equal channels.

    Nearest 1, farthest 0.1, background 0: a far hand still differs from no hand.
    A crop in which the hands have one depth only gives 1 there.

    Args:
        depth: any affine measure of depth, smaller is nearer.
        labels: 0 background, 1 right, 2 left, or any mask of the hands.
    """
    mask = labels > 0
    near = jnp.min(jnp.where(mask, depth, jnp.inf), axis=(-2, -1), keepdims=True)
    far = jnp.max(jnp.where(mask, depth, -jnp.inf), axis=(-2, -1), keepdims=True)
    span = jnp.where(far > near, far - near, 1.0)
    share = (jnp.where(mask, depth, 0.0) - jnp.where(mask, near, 0.0)) / span
    value = jnp.where(mask, 1.0 - 0.9 * share, 0.0)
    return jnp.repeat(value[..., None], 3, axis=-1)
