"""What refinement does to a regressor's estimates of interacting hands.

The same pairs as they were estimated, after plain gradient descent on the collision
energy, and after refinement with the prior: errors, penetration, plausibility.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Key

from twohand_jax import mano
from twohand_jax.collision import penetration
from twohand_jax.crops.cue_table import NAMES
from twohand_jax.crops.inputs import CropConfig
from twohand_jax.diffusion.ddim import PriorParts
from twohand_jax.diffusion.gate import Status
from twohand_jax.diffusion.refine import RefineConfig, Refined, gradient_descent, refine
from twohand_jax.evaluation import methods, protocols, truth
from twohand_jax.evaluation.protocols import MetricValues
from twohand_jax.evaluation.protocols.two_hands import wrist
from twohand_jax.geometry import boxes
from twohand_jax.mano.topology import close_wrist
from twohand_jax.models.apply import Network, Variables
from twohand_jax.progress import Bar
from twohand_jax.types import (
    LEFT,
    RIGHT,
    Array,
    Batch,
    HandGeometry,
    ManoModel,
    ManoParams,
    Prediction,
    Targets,
)

# Hands whose solids share more than this run into each other, cubic centimetres.
NEGLIGIBLE_CM3 = 0.001
CHUNK = 64
DEFAULT = RefineConfig()
COLUMNS = (
    "pairs",
    "MPJPE",
    "MPVPE",
    "MRRPE",
    "volume",
    "penetrating",
    "depth",
    "contact %",
    "Fréchet",
    "refined",
)
Features = Callable[[ManoParams], Float[np.ndarray, "n d"]]


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
        parts.append(_rows(pairs, rows))
        found += len(rows)
        if found >= count:
            break
    joined = jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)
    return _rows(joined, np.arange(min(found, count)))


def disturbed(
    pairs: Pairs,
    model: ManoModel,
    key: Key[Array, ""],
    *,
    transl_m: float = 0.01,
    orient: float = 0.15,
    pose: float = 0.1,
) -> Pairs:
    """The true hands as estimates, the worse seen one disturbed by known noise.

    The left hand is made the worse seen one by score and visible area. Standard
    deviations of the noise are per coordinate.

    Args:
        pairs: whose labels are taken.
        model: hand model.
        key: decides every number.
        transl_m: metres.
        orient: radians, of the global orientation.
        pose: radians, of each finger joint.
    """
    truth = pairs.targets.mano
    keys = jax.random.split(key, 3)
    spread = ManoParams(orient, pose, 0.0, transl_m)
    is_left = jnp.arange(2) == LEFT
    noise = ManoParams(
        *(
            scale * jax.random.normal(k, leaf.shape)
            for k, leaf, scale in zip(
                (keys[0], keys[1], keys[1], keys[2]), truth, spread, strict=True
            )
        )
    )
    params = jax.tree.map(
        lambda leaf, n: leaf + jnp.where(_like(is_left, leaf), n, 0.0), truth, noise
    )
    geometry = _pose(model, params)
    wrists = geometry.joints[:, :, mano.joints.WRIST]
    prediction = pairs.prediction._replace(
        mano=params,
        geometry=geometry,
        rel_trans=wrists[:, LEFT] - wrists[:, RIGHT],
        score=jnp.broadcast_to(jnp.array([1.0, 0.5]), pairs.prediction.score.shape),
    )
    blind = pairs.keypoints * jnp.asarray([1.0, 1.0, 0.0])
    seen = prediction.score  # any unit: the right hand more than the left one
    return jax.tree.map(np.asarray, Pairs(prediction, pairs.targets, blind, seen))


def cases(pairs: Pairs, model: ManoModel) -> dict[str, Pairs]:
    """What refinement is judged by: estimates, and truths with one hand disturbed."""
    return {
        "estimates of the network": pairs,
        "disturbed truths, one hand off by known noise": disturbed(
            pairs, model, jax.random.key(0)
        ),
    }


def table(
    prior: PriorParts,
    model: ManoModel,
    pairs: Pairs,
    *,
    config: RefineConfig = DEFAULT,
    features: Features | None = None,
    workers: int = 0,
    progress: bool = False,
) -> dict[str, MetricValues]:
    """A row for the estimates, for descent without the prior, and for refinement.

    Args:
        prior: of this hand model.
        model: hand model.
        pairs: from ``collect`` or ``disturbed``.
        config: of both ways of refining.
        features: of two-hand poses, for the Fréchet distance to the labels.
        workers: processes for the volumes.
        progress: whether to show a bar.
    """
    key = jax.random.key(0)

    @jax.jit
    def with_prior(prior: PriorParts, model: ManoModel, chunk: Pairs) -> Refined:
        return refine(
            prior,
            model,
            chunk.prediction,
            key,
            config=config,
            keypoints=chunk.keypoints,
            visible=chunk.visible,
        )

    @jax.jit
    def without(prior: PriorParts, model: ManoModel, chunk: Pairs) -> Refined:
        return gradient_descent(
            prior,
            model,
            chunk.prediction,
            config=config,
            keypoints=chunk.keypoints,
            visible=chunk.visible,
        )

    estimates: dict[str, Prediction] = {"estimate": pairs.prediction}
    rows: dict[str, MetricValues] = {}
    for name, way in (("descent", without), ("prior", with_prior)):
        found = _in_chunks(way, prior, model, pairs, progress=name if progress else "")
        estimates[name] = found.prediction
        rows[name] = {"refined": float(np.sum(found.status == Status.REFINED))}
    truth = pairs.targets.mano
    for name, prediction in estimates.items():
        row = errors(prediction, pairs.targets, model)
        row |= penetrations(prediction.geometry, model, workers=workers)
        if features is not None:
            row |= _plausibility(features(prediction.mano), features(truth))
        rows[name] = row | rows.get(name, {})
    return {name: rows[name] for name in estimates}


def errors(prediction: Prediction, targets: Targets, model: ManoModel) -> MetricValues:
    """MPJPE, MPVPE and MRRPE of all pairs, mm (protocol wrist)."""
    weight = jnp.ones(len(prediction.score))
    known = truth.batch_truth(targets, model)
    found = jax.jit(wrist)(prediction, known, model, weight)
    row = protocols.metric_values(found)
    return {name: row[name] for name in ("MPJPE", "MPVPE", "MRRPE")}


def penetrations(
    geometry: HandGeometry, model: ManoModel, *, workers: int = 0
) -> MetricValues:
    """Volume, depth and number of penetrating pairs; volumes by exact booleans."""
    vertices = np.asarray(geometry.vertices, np.float64)
    faces = [close_wrist(np.asarray(side)) for side in model.faces]
    found = penetration.measure(
        vertices[:, RIGHT], vertices[:, LEFT], *faces, workers=workers
    )
    return {
        "pairs": float(len(vertices)),
        "volume": float(found.volume_cm3.mean()),
        "penetrating": float((found.volume_cm3 > NEGLIGIBLE_CM3).sum()),
        "depth": float(found.max_depth_mm.mean()),
        "contact %": 100.0 * float(found.contact_ratio.mean()),
    }


def _plausibility(
    found: Float[np.ndarray, "n d"], truth: Float[np.ndarray, "n d"]
) -> MetricValues:
    from twohand_jax.evaluation.prior.plausibility import compare

    figures = compare(found, truth)
    return {"Fréchet": figures.frechet}


def _in_chunks(
    way: Callable[..., Refined],
    prior: PriorParts,
    model: ManoModel,
    pairs: Pairs,
    *,
    progress: str,
) -> Refined:
    """All pairs through a jitted function of one batch size."""
    count = len(pairs.prediction.score)
    rows = np.resize(np.arange(count), -(-count // CHUNK) * CHUNK).reshape(-1, CHUNK)
    bar = Bar(total=len(rows), unit="chunk", name=progress, is_shown=bool(progress))
    parts = [
        jax.device_get(way(prior, model, _rows(pairs, chunk)))
        for chunk in bar.count(rows)
    ]
    return jax.tree.map(lambda *leaves: np.concatenate(leaves)[:count], *parts)


@jax.jit
def _pose(model: ManoModel, params: ManoParams) -> HandGeometry:
    return mano.forward(model, params)


def _rows(tree: Any, rows: np.ndarray) -> Any:
    return jax.tree.map(lambda leaf: np.asarray(leaf)[rows], tree)


def _like(mask: Array, leaf: Array) -> Array:
    return mask.reshape(mask.shape + (1,) * (leaf.ndim - 2))
