"""The protocols once more in float64 numpy, a hand at a time, with lists.

Written from the published evaluations (InterWild, IntagHand, FreiHAND, HO-3D), not
from the library: they share with it no code but the arrays they are given.
"""

from typing import NamedTuple

import numpy as np
from scipy.linalg import orthogonal_procrustes
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

# apps/eval_interhand.py of IntagHand: 16 model joints, then the five tips.
ORDER = [0, 13, 14, 15, 16, 1, 2, 3, 17, 4, 5, 6, 18, 10, 11, 12, 19, 7, 8, 9, 20]
TIPS = {
    "interwild": [745, 317, 445, 556, 673],
    "intaghand": [745, 317, 444, 556, 673],
    "freihand": [744, 320, 443, 555, 672],
    "ho3d": [744, 333, 444, 555, 672],
}
PLANES = {"": [0, 1, 2], "-XY": [0, 1], "-Z": [2]}


class Sample(NamedTuple):
    """One picture: estimate, truth and flags; right hand first, metres."""

    joints: np.ndarray
    vertices: np.ndarray
    between: np.ndarray
    true_joints: np.ndarray
    true_vertices: np.ndarray
    true_between: np.ndarray
    present: np.ndarray
    in_picture: np.ndarray
    known: np.ndarray
    fitted: np.ndarray
    between_known: bool
    interacting: bool

    @property
    def kind(self) -> str:
        return "interacting" if self.interacting else "single"


def regress(regressor: np.ndarray, vertices: np.ndarray, tips: str) -> np.ndarray:
    return np.concatenate([regressor @ vertices, vertices[TIPS[tips]]])[ORDER]


def distance(a: np.ndarray, b: np.ndarray, plane: str = "") -> np.ndarray:
    return 1000 * np.sqrt(((a - b)[..., PLANES[plane]] ** 2).sum(-1))


def mean(values: list) -> float:
    return float(np.mean(np.concatenate([np.ravel(v) for v in values])))


def wrist(samples: list[Sample], regressor: np.ndarray) -> dict[str, float]:
    """Lists a joint and split, as InterWild's print_eval_result averages them."""
    row = {}
    for plane in PLANES:
        lists = {"single": {}, "interacting": {}}
        for sample in samples:
            kind = sample.kind
            for hand in np.flatnonzero(sample.present):
                valid = sample.in_picture[hand] & sample.known[hand]
                if not valid[0]:
                    continue
                found = regress(regressor[hand], sample.vertices[hand], "interwild")
                true = sample.true_joints[hand]
                for joint in np.flatnonzero(valid):
                    error = distance(
                        found[joint] - found[0], true[joint] - true[0], plane
                    )
                    lists[kind].setdefault((hand, joint), []).append(error)
        means = {
            kind: [np.mean(v) for v in each.values()] for kind, each in lists.items()
        }
        row["MPJPE" + plane] = np.mean(means["single"] + means["interacting"])
        for kind, each in means.items():
            row[f"MPJPE{plane}/{kind}"] = np.mean(each)
    apart = [
        distance(s.between, s.true_between)
        for s in samples
        if s.present.all() and s.between_known and (s.in_picture & s.known)[:, 0].all()
    ]
    row["MRRPE"] = mean(apart)
    aligned = []
    for sample in samples:
        for hand in np.flatnonzero(sample.present):
            valid = sample.in_picture[hand] & sample.known[hand]
            if valid[0]:
                found = regress(regressor[hand], sample.vertices[hand], "interwild")
                true = sample.true_joints[hand]
                moved = align(found[valid], true[valid], reflect=False)
                aligned.append(distance(moved, true[valid]))
    row["PA-MPJPE"] = mean(aligned)
    return row | meshes(samples, regressor)


