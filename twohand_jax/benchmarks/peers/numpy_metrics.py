"""The metrics of protocols wrist, mcp and freihand, a picture at a time in numpy.

The peer of ``benchmarks.evaluate``: a loop over pictures that fills lists and averages
them at the end, as the published evaluations do, written to be fast. A table of
differences serves all axes, a search of neighbours both thresholds of F, and curves
come from one sort. Arrays keep their dtype, float32 as the originals' are.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy.spatial import cKDTree

from twohand_jax.mano.joints import (
    CANONICAL,
    CANONICAL_FROM_MODEL,
    WRIST,
    fingertips,
)
from twohand_jax.types import LEFT, NUM_JOINTS, NUM_VERTICES, RIGHT, Prediction, Targets

MM = 1000.0
THRESHOLDS_MM = (5.0, 15.0)
CURVE_MM = np.linspace(0.0, 50.0, 100)
PLANES = ("", "-XY", "-Z")
Figures = dict[str, float]
Lists = defaultdict[str, list]


class PeerImage(NamedTuple):
    """Estimate, truth and flags of one picture; right hand first, metres."""

    vertices: Float[np.ndarray, "2 778 3"]
    rel_trans: Float[np.ndarray, "3"]
    true_vertices: Float[np.ndarray, "2 778 3"]
    true_joints: Float[np.ndarray, "2 21 3"]
    true_rel_trans: Float[np.ndarray, "3"]
    present: Bool[np.ndarray, "2"]
    known: Bool[np.ndarray, "2 21"]
    in_picture: Bool[np.ndarray, "2 21"]
    fitted: Bool[np.ndarray, "2"]
    between_known: Bool[np.ndarray, ""]
    interacting: Bool[np.ndarray, ""]


Regressor = Float[np.ndarray, "2 16 778"]
Metrics = Callable[[Iterable[PeerImage], Regressor], Figures]


def pictures(
    prediction: Prediction,
    targets: Targets,
    true_vertices: Float[np.ndarray, "n 2 778 3"],
) -> list[PeerImage]:
    """The rows of a batch on the host.

    Args:
        prediction: estimates.
        targets: labels.
        true_vertices: posed fits, metres.
    """
    columns = (
        prediction.geometry.vertices,
        prediction.rel_trans,
        true_vertices,
        targets.joints_3d,
        targets.rel_trans,
        targets.hand_valid,
        targets.joints_3d_valid,
        targets.joints_2d_valid,
        targets.mano_valid,
        targets.rel_trans_valid,
        targets.interacting,
    )
    rows = zip(*(np.asarray(column) for column in columns), strict=True)
    return [PeerImage(*row) for row in rows]


def wrist(given: Iterable[PeerImage], regressor: Regressor) -> Figures:
    """InterWild's metrics of InterHand2.6M (``protocols.two_hands.wrist``)."""
    joints, lists = defaultdict[str, list](list), defaultdict[str, list](list)
    for one in given:
        kind = _split(one)
        roots = np.zeros((2, 2, 3), np.float32)
        rooted = [False, False]
        for hand in (RIGHT, LEFT):
            if not one.present[hand]:
                continue
            found = regress(regressor[hand], one.vertices[hand], "interwild")
            roots[:, hand] = found[WRIST], regressor[hand, 0] @ one.true_vertices[hand]
            valid = one.known[hand] & one.in_picture[hand]
            rooted[hand] = valid[WRIST]
            if rooted[hand]:
                true = one.true_joints[hand]
                errors = np.full((3, 2, 21), np.nan)
                errors[:, hand, valid] = by_planes(
                    (found - found[WRIST] - (true - true[WRIST]))[valid]
                )
                joints[kind].append(errors)
                moved = align(found[valid], true[valid], reflect=False)
                lists["PA-MPJPE"].append(distances(moved - true[valid]))
            if one.fitted[hand]:
                _add_mesh(lists, kind, one, hand, roots[:, hand])
        if one.between_known and one.present.all():
            if all(rooted):
                gap = one.rel_trans - one.true_rel_trans
                lists["MRRPE"].append(distances(gap[None]))
            if one.fitted.all():
                lists["RRVE"].append(_beside_right(one, roots))
    return _per_joint(joints) | _means(lists)


