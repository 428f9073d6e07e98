"""Each of two hands as 64 normalised numbers, relative to the other (METHOD §5)."""

from pathlib import Path
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from twohand_jax import mano, reading
from twohand_jax.errors import InputError
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
    "PairFrame",
    "Statistics",
    "check_statistics",
    "compute_statistics",
    "denormalise",
    "pair_frame",
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


class PairFrame(NamedTuple):
    """Where the prior frame lies in the camera, after mirroring if there is any.

    A point of the camera is ``M (rotation p + origin)`` with ``M`` the mirror that
    negates x when the reference is the right hand, else the identity.
    """

    rotation: Float[Array, "*b 3 3"]
    origin: Float[Array, "*b 3"]


def pack(
    model: ManoModel, params: ManoParams, reference: Int[Array, "*b"]
) -> Float[Array, "*b 2 64"]:
    """Turn both hands into vectors, the reference first; ``unpack`` is the inverse.

    Args:
        model: two-hand model.
        params: parameters of both hands, metres and radians.
        reference: RIGHT or LEFT, for each sample.

    Returns:
        For each hand 45 PCA coefficients of the pose, 10 of the shape, a 6D rotation
        (two rows) and the position of the middle-finger base in metres; not normalised.
    """
    mano.params.assert_shapes(params)
    canonical = _reference_left(params, reference)
    placed = pair_frame(model, params, reference)
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


def pair_frame(
    model: ManoModel, params: ManoParams, reference: Int[Array, "*b"]
) -> PairFrame:
    """The prior frame of each sample, which places the reference hand in the camera."""
    canonical = _reference_left(params, reference)
    orient = rotations.axis_angle_to_matrix(canonical.global_orient)
    base = canonical.transl + middle_base(model, canonical.betas, orient)
    return PairFrame(rotation=orient[..., LEFT, :, :], origin=base[..., LEFT, :])


def unpack(
    model: ManoModel,
    vectors: Float[Array, "*b 2 64"],
    reference: Int[Array, "*b"],
    frame: PairFrame,
) -> ManoParams:
    """Turn vectors of ``pack`` back into hands in the camera.

    Args:
        model: two-hand model.
        vectors: reference and other hand, not normalised.
        reference: side of the first vector, RIGHT or LEFT, for each sample.
        frame: place of the reference hand in the camera.
    """
    chex.assert_shape([vectors, *frame], [(..., 2, SIZE), (..., 3, 3), (..., 3)])
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
    """Turn vectors into hands in the prior frame, the reference as the left hand."""
    batch = vectors.shape[:-2]
    identity = jnp.broadcast_to(jnp.eye(3, dtype=vectors.dtype), (*batch, 3, 3))
    origin = jnp.zeros((*batch, 3), vectors.dtype)
    reference = jnp.full(batch, LEFT)
    return unpack(
        model, vectors, reference, PairFrame(rotation=identity, origin=origin)
    )


def other_hand(
    model: ManoModel, vectors: Float[Array, "*b 64"]
) -> tuple[Float[Array, "*b 778 3"], Float[Array, "*b 21 3"]]:
    """Surface and joints of the other hand, a right hand, in the prior frame (m)."""
    chex.assert_shape(vectors, (..., SIZE))
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
    points: Float[Array, "*b n 3"], reference: Int[Array, "*b"], frame: PairFrame
) -> Float[Array, "*b n 3"]:
    """Move points from the camera to the prior frame."""
    seen = _mirrored(points, reference)
    return _rotate_back(frame.rotation, seen - frame.origin[..., None, :])


def to_camera(
    points: Float[Array, "*b n 3"], reference: Int[Array, "*b"], frame: PairFrame
) -> Float[Array, "*b n 3"]:
    """Move points from the prior frame to the camera."""
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
    bone = rest[..., mano.joints.MANO16.MIDDLE_BASE, :] - wrist
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


SIZE = 64
POSE, SHAPE = slice(0, 45), slice(45, 55)
ROTATION, TRANSLATION = slice(55, 61), slice(61, 64)
RELATIVE = slice(55, 64)  # where the other hand is: rotation and translation
REFERENCE, OTHER = 0, 1


MARGIN = 1e-6  # added to every scale, as the released model does
KINDS = ("std", "variance")
RELEASED = {"mano_mean": 55, "mano_var": 55, "rel_mean": 9, "rel_var": 9}


class Statistics(NamedTuple):
    """Mean and scale that normalise the other hand: ``(vector - mean) / scale``."""

    mean: Float[Array, "64"]
    scale: Float[Array, "64"]


