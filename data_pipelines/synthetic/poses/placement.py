"""Drawing where the left hand goes relative to the right one, on the host."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy.spatial.transform import Rotation

from twohand_jax.pipelines.synthetic.poses import draw, library

# Share of near and touching pairs whose arrangement is not a template but random.
FREE_SHARE = 0.3
NEAR_GAP = (0.004, 0.06)
APART_DISTANCE = (0.16, 0.42)


class Placement(NamedTuple):
    """Where the left hand goes, in the right hand's palm frame, metres.

    ``axes`` has the columns distal, palmar, radial of the left hand; ``anchors`` the
    joint weights of the points brought together, ``offset`` apart; with ``slide`` the
    left hand then comes along ``approach`` until it is ``gap`` away. ``closed`` are the
    angles towards which the hands in ``closes`` close. ``noise`` scales the noise that
    the poses still get.
    """

    axes: Float[np.ndarray, "n 3 3"]
    approach: Float[np.ndarray, "n 3"]
    anchors: Float[np.ndarray, "n 2 21"]
    offset: Float[np.ndarray, "n 3"]
    gap: Float[np.ndarray, "n"]
    slide: Bool[np.ndarray, "n"]
    closed: Float[np.ndarray, "n 2 21"]
    closes: Bool[np.ndarray, "n 2"]
    noise: Float[np.ndarray, "n"]


def arrange(
    rng: np.random.Generator, kind: str, *, config: draw.DrawConfig
) -> tuple[Float[np.ndarray, "2 21"], Placement]:
    """Angles of both hands and their placement, one pair of a kind.

    Args:
        rng: source of randomness.
        kind: "apart", "near", "touching" or "clasped".
        config: how poses are blended.
    """
    if kind == "apart":
        return _apart(rng, config)
    gap = rng.uniform(*NEAR_GAP) if kind == "near" else rng.uniform(-0.001, 0.001)
    if kind != "clasped" and rng.random() < FREE_SHARE:
        return _free(rng, gap, config)
    table = library.CLASPED if kind == "clasped" else library.TOUCHING
    weights = np.array([t.weight for t in table.values()])
    name = list(table)[rng.choice(len(table), p=weights / weights.sum())]
    return from_template(rng, table[name], gap=gap)


def from_template(
    rng: np.random.Generator, template: library.Template, *, gap: float
) -> tuple[Float[np.ndarray, "2 21"], Placement]:
    """A random instance of one arrangement."""
    angles = np.stack(
        [draw.between(rng, template.right), draw.between(rng, template.left)]
    )
    axis, low, high = template.turn
    turn = np.deg2rad(rng.uniform(low, high)) * np.asarray(axis)
    tilt = np.deg2rad(rng.normal(0.0, template.tilt, 3) / np.sqrt(3))
    rotation = Rotation.from_rotvec(tilt) * Rotation.from_rotvec(turn)
    approach = np.asarray(template.approach) / np.linalg.norm(template.approach)
    closed = np.stack(
        [
            library.named(n) if n else a
            for n, a in zip(template.close, angles, strict=True)
        ]
    )
    return angles, Placement(
        axes=rotation.as_matrix() @ library.left_axes(template),
        approach=approach,
        anchors=np.stack([library.anchor_weights(n) for n in template.anchors]),
        offset=np.asarray(template.offset) + rng.normal(0.0, template.jitter, 3),
        gap=np.asarray(gap),
        slide=np.asarray(template.slide),
        closed=closed,
        closes=np.array([name != "" for name in template.close]),
        noise=np.asarray(template.noise),
    )


def _free(
    rng: np.random.Generator, gap: float, config: draw.DrawConfig
) -> tuple[Float[np.ndarray, "2 21"], Placement]:
    """Any poses, any rotation, from any side."""
    approach = rng.normal(size=3)
    approach /= np.linalg.norm(approach)
    axes = Rotation.random(random_state=rng).as_matrix() * [1.0, 1.0, -1.0]
    return _loose(rng, axes, approach, gap, 0.02, True, config)


def _apart(
    rng: np.random.Generator, config: draw.DrawConfig
) -> tuple[Float[np.ndarray, "2 21"], Placement]:
    """The left hand beside the right one, roughly its mirror image, at a distance."""
    tilt = Rotation.from_rotvec(np.deg2rad(rng.normal(0.0, 40.0, 3)))
    side = rng.normal([0.0, 0.0, 1.2], [0.5, 0.5, 0.4])
    side /= np.linalg.norm(side)
    axes = tilt.as_matrix() @ np.diag([1.0, 1.0, -1.0])
    distance = rng.uniform(*APART_DISTANCE)
    return _loose(rng, axes, side, distance, 0.03, False, config)


def _loose(
    rng: np.random.Generator,
    axes: Float[np.ndarray, "3 3"],
    approach: Float[np.ndarray, "3"],
    distance: float,
    jitter: float,
    slide: bool,
    config: draw.DrawConfig,
) -> tuple[Float[np.ndarray, "2 21"], Placement]:
    angles = draw.blends(rng, 2, config=config)
    offset = rng.normal(0.0, jitter, 3)
    return angles, Placement(
        axes=axes,
        approach=approach,
        anchors=np.stack([library.anchor_weights("palm")] * 2),
        offset=offset if slide else offset + distance * approach,
        gap=np.asarray(distance),
        slide=np.asarray(slide),
        closed=angles,
        closes=np.zeros(2, bool),
        noise=np.asarray(1.0),
    )
