"""Writes the open hand's file, and its pose mean and components on their own."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float

from twohand_jax.errors import InputError


def save(path: str | Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write the arrays as a compressed npz without pickled objects."""
    np.savez_compressed(path, allow_pickle=False, **arrays)


def set_pose_space(path: str | Path, poses: Float[np.ndarray, "n 45"]) -> None:
    """Replace pose mean and components by those of a library of poses.

    As in MANO, `hands_components` holds orthonormal principal directions as rows, in
    the order of falling variance; coefficients are added to `hands_mean`.

    Args:
        path: the open hand's npz, rewritten in place.
        poses: absolute axis-angles (radians, zero = flat hand) of 15 joints in
            MANO's order, at least 46 poses.
    """
    poses = np.asarray(poses, float)
    if poses.ndim != 2 or poses.shape[1] != 45 or len(poses) < 46:
        raise InputError(
            f"The pose library has shape {poses.shape}; expected (n, 45) with n >= 46, "
            "axis-angles of the 15 finger joints."
        )
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    mean = poses.mean(0)
    _, _, rows = np.linalg.svd(poses - mean, full_matrices=False)
    arrays["hands_mean"] = mean.astype(np.float32)
    arrays["hands_components"] = rows.astype(np.float32)
    save(path, arrays)
