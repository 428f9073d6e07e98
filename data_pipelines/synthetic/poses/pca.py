"""Pose mean and components of the open hand, from sampled poses.

    python -m twohand_jax.pipelines.synthetic.poses.pca

The model's own mean does not enter: absolute rotations are made from joint angles.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from twohand_jax import mano
from twohand_jax.geometry import rotations
from twohand_jax.mano.loading import OPEN_HAND
from twohand_jax.pipelines.open_hand import build
from twohand_jax.pipelines.synthetic.poses import angles, draw
from twohand_jax.types import ManoModel


def absolute_poses(
    model: ManoModel, count: int, *, seed: int = 0
) -> Float[np.ndarray, "n 45"]:
    """Random right-hand poses: blends of the library with noise, within the limits."""
    rng, config = np.random.default_rng(seed), draw.DrawConfig()
    values = draw.blends(rng, count, config=config)
    values += draw.noise(rng, count, config=config)
    wobble = draw.wobble(rng, count, config=config)
    bones = angles.skeleton(model)
    pose = jax.jit(_pose)(bones, jnp.asarray(values), jnp.asarray(wobble))
    return np.asarray(pose, np.float64).reshape(count, 45)


def _pose(
    bones: angles.HandAxes,
    values: Float[jax.Array, "n 21"],
    wobble: Float[jax.Array, "n 15 3"],
) -> Float[jax.Array, "n 15 3"]:
    joints = angles.to_matrices(bones, angles.clamp_angles(values))
    return rotations.matrix_to_axis_angle(
        joints @ rotations.axis_angle_to_matrix(wobble)
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Sample poses and write their mean and components into the model file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--path", type=Path, default=OPEN_HAND)
    parser.add_argument("--count", type=int, default=24_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    poses = absolute_poses(mano.load(options.path), options.count, seed=options.seed)
    build.set_pose_space(options.path, poses)
    spread = np.linalg.svd(poses - poses.mean(0), compute_uv=False) ** 2
    share = np.cumsum(spread) / spread.sum()
    print(
        f"{options.path}: {len(poses)} poses; 6, 15 and 30 components hold "
        f"{share[5]:.1%}, {share[14]:.1%} and {share[29]:.1%} of the variance."
    )


if __name__ == "__main__":
    main()
