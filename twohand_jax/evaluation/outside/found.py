"""Hands that a method found: errors are of these, and their share stands beside them.

``Prediction.score`` is 0 for a hand that a method does not estimate. Its labels are
withdrawn before the comparison, ``hand_valid`` stays: whether a picture shows one hand
or two is the picture's affair. Errors of different methods compare on the same hands
only, so ``limited`` gives the row of one method on the hands that another found.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from twohand_jax.evaluation.evaluator import Method, Score
from twohand_jax.evaluation.results import Scores
from twohand_jax.evaluation.truth import Truth
from twohand_jax.types import Batch, ManoModel, Mean, Prediction, Targets

FOUND = "found %"


def of_found(score: Score) -> Score:
    """The same scores of the hands that a method found, and ``found %``.

    Pairs that were found by half count as not occluded by each other.

    Args:
        score: of a protocol.
    """

    def measure(
        prediction: Prediction,
        truth: Truth,
        model: ManoModel,
        weight: Float[Array, "n"],
    ) -> Scores:
        found = jnp.asarray(prediction.score) > 0
        scores = score(prediction, _seen(truth, found), model, weight)
        share = {FOUND: found_share(truth.targets, found, weight)}
        return scores._replace(metrics=scores.metrics | share)

    return measure


def withdraw(targets: Targets, found: Bool[Array, "*b 2"]) -> Targets:
    """The labels of found hands; between hands only where both are found."""
    return targets._replace(
        joints_2d_valid=targets.joints_2d_valid & found[..., None],
        joints_3d_valid=targets.joints_3d_valid & found[..., None],
        mano_valid=targets.mano_valid & found,
        rel_trans_valid=targets.rel_trans_valid & jnp.all(found, axis=-1),
    )


def _seen(truth: Truth, found: Bool[Array, "*b 2"]) -> Truth:
    """What is known of found hands."""
    pairs = jnp.all(found, axis=-1, keepdims=True)
    occluded = truth.occluded
    if occluded is not None:
        occluded = jnp.where(pairs, occluded, jnp.nan)
    targets = withdraw(truth.targets, found)
    return truth._replace(targets=targets, occluded=occluded)


@jax.jit
def found_share(
    targets: Targets, found: Bool[Array, "*b 2"], weight: Float[Array, "*b"]
) -> Mean:
    """Which of a picture's labelled hands were found, per cent."""
    hands = targets.hand_valid & (weight > 0)[..., None]
    count = jnp.sum(hands, axis=-1).astype(jnp.float32)
    return Mean(100.0 * jnp.sum(hands & found, axis=-1), count)


def limited(method: Method, found: Mapping[int, Bool[np.ndarray, "2"]]) -> Method:
    """A method as if it had found these hands only.

    Args:
        method: estimates of a batch.
        found: hands by number of their record; none of a record that is not there.
    """
    none = np.zeros(2, bool)

    def some(batch: Batch) -> Prediction:
        prediction = method(batch)
        rows = [found.get(int(record), none) for record in np.asarray(batch.record)]
        return prediction._replace(score=prediction.score * jnp.asarray(rows))

    return some
