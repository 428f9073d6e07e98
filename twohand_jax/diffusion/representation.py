"""Two hands as 64 numbers each, one placed relative to the other (METHOD §5).

The *reference* hand is expressed as a left hand with identity rotation and its
middle-finger base at the origin: the *prior frame*. When the reference is the right
hand, the pair is seen in a mirror first. The *other* hand is then always a right hand,
placed by its rotation and its middle-finger base in the prior frame.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from twohand_jax import mano
from twohand_jax.diffusion.layout import (
    OTHER,
    POSE,
    REFERENCE,
    RELATIVE,
    ROTATION,
    SHAPE,
    SIZE,
    TRANSLATION,
)
from twohand_jax.diffusion.statistics import (
    Statistics,
    check_statistics,
    compute_statistics,
    denormalise,
    load_released_statistics,
    normalise,
)
from twohand_jax.geometry import rotations
from twohand_jax.types import LEFT, RIGHT, ManoModel, ManoParams

__all__ = [
    "OTHER",
    "POSE",
    "REFERENCE",
    "RELATIVE",
    "ROTATION",
    "SHAPE",
    "SIZE",
    "TRANSLATION",
    "Frame",
    "Statistics",
    "check_statistics",
    "compute_statistics",
    "denormalise",
    "frame",
    "load_released_statistics",
    "middle_base",
    "normalise",
    "other_hand",
    "pack",
    "to_camera",
    "to_prior",
    "unpack",
    "unpack_at_origin",
]

HIGHEST = jax.lax.Precision.HIGHEST
MIDDLE_BASE = 4  # in the model's order of its 16 joints; a child of the wrist


class Frame(NamedTuple):
    """Where the prior frame lies in the camera, after mirroring if there is any.

    A point of the camera is ``M (rotation p + origin)`` with ``M`` the mirror that
    negates x when the reference is the right hand, else the identity.
    """

    rotation: Float[Array, "*b 3 3"]
    origin: Float[Array, "*b 3"]


def pack(
    model: ManoModel, params: ManoParams, reference: Int[Array, "*b"]
) -> Float[Array, "*b 2 64"]:
    """Both hands as vectors, the reference first; ``unpack`` is the exact inverse.

    Args:
        model: two-hand model.
        params: metres, radians; any leading batch.
        reference: RIGHT or LEFT, for each sample.

    Returns:
        Per hand 45 PCA coefficients of the pose, 10 shape, 6D rotation (two rows),
        position of the middle-finger base in metres; not normalised.
    """
    canonical = _reference_left(params, reference)
    placed = frame(model, params, reference)
    orient = rotations.axis_angle_to_matrix(canonical.global_orient)
    base = canonical.transl + middle_base(model, canonical.betas, orient)
    R = jnp.einsum("...ji,...hjk->...hik", placed.rotation, orient, precision=HIGHEST)
    t = _rotate_back(placed.rotation, base - placed.origin[..., None, :])
    still = (jnp.arange(2) == LEFT)[:, None]
    R = jnp.where(still[..., None], jnp.eye(3, dtype=R.dtype), R)
    t = jnp.where(still, 0.0, t)
    pose = mano.params.to_pca(model, canonical.hand_pose)
    six = rotations.matrix_to_rotation_6d(R)
    vectors = jnp.concatenate([pose, canonical.betas, six, t], axis=-1)
    return vectors[..., ::-1, :]  # sides (right, left) are (other, reference)


def frame(model: ManoModel, params: ManoParams, reference: Int[Array, "*b"]) -> Frame:
    """The prior frame of each sample: what places the reference hand in the camera."""
    canonical = _reference_left(params, reference)
    orient = rotations.axis_angle_to_matrix(canonical.global_orient)
    base = canonical.transl + middle_base(model, canonical.betas, orient)
    return Frame(rotation=orient[..., LEFT, :, :], origin=base[..., LEFT, :])


def unpack(
    model: ManoModel,
    vectors: Float[Array, "*b 2 64"],
    reference: Int[Array, "*b"],
    frame: Frame,
) -> ManoParams:
    """The hands in the camera that ``pack`` made these vectors of.

    Args:
        model: two-hand model.
        vectors: reference and other hand, not normalised.
        reference: RIGHT or LEFT, for each sample: which side the first vector is.
        frame: where the reference hand lies.
    """
    sides = vectors[..., ::-1, :]
    relative = rotations.rotation_6d_to_matrix(sides[..., ROTATION])
    R = jnp.einsum("...ij,...hjk->...hik", frame.rotation, relative, precision=HIGHEST)
    moved = jnp.einsum(
        "...ij,...hj->...hi", frame.rotation, sides[..., TRANSLATION], precision=HIGHEST
    )
    base = moved + frame.origin[..., None, :]
    betas = sides[..., SHAPE]
    canonical = ManoParams(
        global_orient=rotations.matrix_to_axis_angle(R),
        hand_pose=mano.params.from_pca(model, sides[..., POSE]),
        betas=betas,
        transl=base - middle_base(model, betas, R),
    )
    return _reference_left(canonical, reference)


def unpack_at_origin(model: ManoModel, vectors: Float[Array, "*b 2 64"]) -> ManoParams:
    """The hands in the prior frame itself, the reference as the left hand."""
    batch = vectors.shape[:-2]
    identity = jnp.broadcast_to(jnp.eye(3, dtype=vectors.dtype), (*batch, 3, 3))
    origin = jnp.zeros((*batch, 3), vectors.dtype)
    reference = jnp.full(batch, LEFT)
    return unpack(model, vectors, reference, Frame(rotation=identity, origin=origin))


def other_hand(
    model: ManoModel, vectors: Float[Array, "*b 64"]
) -> tuple[Float[Array, "*b 778 3"], Float[Array, "*b 21 3"]]:
    """Surface and joints of the other hand, a right hand, in the prior frame (m)."""
    R = rotations.rotation_6d_to_matrix(vectors[..., ROTATION])
    betas = vectors[..., SHAPE]
    flat = jnp.matmul(
        vectors[..., POSE], model.pose_components[RIGHT], precision=HIGHEST
    )
    relative = flat.reshape(*flat.shape[:-1], 15, 3)
    pose = rotations.axis_angle_to_matrix(relative + model.pose_mean[RIGHT])
    both = jnp.stack([betas, betas], axis=-2), jnp.stack([R, R], axis=-3)
    transl = vectors[..., TRANSLATION] - middle_base(model, *both)[..., RIGHT, :]
    return mano.forward_side(model, RIGHT, R, pose, betas, transl)


def to_prior(
    points: Float[Array, "*b n 3"], reference: Int[Array, "*b"], frame: Frame
) -> Float[Array, "*b n 3"]:
    """Points of the camera in the prior frame."""
    seen = _mirrored(points, reference)
    return _rotate_back(frame.rotation, seen - frame.origin[..., None, :])


def to_camera(
    points: Float[Array, "*b n 3"], reference: Int[Array, "*b"], frame: Frame
) -> Float[Array, "*b n 3"]:
    """Points of the prior frame in the camera."""
    turned = jnp.einsum("...ij,...nj->...ni", frame.rotation, points, precision=HIGHEST)
    return _mirrored(turned + frame.origin[..., None, :], reference)


def middle_base(
    model: ManoModel, betas: Float[Array, "*b 2 10"], orient: Float[Array, "*b 2 3 3"]
) -> Float[Array, "*b 2 3"]:
    """Middle-finger base of untranslated hands, metres; finger poses do not move it."""
    moved = jnp.einsum(
        "hjkc,...hc->...hjk", model.joint_shapedirs, betas, precision=HIGHEST
    )
    rest = model.joint_template + moved
    wrist = rest[..., mano.joints.WRIST, :]
    bone = rest[..., MIDDLE_BASE, :] - wrist
    return wrist + jnp.einsum("...ij,...j->...i", orient, bone, precision=HIGHEST)


def _reference_left(params: ManoParams, reference: Int[Array, "*b"]) -> ManoParams:
    """Samples whose reference is the right hand seen in a mirror; an involution."""
    flipped = jnp.asarray(reference) == RIGHT

    def choose(seen: Array, plain: Array) -> Array:
        extra = plain.ndim - flipped.ndim
        return jnp.where(flipped.reshape(flipped.shape + (1,) * extra), seen, plain)

    return jax.tree.map(choose, mano.mirror(params), params)


def _mirrored(
    points: Float[Array, "*b n 3"], reference: Int[Array, "*b"]
) -> Float[Array, "*b n 3"]:
    flipped = (jnp.asarray(reference) == RIGHT)[..., None]
    x = jnp.where(flipped, -points[..., 0], points[..., 0])
    return jnp.concatenate([x[..., None], points[..., 1:]], axis=-1)


def _rotate_back(
    R: Float[Array, "*b 3 3"], points: Float[Array, "*b n 3"]
) -> Float[Array, "*b n 3"]:
    return jnp.einsum("...ji,...nj->...ni", R, points, precision=HIGHEST)