def mcp(given: Iterable[PeerImage], regressor: Regressor) -> Figures:
    """IntagHand's metrics (``protocols.two_hands.mcp``), not scaled."""
    lists = defaultdict[str, list](list)
    for one in given:
        fitted = one.present & one.fitted
        if one.interacting and not fitted.all():
            continue
        for hand in np.flatnonzero(fitted):
            joints, meshes = [], []
            for mesh in (one.vertices[hand], one.true_vertices[hand]):
                points = regress(regressor[hand], mesh, "manopth_right")
                joints.append(points - points[CANONICAL.MIDDLE_BASE])
                meshes.append(mesh - points[CANONICAL.MIDDLE_BASE])
            for name, (found, true) in (("MPJPE", joints), ("MPVPE", meshes)):
                for plane, errors in zip(PLANES, by_planes(found - true), strict=True):
                    lists[name + plane].append(errors)
                    lists[f"{name}{plane}/{_split(one)}"].append(errors)
                moved = align(found, true, reflect=False)
                lists["PA-" + name].append(distances(moved - true))
        if one.between_known and fitted.all():
            lists["MRRPE"].append(distances((one.rel_trans - one.true_rel_trans)[None]))
    return _means(lists)


def _split(one: PeerImage) -> str:
    """What the data set calls the picture."""
    return "interacting" if one.interacting else "single"


def freihand(given: Iterable[PeerImage], regressor: Regressor) -> Figures:
    """FreiHAND's metrics of right hands (``protocols.single_hand.freihand``)."""
    errors, scores = defaultdict[str, list](list), defaultdict[str, list](list)
    for one in given:
        if not (one.present[RIGHT] and one.known[RIGHT].all()):
            continue
        true = one.true_joints[RIGHT]
        found = regress(regressor[RIGHT], one.vertices[RIGHT], "freihand")
        errors["J"].append(distances(found - true))
        errors["PA-J"].append(distances(align(found, true, reflect=True) - true))
        if one.fitted[RIGHT]:
            _add_surface(errors, scores, one.vertices[RIGHT], one.true_vertices[RIGHT])
    figures = {name: float(np.mean(values)) for name, values in scores.items()}
    for name, values in errors.items():
        prefix, kind = name[:-1], name[-1]
        pooled = np.concatenate(values)
        figures[f"{prefix}MP{kind}PE"] = float(pooled.mean())
        figures[f"{prefix}AUC-{kind}"] = area(pooled)
    return figures


METRICS: dict[str, Metrics] = {"wrist": wrist, "mcp": mcp, "freihand": freihand}


def regress(
    regressor: Float[np.ndarray, "16 778"],
    vertices: Float[np.ndarray, "778 3"],
    tips: str,
) -> Float[np.ndarray, "21 3"]:
    """Joints of a posed surface in the canonical order."""
    parts = regressor @ vertices, vertices[list(fingertips(tips))]
    return np.concatenate(parts)[CANONICAL_FROM_MODEL]


