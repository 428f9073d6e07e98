"""Pose mean and PCA components of the open hand, from random poses.

    python -m data_pipelines.synthetic.poses.pca

rewrites them in ``twohand_jax/mano/assets/open_hand.npz``. Absolute poses do not
depend on them, so the sampler is the same before and after.
"""

import argparse
from pathlib import Path

import jax
import numpy as np
from jaxtyping import Float

from data_pipelines.open_hand.write import set_pose_space
from data_pipelines.synthetic.poses import angles, draw, limits
from twohand_jax import mano
from twohand_jax.mano.loading import OPEN_HAND


def sample(seed: int, count: int) -> Float[np.ndarray, "n 45"]:
    """Absolute axis-angles of random right hands: blends, noise, limits."""
    rng = np.random.default_rng(seed)
    config = draw.DrawConfig()
    drawn = draw.blends(rng, count, config=config)
    drawn = limits.clamp(drawn + draw.noise(rng, count, config=config))
    bones = angles.skeleton(mano.load())
    poses = jax.jit(angles.to_axis_angle)(bones, np.asarray(drawn, np.float32))
    return np.asarray(poses, np.float64).reshape(count, 45)


def main() -> None:
    """Entry point of ``python -m``."""
    parser = argparse.ArgumentParser(description="Fit the open hand's pose space.")
    parser.add_argument("--model", type=Path, default=OPEN_HAND, help="npz, rewritten")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=20_000, help="poses")
    args = parser.parse_args()
    set_pose_space(args.model, sample(args.seed, args.count))
    print(f"Wrote pose mean and components of {args.count} poses to {args.model}.")


if __name__ == "__main__":
    main()
