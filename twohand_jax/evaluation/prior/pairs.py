"""Pairs of hands that refinement is judged by: a network's estimates, or true ones."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from twohand_jax.crops.cue_table import NAMES
from twohand_jax.crops.inputs import CropConfig
from twohand_jax.evaluation import methods
from twohand_jax.geometry import boxes
from twohand_jax.models.apply import Network, Variables
from twohand_jax.types import Batch, ManoModel, Prediction, Targets


class Pairs(NamedTuple):
    """Estimates of two overlapping hands, their labels, and what was seen of them.

    ``visible`` is the visible area of each hand, any unit.
    """

    prediction: Prediction
    targets: Targets
    keypoints: Float[Array, "n 2 21 3"]
    visible: Float[Array, "n 2"]


def collect(
    network: Network,
    variables: Variables,
    batches: Iterable[Batch],
    model: ManoModel,
    *,
    crop: CropConfig,
    count: int,
) -> Pairs:
    """Estimates of the first ``count`` records with two overlapping hands.

    Args:
        network: pure functions of the regressor.
        variables: its weights.
        batches: records.
        model: hand model.
        crop: how hands are cut out.
        count: how many; fewer if the records end before.
    """
    ask = methods.estimator(network, crop=crop)

    @jax.jit
    def usable(prediction: Prediction, batch: Batch) -> Bool[Array, "b"]:
        fitted = jnp.all(batch.targets.mano_valid, axis=-1) & (batch.weight > 0)
        return fitted & boxes.overlap(prediction.box, prediction.score > 0)

    parts: list[Pairs] = []
    found = 0
    for batch in batches:
        estimate = ask(variables, batch, model, NAMES)
        rows = np.flatnonzero(np.asarray(usable(estimate, batch)))
        points = batch.cues.values["keypoints"]
        area = methods.visible(model, estimate, batch.cues)
        pairs = Pairs(estimate, batch.targets, points, area)
        parts.append(rows_of(pairs, rows))
        found += len(rows)
        if found >= count:
            break
    joined = jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)
    return rows_of(joined, np.arange(min(found, count)))


def rows_of(tree: Any, rows: np.ndarray) -> Any:
    """Some rows of every leaf, on the host."""
    return jax.tree.map(lambda leaf: np.asarray(leaf)[rows], tree)
