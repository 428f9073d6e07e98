"""Which of several sets each place of an endless stream is taken from.

Places are given out one after another, each to the set that lacks most: the one with
the largest weight / (2 · places so far + 1) (Sainte-Laguë's method). So any stretch of
the stream has the weights' proportions to about one record a set, small sets come
evenly, and the counts at any position are known without walking there.
"""

import numpy as np
from jaxtyping import Int


def counts(places: int, weights: np.ndarray) -> Int[np.ndarray, "sets"]:
    """How many of the first places went to each set.

    Args:
        places: number of places.
        weights: ``(sets,)``, positive, of sum 1.
    """
    sets = len(weights)
    # No set is ever (sets + 1) / 2 places behind its exact share.
    sure = np.maximum(np.floor(places * weights).astype(np.int64) - sets, 0)
    rest = _next(sure, places - int(sure.sum()), weights)
    return sure + np.bincount(rest, minlength=sets)


def slots(start: int, size: int, weights: np.ndarray) -> Int[np.ndarray, "size"]:
    """The set of each of ``size`` places from number ``start`` on."""
    return _next(counts(start, weights), size, weights)


def _next(given: np.ndarray, size: int, weights: np.ndarray) -> Int[np.ndarray, "size"]:
    """The sets of the next places when each set has been given so many."""
    places = given[:, None] + np.arange(size)
    claims = weights[:, None] / (2 * places + 1)
    # Stable and set by set: of equal claims the first set's comes first.
    return np.argsort(-claims, axis=None, kind="stable")[:size] // max(size, 1)
