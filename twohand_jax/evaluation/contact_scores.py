"""How far estimated hands run into each other, a figure a record (METHOD §6)."""

import numpy as np
from jaxtyping import Bool, Float

from twohand_jax.collision import penetration
from twohand_jax.evaluation.evaluator import Score
from twohand_jax.evaluation.prior.refinement import NEGLIGIBLE_CM3
from twohand_jax.evaluation.results import Scores
from twohand_jax.mano.topology import close_wrist
from twohand_jax.types import (
    LEFT,
    RIGHT,
    Array,
    ManoModel,
    Mean,
    Prediction,
    Targets,
)

COLUMNS = ("volume cm³", "penetrating %", "depth", "contact %")


def with_contact(score: Score, *, workers: int = 0) -> Score:
    """The same scores with those of contact, of pictures of two hands.

    ``volume cm³`` is what both closed meshes share, ``penetrating %`` the share of
    pairs with more of it than ``refinement.NEGLIGIBLE_CM3``, ``depth`` the deepest
    vertex in the other hand (mm), ``contact %`` the share of vertices that touch it.

    Args:
        score: of a protocol.
        workers: processes for the volumes; 0 stays in this one.
    """

    def measure(
        prediction: Prediction,
        targets: Targets,
        model: ManoModel,
        weight: Float[Array, "n"],
    ) -> Scores:
        scores = score(prediction, targets, model, weight)
        pairs = np.all(np.asarray(targets.hand_valid), axis=-1)
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
    # One shape for every batch: hands of no pair stand far from each other.
    apart = np.where(np.arange(2)[:, None, None] == LEFT, 1.0, 0.0)
    hands = np.where(pairs[:, None, None, None], vertices, vertices[0] * 0 + apart)
    faces = [close_wrist(np.asarray(side)) for side in model.faces]
    found = penetration.measure(
        hands[:, RIGHT], hands[:, LEFT], *faces, workers=workers
    )
    figures = (
        found.volume_cm3,
        100.0 * (found.volume_cm3 > NEGLIGIBLE_CM3),
        found.max_depth_mm,
        100.0 * found.contact_ratio,
    )
    count = pairs.astype(np.float32)
    return {
        name: Mean(np.where(pairs, figure, 0.0).astype(np.float32), count)
        for name, figure in zip(COLUMNS, figures, strict=True)
    }
