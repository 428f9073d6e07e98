"""The normals cue: which way the surface of the hands faces."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from twohand_jax.crops.cue_kinds import CueKind, MapStorage, Sheet, foreground
from twohand_jax.crops.motion import Motion
from twohand_jax.geometry import rotations, view

LEVELS = 127  # a component from -1 to 1 has twice as many steps


def _move(normals: Array, move: Motion) -> Array:
    """Vectors turn with the picture; mirroring negates x."""
    mirror = move.mirror[..., None, None, None]
    flipped = jnp.where(mirror, normals * jnp.array([-1.0, 1.0, 1.0]), normals)
    R = rotations.rotation_z(move.angle)
    return jnp.einsum("...ij,...hwj->...hwi", R, flipped)


def _turned(
    normals: Float[Array, "*b h w 3"], angle: Float[Array, "*b"]
) -> Float[Array, "*b h w 3"]:
    """Vectors turned about the optical axis, x towards y; exactly the same for 0."""
    cosine, sine = (f(angle)[..., None, None] for f in (jnp.cos, jnp.sin))
    x, y, z = (normals[..., k] for k in range(3))
    return jnp.stack([cosine * x - sine * y, sine * x + cosine * y, z], axis=-1)


def _draw(sheet: Sheet) -> Float[Array, "*b 2 s s 3"]:
    """Unit vectors as colours, in the network frame.

    They turn with the crop, and then the left hand's x is negated.
    """
    normals = _turned(sheet.cut["normals"], -view.roll(sheet.T_crop_image))
    length = jnp.linalg.norm(normals, axis=-1, keepdims=True)
    is_hand = foreground(sheet, length[..., 0])[..., None] & (length > 0)
    unit = normals / jnp.where(is_hand, length, 1.0)
    own = unit * jnp.array([[1.0, 1.0, 1.0], [-1.0, 1.0, 1.0]])[:, None, None, :]
    known = sheet.cues.has("normals")[..., None, None, None, None]
    return jnp.where(is_hand & known, (own + 1.0) / 2.0, 0.0)


NORMALS = CueKind(
    name="normals",
    doc="0 background, else a unit vector in the camera frame = (value - 128) / 127",
    storage=MapStorage(
        levels=np.uint8, channels=3, scale=1 / LEVELS, offset=-(LEVELS + 1) / LEVELS
    ),
    move=_move,
    draw=_draw,
    is_default=False,
)