def distances(gaps: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n"]:
    """Lengths in millimetres."""
    return MM * np.sqrt(np.einsum("nc,nc->n", gaps, gaps))


def by_planes(gaps: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "3 n"]:
    """Lengths in space, in XY and along Z, millimetres."""
    squared = gaps * gaps
    flat = squared[:, 0] + squared[:, 1]
    return MM * np.sqrt(np.stack([flat + squared[:, 2], flat, squared[:, 2]]))


def align(
    points: Float[np.ndarray, "n 3"], target: Float[np.ndarray, "n 3"], *, reflect: bool
) -> Float[np.ndarray, "n 3"]:
    """The points moved onto the target by the best similarity.

    Args:
        points: to move.
        target: to reach.
        reflect: whether a mirror image will do.
    """
    middle, goal = points.mean(axis=0), target.mean(axis=0)
    a, b = points - middle, target - goal
    u, singular, vt = np.linalg.svd(b.T @ a)
    if not reflect and np.linalg.det(u) * np.linalg.det(vt) < 0:
        u[:, 2], singular[2] = -u[:, 2], -singular[2]
    scale = singular.sum() / max(np.vdot(a, a), 1e-12)
    return a @ (scale * (u @ vt)).T + goal


def area(errors_mm: Float[np.ndarray, "n"]) -> float:
    """Area under the share of errors within 0 to 50 mm, from 0 to 1."""
    right = np.searchsorted(np.sort(errors_mm), CURVE_MM, side="right")
    share = right / len(errors_mm)
    return float(((share[1:] + share[:-1]) / 2).mean())


def _add_surface(
    errors: Lists,
    scores: Lists,
    found: Float[np.ndarray, "778 3"],
    true: Float[np.ndarray, "778 3"],
) -> None:
    """Vertex errors and F-scores, as they are and aligned."""
    tree = cKDTree(true)
    aligned = align(found, true, reflect=True)
    for prefix, points in (("", found), ("PA-", aligned)):
        errors[f"{prefix}V"].append(distances(points - true))
        there = tree.query(points)[0]
        back = cKDTree(points).query(true)[0]
        for threshold in THRESHOLDS_MM:
            limit = threshold / MM
            precision, recall = (there < limit).mean(), (back < limit).mean()
            both = precision + recall
            score = 2 * precision * recall / both if both else 0.0
            scores[f"{prefix}F@{threshold:g}"].append(score)


def _add_mesh(
    lists: Lists,
    kind: str,
    one: PeerImage,
    hand: int,
    roots: Float[np.ndarray, "2 3"],
) -> None:
    """MPVPE of a hand in all planes, and PA-MPVPE."""
    found, true = one.vertices[hand], one.true_vertices[hand]
    errors = by_planes(found - true - (roots[0] - roots[1])).mean(axis=1)
    for plane, error in zip(PLANES, errors[:, None], strict=True):
        lists[f"MPVPE{plane}/{kind}"].append(error)
    moved = align(found, true, reflect=False)
    lists["PA-MPVPE"].append(distances(moved - true))


def _beside_right(
    one: PeerImage, roots: Float[np.ndarray, "2 2 3"]
) -> Float[np.ndarray, "1556"]:
    """Vertex errors with the left hand beside the right one, millimetres."""
    gaps = one.vertices - one.true_vertices - (roots[0] - roots[1])[:, None]
    gaps[LEFT] += one.rel_trans - one.true_rel_trans
    return distances(gaps.reshape(-1, 3))


def _per_joint(lists: Lists) -> Figures:
    """Means of each joint of each hand, averaged over those that were seen."""
    means = {kind: seen_mean(np.stack(each), axis=0) for kind, each in lists.items()}
    figures = {}
    for number, plane in enumerate(PLANES):
        each = {kind: mean[number] for kind, mean in means.items()}
        figures["MPJPE" + plane] = float(seen_mean(np.stack(list(each.values()))))
        for kind, mean in each.items():
            figures[f"MPJPE{plane}/{kind}"] = float(seen_mean(mean))
    return figures


def _means(lists: Lists) -> Figures:
    """Means of all lists, and of both kinds of pictures together."""
    pooled = {name: np.concatenate(values) for name, values in lists.items()}
    for plane in PLANES:
        both = [value for name, value in pooled.items() if f"MPVPE{plane}/" in name]
        if both:
            pooled["MPVPE" + plane] = np.concatenate(both)
    return {name: float(values.mean()) for name, values in pooled.items()}


def seen_mean(
    errors: Float[np.ndarray, "..."], axis: int | None = None
) -> Float[np.ndarray, "..."]:
    """Mean of all that is a number; NaN where nothing is."""
    with np.errstate(invalid="ignore"):
        return np.nansum(errors, axis=axis) / np.isfinite(errors).sum(axis=axis)


Points = Float[np.ndarray, "n 3"]
KINDS = {"J": NUM_JOINTS, "V": NUM_VERTICES}


def freihand_by_points(given: Iterable[PeerImage], regressor: Regressor) -> Figures:
    """Errors of right hands as they are and aligned, AUC and F-scores."""
    lists: dict[str, list[list[float]]] = {
        prefix + kind: [[] for _ in range(count)]
        for prefix in ("", "PA-")
        for kind, count in KINDS.items()
    }
    scores = defaultdict[str, list](list)
    for one in given:
        if not (one.present[RIGHT] and one.known[RIGHT].all()):
            continue
        true = one.true_joints[RIGHT]
        found = regress(regressor[RIGHT], one.vertices[RIGHT], "freihand")
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
