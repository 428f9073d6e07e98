"""Samples plausible adult hands as combinations of MPFB2's morph targets.

The macro targets are products of phenotype categories (gender, age, muscle, weight,
height, proportions, ancestry), each interpolated linearly between its categories;
the hand targets (scale, finger length, ...) add to them.
"""

from collections.abc import Iterable, Mapping
from itertools import product
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from data_pipelines.open_hand import mpfb

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


class Targets(NamedTuple):
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


def read_targets(
    source: mpfb.Source, count: int, rows: Int[np.ndarray, " r"]
) -> Targets:
    """All adult macro targets and the right hand's targets, at vertices `rows`."""
    names = _macro_names()
    macro = np.stack([mpfb.read_target(source, n, count)[rows] for n, _ in names])
    hand = {}
    for key, name in _HAND_TARGETS.items():
        more, less = (
            mpfb.read_target(source, f"{name}-{sign}", count)[rows]
            for sign in ("incr", "decr")
        )
        hand[key] = 0.5 * (more - less)
    return Targets([keys for _, keys in names], macro, hand)


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
    targets: Targets, categories: Categories, hand: Mapping[str, float]
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