def meshes(samples: list[Sample], regressor: np.ndarray) -> dict[str, float]:
    """MPVPE a hand and RRVE a picture (InterWild, HIC.py)."""
    row = {}
    for plane in PLANES:
        lists = {"single": [], "interacting": []}
        for s in samples:
            for hand in np.flatnonzero(s.present & s.fitted):
                found, true = s.vertices[hand], s.true_vertices[hand]
                found = found - (regressor[hand] @ found)[0]
                true = true - (regressor[hand] @ true)[0]
                lists[s.kind].append(distance(found, true, plane).mean())
        row["MPVPE" + plane] = np.mean(lists["single"] + lists["interacting"])
        for kind, each in lists.items():
            row[f"MPVPE{plane}/{kind}"] = np.mean(each)
    pairs = []
    for s in samples:
        if (s.present & s.fitted).all() and s.between_known:
            gaps = []
            for hand in (0, 1):
                found, true = s.vertices[hand], s.true_vertices[hand]
                found = found - (regressor[hand] @ found)[0] + hand * s.between
                true = true - (regressor[hand] @ true)[0] + hand * s.true_between
                gaps.append(distance(found, true))
            pairs.append(np.mean(gaps))
    row["RRVE"] = np.mean(pairs)
    return row


def hic(samples: list[Sample], regressor: np.ndarray) -> dict[str, float]:
    row = meshes(samples, regressor)
    apart = [
        distance(s.between, s.true_between)
        for s in samples
        if s.present.all() and s.between_known
    ]
    row["MRRPE"] = mean(apart)
    for plane in PLANES:
        errors = []
        for s in samples:
            for hand in np.flatnonzero(s.present & s.fitted):
                found = regress(regressor[hand], s.vertices[hand], "interwild")
                true = regress(regressor[hand], s.true_vertices[hand], "interwild")
                errors.append(distance(found - found[0], true - true[0], plane))
        row["MPJPE" + plane] = mean(errors)
    return row


def photographs(samples: list[Sample], regressor: np.ndarray) -> dict[str, float]:
    """All joints pooled; the palm's turn by scipy's alignment of vectors."""
    lists: dict[str, list] = {}

    def add(name: str, errors: np.ndarray) -> None:
        lists.setdefault(name, []).append(errors)

    for s in samples:
        for hand in np.flatnonzero(s.present):
            valid, true = s.known[hand], s.true_joints[hand]
            found = regress(regressor[hand], s.vertices[hand], "interwild")
            if valid[0]:
                for plane in PLANES:
                    errors = distance(found - found[0], true - true[0], plane)
                    add("MPJPE" + plane, errors[valid])
            if valid[9]:
                add("MPJPE-MCP", distance(found - found[9], true - true[9])[valid])
            if valid.any():
                moved = align(found[valid], true[valid], reflect=False)
                add("PA-MPJPE", distance(moved, true[valid]))
            palm = [0, 1, 5, 9, 13, 17]
            if valid[palm].all():
                one, other = (
                    points[palm] - points[palm].mean(0) for points in (found, true)
                )
                turn, _ = Rotation.align_vectors(other, one)
                add("palm", np.degrees(turn.magnitude()))
        if s.between_known and (s.present & s.known[:, 0]).all():
            add("MRRPE", distance(s.between, s.true_between))
    return {name: mean(errors) for name, errors in lists.items()}


def mcp(
    samples: list[Sample], regressor: np.ndarray, *, scaled: bool
) -> dict[str, float]:
    """IntagHand's errors, of single hands as well; all hands pooled."""
    lists: dict[str, list] = {}
    for s in samples:
        fitted = s.present & s.fitted
        if s.interacting and not fitted.all():
            continue
        for hand in np.flatnonzero(fitted):
            found = regress(regressor[hand], s.vertices[hand], "intaghand")
            true = regress(regressor[hand], s.true_vertices[hand], "intaghand")
            scale = 1.0
            if scaled:
                scale = np.linalg.norm(true[9] - true[0])
                scale /= np.linalg.norm(found[9] - found[0])
            mesh = (s.vertices[hand] - found[9]) * scale
            true_mesh = s.true_vertices[hand] - true[9]
            for plane in PLANES:
                joints = distance((found - found[9]) * scale, true - true[9], plane)
                vertices = distance(mesh, true_mesh, plane)
                for name in (plane, f"{plane}/{s.kind}"):
                    lists.setdefault("MPJPE" + name, []).append(joints)
                    lists.setdefault("MPVPE" + name, []).append(vertices)
    return {name: mean(errors) for name, errors in lists.items()}


