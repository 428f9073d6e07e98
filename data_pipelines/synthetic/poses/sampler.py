"""Random two-hand poses: single, apart, near, touching and clasped hands.

Stages work on sets of pairs: host arrays outside, jitted batches inside.
"""

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from twohand_jax import mano
from twohand_jax.errors import InputError
from twohand_jax.pipelines.synthetic.poses import angles as anatomy
from twohand_jax.pipelines.synthetic.poses import contact, draw, placement
from twohand_jax.pipelines.synthetic.poses.angles import clamp_angles
from twohand_jax.pipelines.synthetic.poses.pair import Pair, mirrored, pose, to_params
from twohand_jax.pipelines.synthetic.poses.placement import Placement
from twohand_jax.types import RIGHT, ManoModel, ManoParams

KINDS = ("right", "left", "apart", "near", "touching", "clasped")


class PoseBatch(NamedTuple):
    """Sampled hands in a world frame, host arrays; absent hands hold a pose too.

    ``kind`` indexes ``KINDS``; the world is the right hand's palm frame (or that of its
    mirror image), see ``view.place`` for pictures.
    """

    params: ManoParams
    present: Bool[np.ndarray, "n 2"]
    kind: Int[np.ndarray, "n"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class SamplerConfig:
    """What is sampled and what is let through.

    Attributes:
        weights: how often each of ``KINDS`` is drawn; kinds left out are not.
        hands: noise of poses and shapes.
        settle_steps: steps that open fingers which run into their own hand.
        rounds: times ``round_steps`` steps move two hands out of each other.
        round_steps: steps a round; only pairs that still collide go on.
        self_depth: deepest self-penetration let through, metres.
        depth: deepest penetration between the hands let through, metres.
        max_draws: draws before the sampler gives up on a slot.
    """

    weights: Mapping[str, float] = dataclasses.field(
        default_factory=lambda: {
            "right": 0.12,
            "left": 0.12,
            "apart": 0.16,
            "near": 0.2,
            "touching": 0.2,
            "clasped": 0.2,
        }
    )
    hands: draw.DrawConfig = dataclasses.field(default_factory=draw.DrawConfig)
    settle_steps: int = 6
    rounds: int = 5
    round_steps: int = 5
    self_depth: float = 0.003
    depth: float = 0.002
    max_draws: int = 60


DEFAULT = SamplerConfig()


def sample(
    seed: int,
    count: int,
    *,
    model: ManoModel | None = None,
    config: SamplerConfig = DEFAULT,
) -> PoseBatch:
    """Draw two-hand poses; the same seed and count give the same poses.

    Candidates that still penetrate after separation are drawn again, within their kind.

    Args:
        seed: any non-negative integer.
        count: how many; some hundred a call are fastest.
        model: hand model; None for the embedded open hand.
        config: kinds, noise and tolerances.

    Raises:
        InputError: an unknown kind or no positive weight.
    """
    kit = tools(mano.load() if model is None else model)
    kinds = _draw_kinds(np.random.default_rng((seed, 0)), count, config.weights)
    found, good = _attempt(np.random.default_rng((seed, 1)), kinds, kit, config)
    missing = np.flatnonzero(~good)
    for number in range(2, config.max_draws + 1):
        if len(missing) == 0:
            break
        rng = np.random.default_rng((seed, number))
        # Few slots are left: several candidates each fill the batch.
        slots = np.repeat(missing, max(BATCH // len(missing), 1))
        pairs, good = _attempt(rng, kinds[slots], kit, config)
        filled, first = np.unique(slots[good], return_index=True)
        chosen = take(pairs, np.flatnonzero(good)[first])
        found = write(found, filled, chosen)
        missing = np.setdiff1d(missing, filled)
    if len(missing):
        stuck = sorted({KINDS[k] for k in kinds[missing]})
        raise RuntimeError(
            f"{len(missing)} of {count} poses ({', '.join(stuck)}) still penetrate "
            f"after {config.max_draws} draws; raise depth or self_depth."
        )
    return PoseBatch(pair_params(kit, found), _present(kinds), kinds)


class Tools(NamedTuple):
    """What follows from the hand model alone."""

    model: ManoModel
    bones: anatomy.HandAxes
    places: contact.Meeting
    owner: Float[Array, "778 16"]


def _attempt(
    rng: np.random.Generator,
    kinds: Int[np.ndarray, "n"],
    kit: Tools,
    config: SamplerConfig,
) -> tuple[Pair, Bool[np.ndarray, "n"]]:
    """One candidate for each kind, and whether it may be kept."""
    pair, places = _draw(rng, kinds, kit, config)
    shown = _present(kinds)
    pair, depth = settle(kit, pair, shown, steps=config.settle_steps)
    good = depth < config.self_depth
    pair = join(kit, pair, places)
    opened, both = pair.angles, shown.all(-1)
    joints = pair_joints(kit, pair)
    good &= ~both | arms_clear(joints)
    both &= within_reach(joints)
    clasped = good & (kinds == KINDS.index("clasped"))
    if clasped.any():
        pair, apart = _separate(kit, pair, clasped, config)
        pair = close(kit, pair, np.flatnonzero(clasped & apart), places)
        closed = (clasped & apart)[:, None] & shown
        pair, _ = settle(kit, pair, closed, steps=config.settle_steps)
        good &= apart
    pair, apart = _separate(kit, pair, good & both, config)
    bent = (pair.angles != opened).any(-1) & (good & apart)[:, None]
    _, depth = settle(kit, pair, bent, steps=0)
    good &= apart & (depth < config.self_depth)
    flipped = np.flatnonzero(shown.all(-1) & (rng.random(len(kinds)) < 0.5))
    return mirror(kit, pair, flipped), good


def _separate(
    kit: Tools, pair: Pair, chosen: Bool[np.ndarray, "n"], config: SamplerConfig
) -> tuple[Pair, Bool[np.ndarray, "n"]]:
    return separate(
        kit,
        pair,
        np.flatnonzero(chosen),
        depth=config.depth,
        rounds=config.rounds,
        steps=config.round_steps,
    )


def _draw(
    rng: np.random.Generator,
    kinds: Int[np.ndarray, "n"],
    kit: Tools,
    config: SamplerConfig,
) -> tuple[Pair, placement.Placement]:
    """Poses, shapes and placements as they come, before any of them is resolved."""
    count = len(kinds)
    drawn = [
        placement.arrange(rng, "apart" if k < 2 else KINDS[k], config=config.hands)
        for k in kinds
    ]
    angles, places = jax.tree.map(lambda *x: _single(np.stack(x)), *drawn)
    noise = draw.noise(rng, 2 * count, config=config.hands).reshape(count, 2, 21)
    angles = angles + noise * places.noise[:, None, None]
    wobble = draw.wobble(rng, 2 * count, config=config.hands)
    pair = Pair(
        angles=jnp.asarray(angles, jnp.float32),
        wobble=jnp.asarray(wobble.reshape(count, 2, 15, 3), jnp.float32),
        betas=jnp.asarray(draw.shapes(rng, count, config=config.hands), jnp.float32),
        orient=jnp.zeros((count, 2, 3, 3)),
        wrist=jnp.zeros((count, 2, 3)),
    )
    return clamp(kit, jax.tree.map(np.asarray, pair)), places


def _draw_kinds(
    rng: np.random.Generator, count: int, weights: Mapping[str, float]
) -> Int[np.ndarray, "n"]:
    unknown = set(weights) - set(KINDS)
    values = np.array([weights.get(kind, 0.0) for kind in KINDS])
    if unknown or (values < 0).any() or values.sum() <= 0:
        raise InputError(
            f"Sampler weights {dict(weights)} are not usable: keys must be of "
            f"{', '.join(KINDS)}, values non-negative with a positive sum."
        )
    return rng.choice(len(KINDS), size=count, p=values / values.sum())


def _present(kinds: Int[np.ndarray, "n"]) -> Bool[np.ndarray, "n 2"]:
    right = kinds != KINDS.index("left")
    return np.stack([right, kinds != KINDS.index("right")], axis=-1)


def _single(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float32) if array.dtype == np.float64 else array


LENGTH = 0.2
RADIUS = 0.025
_SAMPLES = 9
# No skin lies this far from the nearest joint, twice over, metres.
_REACH = 0.1


def arms_clear(joints: Float[np.ndarray, "n 2 21 3"]) -> Bool[np.ndarray, "n"]:
    """Whether straight forearms behind both wrists miss each other and the hands.

    Args:
        joints: canonical joints of both hands, metres.
    """
    wrist, middle = joints[..., 0, :], joints[..., 9, :]
    back = wrist - middle
    back = back / np.maximum(np.linalg.norm(back, axis=-1, keepdims=True), 1e-9)
    along = np.linspace(0.03, LENGTH, _SAMPLES)
    arms = wrist[..., None, :] + along[:, None] * back[..., None, :]
    right, left = arms[:, 0], arms[:, 1]
    return (
        (_gap(right, left) > 2 * RADIUS)
        & (_gap(right, joints[:, 1]) > RADIUS)
        & (_gap(left, joints[:, 0]) > RADIUS)
    )


def within_reach(joints: Float[np.ndarray, "n 2 21 3"]) -> Bool[np.ndarray, "n"]:
    """Whether two hands are near enough that they might touch."""
    return _gap(joints[:, 0], joints[:, 1]) < _REACH


def _gap(
    first: Float[np.ndarray, "n a 3"], second: Float[np.ndarray, "n b 3"]
) -> Float[np.ndarray, "n"]:
    offset = first[:, :, None] - second[:, None]
    return np.linalg.norm(offset, axis=-1).min((1, 2))


# One batch size, so that every stage is compiled once.
BATCH = 32
# Self-penetration below this is left alone, metres.
_NEGLIGIBLE = 0.0005


def tools(model: ManoModel) -> Tools:
    """Derive axes, meeting places and vertex owners of a model."""
    owner = jax.nn.one_hot(jnp.argmax(model.weights[RIGHT], axis=-1), 16)
    return Tools(model, anatomy.skeleton(model), contact.meeting(model), owner)


def clamp(kit: Tools, pair: Pair) -> Pair:
    """The pairs with all angles within the limits of the joints."""
    return _apply(_CLAMP, kit, np.arange(len(pair.angles)), pair)


def mirror(kit: Tools, pair: Pair, rows: Int[np.ndarray, "k"]) -> Pair:
    """The pairs with some of them mirrored (``pair.mirrored``)."""
    return write(pair, rows, _apply(_MIRROR, kit, rows, pair))


def settle(
    kit: Tools, pair: Pair, shown: Bool[np.ndarray, "n 2"], *, steps: int
) -> tuple[Pair, Float[np.ndarray, "n"]]:
    """Open fingers that run into their own hand; the depth left, metres."""
    angles, depth = pair.angles.reshape(-1, 21).copy(), np.zeros(shown.size)
    wobble, betas = pair.wobble.reshape(-1, 15, 3), pair.betas.reshape(-1, 10)
    rows = np.flatnonzero(shown)
    for count in (0, steps):
        run = partial(_SETTLE, steps=count)
        angles[rows], depth[rows] = _apply(run, kit, rows, angles, wobble, betas)
        rows = np.flatnonzero(depth > _NEGLIGIBLE)
    pair = pair._replace(angles=angles.reshape(pair.angles.shape))
    return pair, depth.reshape(-1, 2).max(-1)


def join(kit: Tools, pair: Pair, places: Placement) -> Pair:
    """Place the left hands (``contact.join``)."""
    return _apply(_JOIN, kit, np.arange(len(pair.angles)), pair, places)


def close(
    kit: Tools, pair: Pair, rows: Int[np.ndarray, "k"], places: Placement
) -> Pair:
    """Close the hands of some pairs (``contact.close``)."""
    closed = _apply(_CLOSE, kit, rows, pair, places.closed, places.closes)
    return write(pair, rows, closed)


def separate(
    kit: Tools,
    pair: Pair,
    rows: Int[np.ndarray, "k"],
    *,
    depth: float,
    rounds: int,
    steps: int,
) -> tuple[Pair, Bool[np.ndarray, "n"]]:
    """Move the pairs in ``rows`` out of each other, those that collide ever further.

    Returns:
        The pairs, and which of all (true outside ``rows``) collide less than ``depth``.
    """
    good = np.ones(len(pair.angles), bool)
    for number in range(rounds + 1):
        good[rows] = _apply(_DEPTHS, kit, rows, pair) < depth
        rows = rows[~good[rows]]
        if len(rows) == 0 or number == rounds:
            break
        run = partial(_SEPARATE, steps=steps)
        pair = write(pair, rows, _apply(run, kit, rows, pair))
    return pair, good


def pair_joints(kit: Tools, pair: Pair) -> Float[np.ndarray, "n 2 21 3"]:
    """Canonical joints of both hands in the world."""
    return _apply(_JOINTS, kit, np.arange(len(pair.angles)), pair)


def pair_params(kit: Tools, pair: Pair) -> ManoParams:
    """The pairs as model parameters."""
    return _apply(_PARAMS, kit, np.arange(len(pair.angles)), pair)


def take(tree: Any, rows: np.ndarray) -> Any:
    """Some rows of every array."""
    return jax.tree.map(lambda x: np.asarray(x)[rows], tree)


def write(pair: Pair, rows: np.ndarray, values: Pair) -> Pair:
    """The pairs with some rows replaced."""

    def written(whole: np.ndarray, part: np.ndarray) -> np.ndarray:
        copy = np.array(whole)
        copy[rows] = part
        return copy

    return jax.tree.map(written, pair, values)


# Jitted for one batch size each: eager operations would compile for every new count.
_CLAMP = jax.jit(lambda _, pair: pair._replace(angles=clamp_angles(pair.angles)))
_MIRROR = jax.jit(lambda _, pair: mirrored(pair))
_SETTLE = jax.jit(
    lambda kit, *hands, steps: contact.settle_hand(*kit[:3], *hands, steps=steps)
)
_JOIN = jax.jit(lambda kit, *x: contact.join(kit.model, kit.bones, *x))
_CLOSE = jax.jit(lambda kit, *x: contact.close(kit.model, kit.bones, kit.owner, *x))
_DEPTHS = jax.jit(lambda kit, pair: contact.depths(kit.model, kit.bones, pair))
_SEPARATE = jax.jit(
    lambda kit, pair, steps: contact.separate(kit.model, kit.bones, pair, steps=steps)
)
_JOINTS = jax.jit(lambda kit, pair: pose(kit.model, kit.bones, pair).joints)
_PARAMS = jax.jit(lambda kit, pair: to_params(kit.model, kit.bones, pair))


def _apply(
    function: Callable[..., Any],
    kit: Tools,
    rows: Int[np.ndarray, "k"],
    *arguments: Any,
) -> Any:
    """A jitted function of some rows, in batches of one size, the last one padded."""
    count = max(-(-len(rows) // BATCH), 1) * BATCH
    padded = np.resize(rows, count) if len(rows) else np.zeros(count, int)
    parts = [
        jax.tree.map(np.asarray, function(kit, *take(arguments, padded[i : i + BATCH])))
        for i in range(0, count, BATCH)
    ]
    return jax.tree.map(lambda *x: np.concatenate(x)[: len(rows)], *parts)
