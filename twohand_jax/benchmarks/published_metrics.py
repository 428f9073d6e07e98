"""FreiHAND's metrics by the loops of its toolbox, a picture and a point at a time.

The same figures as ``numpy_metrics.freihand``, computed the way ``eval.py`` of the
toolbox does: a list for each point, neighbours searched anew for each threshold, and
counted one by one. Curves come from one sort all the same, in the peer's favour: the
toolbox goes through every list once a threshold at the end, which would dominate the
few pictures that a benchmark looks at.
"""

from collections import defaultdict
from collections.abc import Iterable

import numpy as np
from jaxtyping import Float
from scipy.spatial import cKDTree

from twohand_jax.benchmarks.numpy_metrics import (
    MM,
    THRESHOLDS_MM,
    TIPS,
    Figures,
    Picture,
    Regressor,
    align,
    area,
)
from twohand_jax.mano.joints import fingertips
from twohand_jax.types import NUM_JOINTS, NUM_VERTICES, RIGHT

Points = Float[np.ndarray, "n 3"]
KINDS = {"J": NUM_JOINTS, "V": NUM_VERTICES}


def freihand(given: Iterable[Picture], regressor: Regressor) -> Figures:
    """Errors of right hands as they are and aligned, AUC and F-scores."""
    tips = list(fingertips("freihand"))
    lists: dict[str, list[list[float]]] = {
        prefix + kind: [[] for _ in range(count)]
        for prefix in ("", "PA-")
        for kind, count in KINDS.items()
    }
    scores = defaultdict[str, list](list)
    for one in given:
        if not (one.present[RIGHT] and one.known[RIGHT].all()):
            continue
        found, true = one.joints[RIGHT].copy(), one.true_joints[RIGHT]
        found[TIPS] = one.vertices[RIGHT][tips]
        feed(lists["J"], true, found)
        feed(lists["PA-J"], true, align(found, true, reflect=True))
        if not one.fitted[RIGHT]:
            continue
        mesh, true_mesh = one.vertices[RIGHT], one.true_vertices[RIGHT]
        aligned = align(mesh, true_mesh, reflect=True)
        feed(lists["V"], true_mesh, mesh)
        feed(lists["PA-V"], true_mesh, aligned)
        for limit in THRESHOLDS_MM:
            for prefix, points in (("", mesh), ("PA-", aligned)):
                name = f"{prefix}F@{limit:g}"
                scores[name].append(f_score(true_mesh, points, limit / MM))
    figures = {name: float(np.mean(values)) for name, values in scores.items()}
    for name, each in lists.items():
        prefix, kind = name[:-1], name[-1]
        figures[f"{prefix}MP{kind}PE"] = float(np.mean([np.mean(one) for one in each]))
        figures[f"{prefix}AUC-{kind}"] = area(np.concatenate(each))
    return figures


def feed(lists: list[list[float]], true: Points, found: Points) -> None:
    """Add the error of each point (mm) to its list."""
    errors = MM * np.sqrt(np.sum(np.square(true - found), axis=1))
    for number in range(len(true)):
        lists[number].append(errors[number])


def f_score(true: Points, found: Points, threshold: float) -> float:
    """Harmonic mean of the shares of points within a threshold of the other set."""
    there, back = cKDTree(found).query(true)[0], cKDTree(true).query(found)[0]
    recall = float(sum(d < threshold for d in back)) / float(len(back))
    precision = float(sum(d < threshold for d in there)) / float(len(there))
    both = recall + precision
    return 2 * recall * precision / both if both > 0 else 0.0
