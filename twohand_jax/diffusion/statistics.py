"""Means and scales that normalise the prior's 64 numbers (METHOD §5).

The first 55 numbers (pose and shape) serve both hands. The last nine place the other
hand; the reference's own placement is constant and stays as it is.
"""

from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from twohand_jax.diffusion.layout import OTHER, RELATIVE, SIZE
from twohand_jax.errors import InputError

MARGIN = 1e-6  # added to every scale, as the released model does
KINDS = ("std", "variance")
RELEASED = {"mano_mean": 55, "mano_var": 55, "rel_mean": 9, "rel_var": 9}


class Statistics(NamedTuple):
    """What normalises the other hand: ``(vector - mean) / scale``."""

    mean: Float[Array, "64"]
    scale: Float[Array, "64"]


def compute_statistics(
    vectors: Float[Array, "n 2 64"] | Float[Array, "n 64"], kind: str = "std"
) -> Statistics:
    """Mean and scale of raw vectors.

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
    """The four ``.npy`` files that InterHandGen releases (kind "variance").

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
    """Vectors in the space the denoiser works in.

    Args:
        vectors: pairs ``*b 2 64``; with ``hand``, vectors ``*b 64`` of that hand.
        statistics: of the other hand.
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
        values = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(
            f"{path} is not readable as statistics: {error}; the folder 'misc' of "
            "InterHandGen holds the four files."
        ) from error
    if values.shape != (size,) or not np.isfinite(values).all():
        raise InputError(
            f"{path} holds an array of shape {values.shape}; expected {size} finite "
            "numbers."
        )
    return jnp.asarray(values, jnp.float32)
