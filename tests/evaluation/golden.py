"""Pictures with all that can be missing, as the library and as the twins see them."""

import dataclasses
import functools
from collections.abc import Iterable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from tests.data import scenes
from tests.evaluation.twins import Sample
from tests.programs import posed_truth
from twohand_jax import mano
from twohand_jax.evaluation import evaluator, protocols
from twohand_jax.types import (
    LEFT,
    RIGHT,
    Batch,
    HandGeometry,
    ManoModel,
    Prediction,
    Targets,
)

COUNT = 8


class Case(NamedTuple):
    """Predictions and labels of ``COUNT`` pictures, and the model that poses them."""

    prediction: Prediction
    targets: Targets
    model: ManoModel


def case() -> Case:
    """Wrong estimates; absent hands, unknown joints and fits hold NaN or nonsense."""
    model = dataclasses.replace(mano.load(), name="MANO_RIGHT")
    halves = [scenes.targets(seed, (COUNT // 2,), model) for seed in (0, 1)]
    targets = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *halves)
    rng = np.random.default_rng(1)

    def changed(values, size):
        return values + jnp.asarray(rng.normal(0, size, values.shape), values.dtype)

    hands = targets.mano._replace(
        global_orient=changed(targets.mano.global_orient, 0.2),
        hand_pose=changed(targets.mano.hand_pose, 0.1),
        betas=changed(targets.mano.betas, 0.5),
        transl=changed(targets.mano.transl, 0.004),
    )
    prediction = Prediction(
        mano=hands,
        geometry=_last_mirrored(_forward(model, hands)),
        rel_trans=changed(targets.rel_trans, 0.02),
        camera=targets.camera,
        box=targets.box,
        score=jnp.ones((COUNT, 2)),
    )
    return Case(*_spoiled(prediction, _flagged(targets, rng)), model)


def samples(one: Case) -> list[Sample]:
    """The same arrays in float64, a picture at a time."""
    prediction, targets, model = one
    truth = np.asarray(_forward(model, targets.mano).vertices, float)
    columns = (
        np.asarray(prediction.geometry.joints, float),
        np.asarray(prediction.geometry.vertices, float),
        np.asarray(prediction.rel_trans, float),
        np.asarray(targets.joints_3d, float),
        truth,
        np.asarray(targets.rel_trans, float),
        np.asarray(targets.hand_valid),
        np.asarray(targets.joints_2d_valid),
        np.asarray(targets.joints_3d_valid),
        np.asarray(targets.mano_valid),
        np.asarray(targets.rel_trans_valid),
        np.asarray(targets.interacting),
    )
    return [Sample(*(column[row] for column in columns)) for row in range(COUNT)]


def rows(one: Case, start: int, stop: int, size: int) -> tuple:
    """Rows of the case filled up to a batch with NaN of weight 0."""
    chosen = np.minimum(np.arange(start, start + size), stop - 1)
    real = np.arange(start, start + size) < stop

    def pick(leaf):
        values = np.asarray(leaf)[chosen]
        if values.dtype.kind == "f":
            values[~real] = np.nan
        return values

    prediction, targets = jax.tree.map(pick, (one.prediction, one.targets))
    return prediction, targets, one.model, real.astype(np.float32)


def compared(one: Case, start: int, stop: int, size: int) -> tuple:
    """The same rows as a protocol takes them."""
    prediction, targets, model, weight = rows(one, start, stop, size)
    return prediction, posed_truth(targets, model), model, weight


def batches(
    one: Case, size: int, *, start: int = 0, count: int = 0, stop: int = COUNT
) -> list[Batch]:
    """Batches of pictures ``start`` to ``stop``; the canvas of each is the estimate.

    Args:
        one: the pictures.
        size: of a batch.
        start: first picture.
        count: batches; those past ``stop`` hold padding only. 0 for all.
        stop: first picture that is left out.
    """
    count = count or -(-(stop - start) // size)
    found = []
    for first in range(start, start + count * size, size):
        prediction, targets, _, weight = rows(one, first, stop, size)
        record = first + np.arange(size)
        found.append(Batch(prediction, None, None, targets, weight, record))
    return found


def figures(
    name: str, model: ManoModel, given: Iterable[Batch]
) -> evaluator.MetricValues:
    """What ``evaluator`` finds in batches of all processes under a protocol."""
    methods = {"told": lambda batch: batch.canvas}
    parts = list(evaluator.scored(methods, scorer(name), given, model))
    return evaluator.figures(evaluator.gather(parts))["told"]


@functools.cache
def scorer(name: str) -> evaluator.Score:
    """The protocol's, compiled once for each size of a batch."""
    return evaluator.scorer(protocols.get(name))


@jax.jit
def _forward(model, hands):
    return mano.forward(model, hands)


def _last_mirrored(geometry: HandGeometry) -> HandGeometry:
    """The last picture's hands as in a mirror: the servers' alignment may undo it."""
    sign = np.ones((COUNT, 1, 1, 3), np.float32)
    sign[-1, ..., 0] = -1
    return jax.tree.map(lambda points: points * sign, geometry)


def _flagged(targets: Targets, rng: np.random.Generator) -> Targets:
    """Pictures 0 and 1 show one hand, 2 has no left wrist, 3 no left fit.

    Picture 0 is of a single hand; 1 is of a pair whose right hand is not labelled.
    """
    present = np.ones((COUNT, 2), bool)
    present[0, LEFT] = present[1, RIGHT] = False
    known = rng.random((COUNT, 2, 21)) > 0.1
    known[..., 0] = True
    known[4:, RIGHT] = True  # what the servers' protocols count
    known[2, LEFT, 0] = False
    in_picture = rng.random((COUNT, 2, 21)) > 0.1
    in_picture[..., 0] = True
    in_picture[5, RIGHT, 0] = False
    fitted = np.ones((COUNT, 2), bool)
    fitted[3, LEFT] = fitted[6, RIGHT] = False
    return targets._replace(
        hand_valid=jnp.asarray(present),
        joints_3d_valid=jnp.asarray(known & present[..., None]),
        joints_2d_valid=jnp.asarray(in_picture & present[..., None]),
        mano_valid=jnp.asarray(fitted & present),
        rel_trans_valid=jnp.asarray(present.all(-1) & (np.arange(COUNT) != 7)),
        interacting=jnp.asarray(np.arange(COUNT) > 0),
    )


def _spoiled(prediction: Prediction, targets: Targets) -> tuple[Prediction, Targets]:
    """NaN in all that no protocol may look at."""
    nan = jnp.nan
    here = targets.hand_valid[..., None, None]
    known = targets.joints_3d_valid[..., None]
    geometry = jax.tree.map(lambda x: jnp.where(here, x, nan), prediction.geometry)
    return prediction._replace(geometry=geometry), targets._replace(
        joints_3d=jnp.where(known, targets.joints_3d, nan),
        rel_trans=jnp.where(targets.rel_trans_valid[..., None], targets.rel_trans, nan),
        mano=targets.mano._replace(
            transl=jnp.where(targets.mano_valid[..., None], targets.mano.transl, nan)
        ),
    )
