"""True pairs made worse in known ways: what refinement can be judged by.

The left hand is the one that is worse seen, by its score and its visible area; the
right hand is true. A hand whose fingers are hidden has keypoints that say so.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from twohand_jax import mano
from twohand_jax.evaluation.prior.pairs import Pairs
from twohand_jax.mano.joints import CANONICAL, MANO16, WRIST
from twohand_jax.types import LEFT, RIGHT, ManoModel, ManoParams

SIZES = {"half the noise": 0.5, "the noise": 1.0, "twice the noise": 2.0}
HIDDEN = "hidden fingers"


def cases(pairs: Pairs, model: ManoModel) -> dict[str, Pairs]:
    """The true hands with three sizes of noise, and with fingers hidden."""
    keys = jax.random.split(jax.random.key(0), len(SIZES) + 1)
    found = {
        f"true pairs, one hand off by {name}": disturbed(pairs, model, key, size=size)
        for (name, size), key in zip(SIZES.items(), keys[1:], strict=True)
    }
    return found | {HIDDEN: hidden_fingers(pairs, model, keys[0])}


def disturbed(
    pairs: Pairs,
    model: ManoModel,
    key: Key[Array, ""],
    *,
    size: float = 1.0,
    transl_m: float = 0.01,
    orient: float = 0.15,
    pose: float = 0.1,
) -> Pairs:
    """The true hands as estimates, the left one disturbed by noise.

    Args:
        pairs: whose labels are taken.
        model: hand model.
        key: decides every number.
        size: factor on the standard deviations, which are per coordinate.
        transl_m: metres.
        orient: radians, of the global orientation.
        pose: radians, of each finger joint.
    """
    truth = pairs.targets.mano
    keys = jax.random.split(key, 3)
    spread = ManoParams(orient, pose, 0.0, transl_m)
    noise = ManoParams(
        *(
            size * scale * jax.random.normal(k, leaf.shape)
            for k, leaf, scale in zip(
                (keys[0], keys[1], keys[1], keys[2]), truth, spread, strict=True
            )
        )
    )
    is_left = jnp.arange(2) == LEFT
    params = jax.tree.map(
        lambda leaf, n: leaf + jnp.where(_like(is_left, leaf), n, 0.0), truth, noise
    )
    seen = np.ones((len(pairs.visible), 2, 21), np.float32)
    return _estimates(pairs, model, params, seen)


def hidden_fingers(
    pairs: Pairs, model: ManoModel, key: Key[Array, ""], *, share: float = 0.5
) -> Pairs:
    """The true hands as estimates, but some fingers of the left one in the mean pose.

    Args:
        pairs: whose labels are taken.
        model: hand model.
        key: decides which fingers.
        share: of the fingers that are hidden.
    """
    truth = pairs.targets.mano
    count = len(pairs.visible)
    hidden = np.array(jax.random.bernoulli(key, share, (count, len(CANONICAL))))
    bent = np.array(truth.hand_pose)
    seen = np.ones((count, 2, 21), np.float32)
    for finger, (base, first) in enumerate(zip(MANO16, CANONICAL, strict=True)):
        rows = hidden[:, finger]
        bent[rows, LEFT, base - 1 : base + 2] = 0.0
        seen[rows, LEFT, first + 1 : first + 4] = 0.0
    return _estimates(pairs, model, truth._replace(hand_pose=bent), seen)


def _estimates(
    pairs: Pairs,
    model: ManoModel,
    params: ManoParams,
    seen: Float[np.ndarray, "n 2 21"],
) -> Pairs:
    """The hands as estimates; the right one is seen better."""
    geometry = _pose(model, params)
    wrists = geometry.joints[:, :, WRIST]
    better = np.where(np.arange(2) == RIGHT, 1.0, 0.5).astype(np.float32)
    score = np.broadcast_to(better, pairs.prediction.score.shape)
    prediction = pairs.prediction._replace(
        mano=params,
        geometry=geometry,
        rel_trans=wrists[:, LEFT] - wrists[:, RIGHT],
        score=score,
    )
    where = np.array(pairs.keypoints[..., :2])
    keypoints = np.concatenate([where, seen[..., None]], axis=-1)
    made: Any = (prediction, pairs.targets, keypoints, score)
    return Pairs(*jax.tree.map(np.asarray, made))


_pose = jax.jit(mano.forward)


def _like(mask: Array, leaf: Array) -> Array:
    return mask.reshape(mask.shape + (1,) * (leaf.ndim - 2))