def compute_statistics(
    vectors: Float[Array, "n 2 64"] | Float[Array, "n 64"], kind: str = "std"
) -> Statistics:
    """Compute mean and scale of raw vectors.

    Args:
        vectors: at least two pairs from ``representation.pack``, whose poses and shapes
            are pooled over both hands; or the vectors of their other hands alone.
        kind: "std", or "variance" to divide by it as the released model does.

    Raises:
        InputError: too few vectors, another size, or an unknown kind.
    """
    if vectors.shape[1:] not in ((2, SIZE), (SIZE,)) or len(vectors) < 2:
        raise InputError(
            f"Statistics need vectors of shape (n, 2, {SIZE}) or (n, {SIZE}) with "
            f"n > 1, as representation.pack makes them, not {vectors.shape}."
        )
    if kind not in KINDS:
        raise InputError(
            f"Unknown kind of statistics {kind!r}; choose one of {', '.join(KINDS)}."
        )
    hands = vectors[..., : RELATIVE.start].reshape(-1, RELATIVE.start)
    other = vectors[:, OTHER] if vectors.ndim == 3 else vectors
    mean, std = (
        jnp.concatenate([of(hands, axis=0), of(other[:, RELATIVE], axis=0)])
        for of in (jnp.mean, jnp.std)
    )
    return Statistics(mean, (std if kind == "std" else std**2) + MARGIN)


def load_released_statistics(directory: str | Path) -> Statistics:
    """Load the four ``.npy`` files that InterHandGen releases (kind "variance").

    Raises:
        InputError: a file is missing, damaged or of another size.
    """
    found = {name: _released(Path(directory), name) for name in RELEASED}
    return Statistics(
        mean=jnp.concatenate([found["mano_mean"], found["rel_mean"]]),
        scale=jnp.concatenate([found["mano_var"], found["rel_var"]]) + MARGIN,
    )


def check_statistics(statistics: Statistics) -> None:
    """Refuse statistics of another representation.

    Raises:
        InputError: mean or scale do not have 64 numbers.
    """
    for name, value in statistics._asdict().items():
        if value.shape != (SIZE,):
            raise InputError(
                f"The statistics' {name} has shape {value.shape}; a hand is {SIZE} "
                "numbers here. Use the statistics that were saved with the prior."
            )


def normalise(
    vectors: Float[Array, "*b 2 64"] | Float[Array, "*b 64"],
    statistics: Statistics,
    *,
    hand: int | None = None,
) -> Float[Array, "*b 2 64"] | Float[Array, "*b 64"]:
    """Normalise vectors to the space in which the denoiser works.

    Args:
        vectors: pairs ``*b 2 64``; with ``hand``, vectors ``*b 64`` of that hand.
        statistics: mean and scale of the other hand.
        hand: None for pairs, or REFERENCE or OTHER.
    """
    mean, scale = _rows(vectors, statistics, hand)
    return (vectors - mean) / scale


def denormalise(
    vectors: Float[Array, "*b 2 64"] | Float[Array, "*b 64"],
    statistics: Statistics,
    *,
    hand: int | None = None,
) -> Float[Array, "*b 2 64"] | Float[Array, "*b 64"]:
    """The inverse of ``normalise``."""
    mean, scale = _rows(vectors, statistics, hand)
    return vectors * scale + mean


def _rows(vectors: Array, statistics: Statistics, hand: int | None) -> Statistics:
    """Statistics of the pair, or of one of its hands."""
    check_statistics(statistics)
    trailing = (2, SIZE) if hand is None else (SIZE,)
    if vectors.shape[-len(trailing) :] != trailing:
        raise InputError(
            f"Vectors of shape {vectors.shape} do not end in {trailing}; pass pairs, "
            "or name the hand of single vectors by hand=REFERENCE or hand=OTHER."
        )
    mean = statistics.mean.at[RELATIVE].set(0.0)
    scale = statistics.scale.at[RELATIVE].set(1.0)
    pair = Statistics(
        jnp.stack([mean, statistics.mean]), jnp.stack([scale, statistics.scale])
    )
    return pair if hand is None else Statistics(pair.mean[hand], pair.scale[hand])


def _released(directory: Path, name: str) -> Float[Array, "n"]:
    path, size = directory / f"{name}.npy", RELEASED[name]
    try:
        values = reading.read_npy(path, limit=reading.MIB)
    except InputError as error:
        raise InputError(
            f"{path} is not readable as statistics ({error}): the folder 'misc' of "
            "InterHandGen holds the four files."
        ) from error
    is_real = values.dtype.kind in "fiu"
    if values.shape != (size,) or not (is_real and np.isfinite(values).all()):
        raise InputError(
            f"{path} holds an array of shape {values.shape}; expected {size} finite "
            "numbers."
        )
    return jnp.asarray(values, jnp.float32)