def align(points: np.ndarray, target: np.ndarray, *, reflect: bool) -> np.ndarray:
    """align_w_scale of FreiHAND's eval.py, which may reflect; else by Umeyama."""
    a, b = target - target.mean(0), points - points.mean(0)
    size_a, size_b = np.linalg.norm(a), np.linalg.norm(b)
    R, scale = orthogonal_procrustes(a / size_a, b / size_b)
    if not reflect and np.linalg.det(R) < 0:
        u, s, vt = np.linalg.svd(a.T @ b / size_a / size_b)
        s[2], u[:, 2] = -s[2], -u[:, 2]
        R, scale = u @ vt, s.sum()
    return b / size_b @ R.T * scale * size_a + target.mean(0)


def auc(errors: list[np.ndarray]) -> float:
    """EvalUtil.get_measures(0, 0.05, 100): a curve a point, then the mean area."""
    table, grid = np.stack(errors), np.linspace(0, 50, 100)
    areas = []
    for column in table.T:
        share = [(column <= limit).mean() for limit in grid]
        areas.append(np.trapezoid(share, grid) / 50)
    return float(np.mean(areas))


def f_score(points: np.ndarray, target: np.ndarray, limit: float) -> float:
    recall = (cKDTree(target).query(points)[0] * 1000 < limit).mean()
    precision = (cKDTree(points).query(target)[0] * 1000 < limit).mean()
    both = recall + precision
    return 2 * recall * precision / both if both else 0.0


def server(samples: list[Sample], tips: str, regressor: np.ndarray) -> dict[str, float]:
    """eval.py of FreiHAND, and of HO-3D with its alignment of scale and wrist.

    FreiHAND's model.py regresses the joints from the mesh, HO-3D poses them.
    """
    lists: dict[str, list] = {}
    for s in samples:
        if not (s.present[0] and s.known[0].all()):
            continue
        joints, true = s.joints[0].copy(), s.true_joints[0]
        joints[[4, 8, 12, 16, 20]] = s.vertices[0][TIPS[tips]]
        if tips == "freihand":
            joints = regress(regressor[0], s.vertices[0], tips)
        aligned = align(joints, true, reflect=True)
        size = np.linalg.norm(true[9] - true[0])
        size /= np.linalg.norm(joints[9] - joints[0])
        lists.setdefault("J", []).append(distance(joints, true))
        lists.setdefault("PA-J", []).append(distance(aligned, true))
        lists.setdefault("ST-J", []).append(
            distance((joints - joints[0]) * size + true[0], true)
        )
        if not s.fitted[0]:
            continue
        mesh, true = s.vertices[0], s.true_vertices[0]
        for prefix, points in (("", mesh), ("PA-", align(mesh, true, reflect=True))):
            lists.setdefault(f"{prefix}V", []).append(distance(points, true))
            for limit in (5, 15):
                lists.setdefault(f"{prefix}F@{limit}", []).append(
                    f_score(points, true, limit)
                )
    row = {}
    for prefix in ("", "PA-", "ST-"):
        for kind in ("J", "V"):
            errors = lists.get(prefix + kind)
            if errors:
                row[f"{prefix}MP{kind}PE"] = mean(errors)
                row[f"{prefix}AUC-{kind}"] = auc(errors)
    return row | {n: float(np.mean(v)) for n, v in lists.items() if "F@" in n}
