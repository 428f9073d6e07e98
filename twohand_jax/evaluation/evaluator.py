"""Metrics of a network over a record set, one jitted call a batch."""

from collections.abc import Callable, Iterable

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jaxtyping import Array, Bool
from tqdm import tqdm

from twohand_jax.data.augment import prepare
from twohand_jax.data.inputs import CropConfig
from twohand_jax.data.predictions import decode
from twohand_jax.errors import InputError
from twohand_jax.evaluation import protocols
from twohand_jax.models.apply import Network, Variables
from twohand_jax.types import Batch, ManoModel, Mean, Prediction

# Which cues the network may look at: keypoints, segmentation, depth.
CUE_SETS = {
    "image": (False, False, False),
    "+ keypoints": (True, False, False),
    "+ segmentation": (True, True, False),
    "+ depth": (True, True, True),
}
# Hands that were compared, and how many of them had an estimate that is no number.
NOT_FINITE = "not finite"
Row = dict[str, float]
BatchMetrics = Callable[
    [Variables, Batch, ManoModel, Bool[Array, "3"]], dict[str, Mean]
]


def batch_metrics(
    network: Network,
    *,
    crop: CropConfig,
    protocol: str = "wrist",
    relative: bool = True,
) -> BatchMetrics:
    """Metrics of one batch as a jitted function of weights, batch, model and cues.

    Args:
        network: pure functions of the regressor.
        crop: how hands are cut out.
        protocol: name of a protocol in ``evaluation.protocols``.
        relative: whether the network estimates the relative translation.
    """
    compare = protocols.get(protocol).compare

    @jax.jit
    def compute(
        variables: Variables, batch: Batch, model: ManoModel, cues: Bool[Array, "3"]
    ) -> dict[str, Mean]:
        inputs, _ = prepare(batch, crop=crop)
        inputs = inputs._replace(present=inputs.present & cues)
        output, _ = network.apply(variables, inputs, train=False)
        prediction = decode(
            output, model, inputs, batch.targets.camera, crop=crop, relative=relative
        )
        protocols.check_shapes(prediction)
        found = compare(prediction, batch.targets, model, batch.weight)
        return found | {NOT_FINITE: count_not_finite(prediction, batch)}

    return compute


def count_not_finite(prediction: Prediction, batch: Batch) -> Mean:
    """How many of the batch's labelled hands have an estimate with NaN or infinity.

    The relative translation belongs to pictures of two hands only.
    """
    hands = batch.targets.hand_valid & (batch.weight > 0)[..., None]
    between = jnp.all(jnp.isfinite(prediction.rel_trans), axis=-1)
    between |= ~jnp.all(hands, axis=-1)
    fine = jnp.all(jnp.isfinite(prediction.geometry.vertices), axis=(-2, -1))
    fine &= between[..., None]
    return Mean(jnp.sum(hands & ~fine), jnp.sum(hands))


def evaluate(
    compute: BatchMetrics,
    variables: Variables,
    batches: Iterable[Batch],
    model: ManoModel,
    *,
    cue_sets: dict[str, tuple[bool, bool, bool]] | None = None,
    progress: str | None = None,
) -> dict[str, Row]:
    """One row of metrics (mm) for each set of cues, all in one pass over the data.

    Processes evaluate their own batches and all return the metrics of all of them.

    Args:
        compute: from ``batch_metrics``.
        variables: the network's weights.
        batches: every record once, padded with weight 0.
        model: hand model.
        cue_sets: named cue flags; all of ``CUE_SETS`` by default.
        progress: title of a progress bar, None for none.

    Raises:
        InputError: an estimate is not a finite number, or there are no batches.
    """
    cue_sets = CUE_SETS if cue_sets is None else cue_sets
    totals: dict[str, dict[str, Mean]] = {}
    for batch in tqdm(batches, desc=progress, unit="batch", disable=progress is None):
        for name, flags in cue_sets.items():
            found = jax.device_get(compute(variables, batch, model, jnp.asarray(flags)))
            totals[name] = _add(totals.get(name), found)
    if not totals:
        raise InputError("There is no record to evaluate: the split is empty.")
    if jax.process_count() > 1:
        parts = multihost_utils.process_allgather(totals)
        totals = jax.tree.map(lambda part: np.sum(part, axis=0), parts)
    return {name: _row(name, found) for name, found in totals.items()}


def require_counted(
    rows: dict[str, Row], protocol: protocols.Protocol, *, dataset: str, split: str
) -> None:
    """Refuse a table in which the protocol found nothing to compare.

    Raises:
        InputError: an essential metric counted nothing.
    """
    missing = [
        name
        for name in protocol.essential
        if any(np.isnan(row[name]) for row in rows.values())
    ]
    if missing:
        raise InputError(
            f"Protocol {protocol.name!r} compares {protocol.counts}, but split "
            f"{split!r} of {dataset} holds none, so {' and '.join(missing)} cannot be "
            "computed: choose another protocol or record set."
        )


def _row(name: str, found: dict[str, Mean]) -> Row:
    broken = found.pop(NOT_FINITE, None)
    if broken is not None and broken.total > 0:
        raise InputError(
            f"{int(broken.total)} of {int(broken.count)} estimated hands hold NaN or "
            f"infinity (row {name!r}): the model's weights are damaged or its inputs "
            "are out of range, so no error of it means anything."
        )
    return protocols.numbers(found)


def _add(total: dict[str, Mean] | None, new: dict[str, Mean]) -> dict[str, Mean]:
    wide = {
        name: Mean(np.float64(mean.total), np.float64(mean.count))
        for name, mean in new.items()
    }
    if total is None:
        return wide
    return {name: total[name] + mean for name, mean in wide.items()}
