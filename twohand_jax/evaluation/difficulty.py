"""How hard a record is, from its labels alone: overlap and occlusion of the hands."""

import jax.numpy as jnp
from jaxtyping import Bool, Float, Int

from twohand_jax import mano
from twohand_jax.geometry import boxes
from twohand_jax.types import LEFT, RIGHT, Array, HandGeometry, ManoModel, Targets

Planes = tuple[Array, Array, Array]


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
    rays = _coordinates(geometry.joints[..., side, :, None, :])
    mesh = geometry.vertices[..., 1 - side, :, :]
    a, b, c = (
        _coordinates(mesh[..., None, faces[1 - side, :, corner], :])
        for corner in range(3)
    )
    edges = _cross(a, b), _cross(b, c), _cross(c, a)
    first, second, third = (_dot(rays, edge) for edge in edges)
    meets = (first > 0) & (second > 0) & (third > 0)
    meets |= (first < 0) & (second < 0) & (third < 0)
    total = first + second + third
    place = _dot(a, edges[1]) / jnp.where(meets, total, 1.0)
    return jnp.any(meets & (place > 0) & (place < 1), axis=-1)


# A plane for each coordinate: the tests of all rays with all triangles are then one
# loop without tables between its steps.
def _coordinates(points: Float[Array, "*b 3"]) -> Planes:
    return points[..., 0], points[..., 1], points[..., 2]


def _cross(first: Planes, second: Planes) -> Planes:
    (x, y, z), (u, v, w) = first, second
    return y * w - z * v, z * u - x * w, x * v - y * u


def _dot(first: Planes, second: Planes) -> Array:
    return first[0] * second[0] + first[1] * second[1] + first[2] * second[2]
