"""The sampler's stages on sets of pairs: host arrays outside, jitted batches inside."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from data_pipelines.synthetic.poses import angles as anatomy
from data_pipelines.synthetic.poses import contact, separation
from data_pipelines.synthetic.poses.angles import clamp_angles
from data_pipelines.synthetic.poses.pair import Pair, mirrored, pose, to_params
from data_pipelines.synthetic.poses.placement import Placement
from twohand_jax.types import RIGHT, ManoModel, ManoParams

# One batch size, so that every stage is compiled once.
BATCH = 32
# Self-penetration below this is left alone, metres.
_NEGLIGIBLE = 0.0005


class Tools(NamedTuple):
    """What follows from the hand model alone."""

    model: ManoModel
    bones: anatomy.HandAxes
    places: contact.Meeting
    owner: Float[Array, "778 16"]


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


def joints(kit: Tools, pair: Pair) -> Float[np.ndarray, "n 2 21 3"]:
    """Canonical joints of both hands in the world."""
    return _apply(_JOINTS, kit, np.arange(len(pair.angles)), pair)


def params(kit: Tools, pair: Pair) -> ManoParams:
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
_DEPTHS = jax.jit(lambda kit, pair: separation.depths(kit.model, kit.bones, pair))
_SEPARATE = jax.jit(
    lambda kit, pair, steps: separation.separate(
        kit.model, kit.bones, pair, steps=steps
    )
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
