"""Tiny untrained regressors: configs/tiny.py, made smaller, with random weights."""

import runpy
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tests.train.runs import ROOT, SMALL_REGRESSOR
from twohand_jax import experiments
from twohand_jax.inference.predict import Trained, load_network
from twohand_jax.models import apply
from twohand_jax.models.apply import Network, Variables
from twohand_jax.weights import native

ALL = ("keypoints", "segmentation", "depth")


def config(**changes: Any) -> dict[str, Any]:
    """configs/tiny.py made small, as plain values.

    Args:
        changes: of the config, with ``__`` for the dot.
    """
    made = runpy.run_path(str(ROOT / "configs" / "tiny.py"))["get_config"]()
    named = {name.replace("__", "."): value for name, value in changes.items()}
    made.update_from_flattened_dict(
        {
            name: value
            for name, value in (SMALL_REGRESSOR | named).items()
            if name.split(".")[0] != "data"
        }
    )
    return made.to_dict()


def random_variables(network: Network, *, scale: float = 0.0) -> Variables:
    """Small random weights; the statistics of batch norm are near 1.

    Args:
        network: to draw for.
        scale: added to vectors, batch norm's scales among them: with some, what the
            network sees makes more of a difference to what it says.
    """
    rng = np.random.default_rng(0)

    def draw(leaf: jax.ShapeDtypeStruct) -> jax.Array:
        mean = scale if len(leaf.shape) == 1 else 0.0
        return jnp.asarray(rng.normal(mean, 0.05, leaf.shape), jnp.float32)

    drawn = jax.tree.map(draw, apply.shapes(network))
    stats = jax.tree.map(lambda x: 1.0 + jnp.abs(x), drawn.batch_stats)
    return drawn._replace(batch_stats=stats)


def save(directory: Path, config: dict[str, Any], *, scale: float = 0.0) -> Path:
    """A model directory of a config with random weights."""
    network = experiments.network(experiments.parse(config))
    native.save(directory, random_variables(network, scale=scale), config)
    return directory


def saved(directory: Path, **changes: Any) -> Trained:
    """A small network that looks at what it sees; it was saved and loaded."""
    return load_network(save(directory, config(**changes), scale=0.5))
