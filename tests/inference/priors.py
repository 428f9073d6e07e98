"""A tiny untrained prior and pair encoder on disk, and pose sets made of noise."""

import runpy
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from twohand_jax import experiments, mano
from twohand_jax.data import poses
from twohand_jax.diffusion.cascade import SampleConfig
from twohand_jax.diffusion.ddim import DdimConfig
from twohand_jax.diffusion.representation import Statistics
from twohand_jax.experiments import prior
from twohand_jax.experiments.prior import PriorConstants, PriorExperiment
from twohand_jax.models import apply
from twohand_jax.types import ManoParams
from twohand_jax.weights import native

ROOT = Path(__file__).parents[2]
# Without joints in space, whose gradients take long to compile.
DENOISER = {"width": 16, "residual_blocks": 1, "embedding": 8, "geometry": False}
FEW = SampleConfig(ddim=DdimConfig(steps=2))
QUICK = {"measured": 3, "batch": 8, "free": FEW, "guided": FEW}  # of a TableConfig
FEATURES = {"points": 16, "widths": [8], "hidden": 8, "features": 4}


def config(name: str, model: dict) -> dict:
    """A shipped config with another network."""
    loaded = runpy.run_path(str(ROOT / "configs" / name))["get_config"]().to_dict()
    return loaded | {"model": loaded["model"] | model}


def write_prior(directory: Path, **diffusion) -> Path:
    """A model directory of a prior with small random weights."""
    settings = config("prior.py", DENOISER)
    settings["diffusion"] |= diffusion
    experiment = experiments.parse_as(PriorExperiment, settings)
    drawn = _draw(experiments.network(experiment))
    statistics = Statistics(mean=jnp.zeros(64), scale=jnp.full(64, 0.2))
    noise = experiment.diffusion.noise()
    constants = PriorConstants(mano.load(), statistics, noise)
    fixed = prior.fixed_numbers(experiment, constants)
    native.save(directory, drawn._replace(batch_stats=fixed), settings)
    return directory


def write_features(directory: Path, **loss) -> Path:
    """A model directory of a pair encoder with small random weights."""
    settings = config("pair_encoder.py", FEATURES)
    settings["loss"] |= loss
    network = experiments.network(experiments.parse(settings))
    native.save(directory, _draw(network), settings)
    return directory


def write_poses(directory: Path, count: int) -> Path:
    """A pose set with one shard of random pairs in each split."""
    sizes = {split: (count,) for split in ("train", "test")}
    info = poses.PoseSetInfo(model="open-hand-1", splits=sizes, settings={})
    poses.begin(directory, info)
    for seed, split in enumerate(sizes):
        poses.write_shard(directory, split, 0, random_pairs(count, seed=seed))
    return directory


def random_pairs(*batch: int, seed: int = 0) -> ManoParams:
    """Hands in the camera, some 5 cm from each other."""
    rng = np.random.default_rng(seed)

    def normal(scale: float, *shape: int) -> np.ndarray:
        return rng.normal(0, scale, (*batch, 2, *shape)).astype(np.float32)

    return ManoParams(
        global_orient=normal(1.0, 3),
        hand_pose=normal(0.2, 15, 3),
        betas=normal(0.5, 10),
        transl=normal(0.05, 3) + np.array([0.0, 0.0, 0.6], np.float32),
    )


def _draw(network: apply.Network) -> apply.Variables:
    rng = np.random.default_rng(0)
    return jax.tree.map(
        lambda leaf: jnp.asarray(rng.normal(0, 0.1, leaf.shape), jnp.float32),
        apply.shapes(network),
    )
