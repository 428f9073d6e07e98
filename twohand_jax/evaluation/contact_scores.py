"""How far estimated hands run into each other, a figure a record (METHOD §6)."""

import numpy as np
from jaxtyping import Bool, Float

from twohand_jax.collision import penetration
from twohand_jax.evaluation.evaluator import Score
from twohand_jax.evaluation.prior.refinement import NEGLIGIBLE_CM3
from twohand_jax.evaluation.results import Scores
from twohand_jax.evaluation.truth import Truth
from twohand_jax.mano.topology import close_wrist
from twohand_jax.types import (
    LEFT,
    RIGHT,
    Array,
    ManoModel,
    Mean,
    Prediction,
)

COLUMNS = ("volume cm³", "penetrating %", "depth", "contact %")


def with_contact(score: Score, *, workers: int = 0) -> Score:
    """The same scores with those of contact, of pairs of which both were found.

    ``volume cm³`` is what both closed meshes share, ``penetrating %`` the share of
    pairs with more of it than ``refinement.NEGLIGIBLE_CM3``, ``depth`` the deepest
    vertex in the other hand (mm), ``contact %`` the share of vertices that touch it.

    Args:
        score: of a protocol.
        workers: processes for the volumes; 0 stays in this one.
    """

    def measure(
        prediction: Prediction,
        truth: Truth,
        model: ManoModel,
        weight: Float[Array, "n"],
    ) -> Scores:
        scores = score(prediction, truth, model, weight)
        hands = np.asarray(truth.targets.hand_valid) & (prediction.score > 0)
        pairs = np.all(np.asarray(hands), axis=-1)
        pairs &= np.asarray(weight) > 0
        found = _measure(
            np.asarray(prediction.geometry.vertices), pairs, model, workers
        )
        return scores._replace(metrics=scores.metrics | found)

    return measure


def _measure(
    vertices: Float[np.ndarray, "n 2 778 3"],
    pairs: Bool[np.ndarray, "n"],
    model: ManoModel,
    workers: int,
) -> dict[str, Mean]:
    """Figures of all pairs; those whose bounding boxes stay apart have zeros."""
    found = np.zeros((len(COLUMNS), len(vertices)), np.float32)
    rows = np.flatnonzero(pairs & _near(vertices))
    if len(rows):
        faces = [close_wrist(np.asarray(side)) for side in model.faces]
        measured = penetration.measure(
            vertices[rows, RIGHT], vertices[rows, LEFT], *faces, workers=workers
        )
        figures = (
            measured.volume_cm3,
            100.0 * (measured.volume_cm3 > NEGLIGIBLE_CM3),
            measured.max_depth_mm,
            100.0 * measured.contact_ratio,
        )
        found[:, rows] = np.stack(figures)
    count = pairs.astype(np.float32)
    return {
        name: Mean(figure, count) for name, figure in zip(COLUMNS, found, strict=True)
    }


def _near(vertices: Float[np.ndarray, "n 2 778 3"]) -> Bool[np.ndarray, "n"]:
    """Pairs whose bounding boxes come within the distance of a contact."""
    low, high = vertices.min(axis=2), vertices.max(axis=2)
    gap = low.max(axis=1) - high.min(axis=1)
    return (gap <= penetration.CONTACT_DISTANCE).all(axis=-1)
