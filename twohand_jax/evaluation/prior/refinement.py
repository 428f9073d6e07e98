"""What refinement does to estimates of interacting hands.

The same pairs as they were estimated and after five ways of refining them: errors,
penetration, plausibility, and how far each way changes the error of the pairs.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from twohand_jax.collision import penetration
from twohand_jax.diffusion import ddim
from twohand_jax.diffusion.ddim import PriorParts
from twohand_jax.diffusion.gate import Status
from twohand_jax.diffusion.refine import (
    PRESETS,
    RefineConfig,
    Refined,
    gradient_descent,
    refine,
)
from twohand_jax.evaluation import protocols, truth
from twohand_jax.evaluation.prior.pairs import Pairs, rows_of
from twohand_jax.evaluation.protocols import MetricValues
from twohand_jax.evaluation.protocols.two_hands import wrist
from twohand_jax.evaluation.truth import compared_joints, near_origin
from twohand_jax.inference.prior import Prior
from twohand_jax.mano.joint_set import INTERWILD
from twohand_jax.mano.joints import WRIST
from twohand_jax.mano.topology import close_wrist
from twohand_jax.models.apply import Variables
from twohand_jax.progress import Bar
from twohand_jax.types import (
    LEFT,
    RIGHT,
    HandGeometry,
    ManoModel,
    ManoParams,
    Prediction,
    Targets,
)

# Hands whose solids share more than this run into each other, cubic centimetres.
NEGLIGIBLE_CM3 = 0.001
CHUNK = 64
DRAWS = 2000  # of the bootstrap
COLUMNS = (
    "pairs",
    "MPJPE",
    "change %",
    "from %",
    "to %",
    "MPVPE",
    "MRRPE",
    "volume",
    "penetrating",
    "depth",
    "contact %",
    "Fréchet",
    "refined",
)
ESTIMATE = "estimate"
Features = Callable[[ManoParams], Float[np.ndarray, "n d"]]


class Way(NamedTuple):
    """One way of refining: a function of ``diffusion.refine``, with what prior."""

    run: Callable[..., Refined]
    parts: PriorParts
    config: RefineConfig


def ways(prior: Prior, config: RefineConfig) -> dict[str, Way]:
    """The ways that are compared.

    A prior with random weights shows what the algorithm does by itself, and plain
    descent what the energy does.
    """
    fresh = prior.network.init(jax.random.key(1)).params
    variables = Variables(fresh, prior.variables.batch_stats)
    random = dataclasses.replace(prior, variables=variables)
    paper = PRESETS["paper"]
    steps = ddim.at_level(paper.ddim, prior.schedule)
    return {
        "descent": Way(gradient_descent, prior.parts, config),
        "random prior": Way(refine, random.parts, config),
        "prior": Way(refine, prior.parts, config),
        "paper": Way(
            refine,
            prior.parts,
            dataclasses.replace(paper, ddim=steps, gate=config.gate),
        ),
    }


def table(
    compared: Mapping[str, Way],
    model: ManoModel,
    pairs: Pairs,
    *,
    features: Features | None = None,
    workers: int = 0,
    progress: bool = False,
) -> dict[str, MetricValues]:
    """A row for the estimates and for each way of refining them.

    Args:
        compared: from ``ways``.
        model: hand model.
        pairs: estimates, or true pairs that were disturbed.
        features: of two-hand poses, for the Fréchet distance to the labels.
        workers: processes for the volumes.
        progress: whether to show a bar.
    """
    estimates: dict[str, Prediction] = {ESTIMATE: pairs.prediction}
    refined: dict[str, MetricValues] = {ESTIMATE: {}}
    for name, way in compared.items():
        found = _in_chunks(way, model, pairs, progress=name if progress else "")
        estimates[name] = found.prediction
        refined[name] = {"refined": float(np.sum(found.status == Status.REFINED))}
    labels = pairs.targets.mano
    before = joint_errors(pairs.prediction, pairs.targets, model)
    rows: dict[str, MetricValues] = {}
    for name, prediction in estimates.items():
        row = errors(prediction, pairs.targets, model)
        if name != ESTIMATE:
            after = joint_errors(prediction, pairs.targets, model)
            row |= dict(zip(COLUMNS[2:5], relative_change(before, after), strict=True))
        row |= penetrations(prediction.geometry, model, workers=workers)
        if features is not None:
            row |= _plausibility(features(prediction.mano), features(labels))
        rows[name] = row | refined[name]
    return rows


def joint_errors(
    prediction: Prediction, targets: Targets, model: ManoModel
) -> Float[np.ndarray, "n"]:
    """Mean error of both hands' joints, each hand about its own wrist, mm a pair."""
    joints = _regressed(model, prediction.geometry)
    found, wanted = (
        np.asarray(x) - np.asarray(x)[:, :, WRIST : WRIST + 1]
        for x in (joints, targets.joints_3d)
    )
    return 1e3 * np.linalg.norm(found - wanted, axis=-1).mean(axis=(1, 2))


@jax.jit
def _regressed(model: ManoModel, geometry: HandGeometry) -> Float[Array, "n 2 21 3"]:
    """Joints that protocol wrist compares."""
    return compared_joints(model, near_origin(geometry), INTERWILD)


def relative_change(
    before: Float[np.ndarray, "n"], after: Float[np.ndarray, "n"], *, seed: int = 0
) -> tuple[float, float, float]:
    """How far the mean falls or rises, in percent, and where that lies (95 %).

    Pairs are drawn with replacement, the same before and after (the bootstrap).
    """
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, len(before), (DRAWS, len(before)))
    ratios = after[drawn].mean(axis=1) / before[drawn].mean(axis=1)
    low, high = np.percentile(ratios, (2.5, 97.5))
    ratio = after.mean() / before.mean()
    change, least, most = (100.0 * float(x - 1.0) for x in (ratio, low, high))
    return change, least, most


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


def _in_chunks(way: Way, model: ManoModel, pairs: Pairs, *, progress: str) -> Refined:
    """All pairs through a jitted function of one batch size."""
    count = len(pairs.prediction.score)
    rows = np.resize(np.arange(count), -(-count // CHUNK) * CHUNK).reshape(-1, CHUNK)
    bar = Bar(total=len(rows), unit="chunk", name=progress, is_shown=bool(progress))
    parts = [
        jax.device_get(
            _run(way.run, way.config, way.parts, model, rows_of(pairs, chunk))
        )
        for chunk in bar.count(rows)
    ]
    return jax.tree.map(lambda *leaves: np.concatenate(leaves)[:count], *parts)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _run(
    run: Callable[..., Refined],
    config: RefineConfig,
    parts: PriorParts,
    model: ManoModel,
    chunk: Pairs,
) -> Refined:
    how: Any = dict(keypoints=chunk.keypoints, visible=chunk.visible, config=config)
    if run is refine:
        return refine(parts, model, chunk.prediction, jax.random.key(0), **how)
    return run(parts, model, chunk.prediction, **how)
