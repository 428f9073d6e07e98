"""How hard a record is, from its labels alone: overlap and occlusion of the hands."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from twohand_jax import mano
from twohand_jax.geometry import boxes
from twohand_jax.types import LEFT, RIGHT, HandGeometry, ManoModel, Targets

HIGHEST = jax.lax.Precision.HIGHEST


def overlap(targets: Targets) -> Float[Array, "*b"]:
    """Intersection over union of the two hands' boxes; NaN where a hand is missing."""
    both = jnp.all(targets.hand_valid, axis=-1)
    shared = boxes.iou(targets.box[..., RIGHT, :], targets.box[..., LEFT, :])
    return jnp.where(both, shared, jnp.nan)


def occlusion(targets: Targets, model: ManoModel) -> Float[Array, "*b 2"]:
    """Share of each hand's 21 joints that the other hand hides from the camera.

    Of the fitted meshes: a joint is hidden when the line of sight to it passes through
    the other hand's surface first. A hand's own fingers do not count. NaN where either
    hand has no fit.
    """
    known = jnp.all(targets.hand_valid & targets.mano_valid, axis=-1)
    truth = mano.forward(model, targets.mano)
    hidden = jnp.stack(
        [hidden_by(truth, model.faces, side) for side in (RIGHT, LEFT)], axis=-2
    )
    share = jnp.mean(hidden.astype(jnp.float32), axis=-1)
    return jnp.where(known[..., None], share, jnp.nan)


def hidden_by(
    geometry: HandGeometry, faces: Int[Array, "2 f 3"], side: int
) -> Bool[Array, "*b 21"]:
    """Which joints of a hand lie behind the other hand's surface.

    The ray from the camera (the origin) to a joint d meets the triangle a, b, c at
    t·d, where t = a·(b×c) over the sum of the three edges' volumes d·(a×b), d·(b×c)
    and d·(c×a), if these have the same sign.
    """
    joints = geometry.joints[..., side, :, :]
    corners = geometry.vertices[..., 1 - side, :, :][..., faces[1 - side], :]
    a, b, c = (corners[..., corner, :] for corner in range(3))
    edges = jnp.stack([_cross(a, b), _cross(b, c), _cross(c, a)], axis=-3)
    volumes = jnp.einsum("...jk,...efk->...ejf", joints, edges, precision=HIGHEST)
    whole = jnp.sum(a * edges[..., 1, :, :], axis=-1)[..., None, :]
    meets = jnp.all(volumes > 0, axis=-3) | jnp.all(volumes < 0, axis=-3)
    total = jnp.sum(volumes, axis=-3)
    place = whole / jnp.where(meets, total, 1.0)
    return jnp.any(meets & (place > 0) & (place < 1), axis=-1)


def _cross(a: Float[Array, "*b 3"], b: Float[Array, "*b 3"]) -> Float[Array, "*b 3"]:
    x, y, z = (a[..., k] for k in range(3))
    u, v, w = (b[..., k] for k in range(3))
    return jnp.stack([y * w - z * v, z * u - x * w, x * v - y * u], axis=-1)
