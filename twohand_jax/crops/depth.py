"""The depth cue: relative depth of the hands, 0 near to 1 far (METHOD §3)."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from twohand_jax.crops.cue_kinds import CueKind, MapStorage, Sheet, foreground
from twohand_jax.crops.motion import Motion

FARTHEST = 0.1  # value of the farthest hand pixel, so that it differs from no hand


def depth_image(
    depth: Float[Array, "*b h w"], mask: Bool[Array, "*b h w"]
) -> Float[Array, "*b h w 3"]:
    """Relative depth of the hands in a crop, three equal channels.

    Nearest 1, farthest 0.1, background 0: a far hand still differs from no hand.
    A crop in which the hands have one depth only gives 1 there.

    Args:
        depth: any affine measure of depth, smaller is nearer.
        mask: pixels of the hands.
    """
    near = jnp.min(jnp.where(mask, depth, jnp.inf), axis=(-2, -1), keepdims=True)
    far = jnp.max(jnp.where(mask, depth, -jnp.inf), axis=(-2, -1), keepdims=True)
    span = jnp.where(far > near, far - near, 1.0)
    share = (jnp.where(mask, depth, 0.0) - jnp.where(mask, near, 0.0)) / span
    value = jnp.where(mask, 1.0 - (1.0 - FARTHEST) * share, 0.0)
    return jnp.repeat(value[..., None], 3, axis=-1)


def _move(depth: Array, move: Motion) -> Array:
    del move
    return depth


def _draw(sheet: Sheet) -> Float[Array, "*b 2 s s 3"]:
    depth = sheet.cut["depth"]
    image = depth_image(depth, foreground(sheet, depth))
    known = sheet.cues.has("depth")[..., None, None, None, None]
    return jnp.where(known, image, 0.0)


DEPTH = CueKind(
    name="depth",
    doc="0 background, else relative depth = offset + scale * value, 0 near to 1 far",
    storage=MapStorage(levels=np.uint16),
    move=_move,
    draw=_draw,
)
