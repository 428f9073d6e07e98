"""Moving two hands out of each other by descent on the collision energy."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from data_pipelines.synthetic.poses import angles as anatomy
from data_pipelines.synthetic.poses.angles import clamp_angles
from data_pipelines.synthetic.poses.pair import Pair, pose
from twohand_jax import collision
from twohand_jax.geometry import rotations
from twohand_jax.types import LEFT, RIGHT, ManoModel

HIGHEST = jax.lax.Precision.HIGHEST
_RULE = collision.CollisionConfig(average="none")
# Every second vertex takes part in the descent; the verdict is on all of them.
_STRIDE = 2
# What moves a surface by one metre: the lever of a turned hand and of a bent finger.
_HAND_LEVER = 0.1
_FINGER_LEVER = 0.06
# Share of the present depth that one step covers.
_GAIN = 0.6


class PairMotion(NamedTuple):
    """What descent may change, each scaled to metres of the surface."""

    shift: Float[Array, "n 3"]
    turn: Float[Array, "n 3"]
    bend: Float[Array, "n 2 21"]


def depths(model: ManoModel, bones: anatomy.HandAxes, pair: Pair) -> Float[Array, "n"]:
    """Largest depth of either hand in the other, metres."""
    vertices, _ = pose(model, bones, pair)
    contacts = collision.find_contacts(
        vertices[:, RIGHT],
        vertices[:, LEFT],
        model.faces[RIGHT],
        model.faces[LEFT],
        config=_RULE,
    )
    return collision.largest_depth(contacts)


def separate(
    model: ManoModel,
    bones: anatomy.HandAxes,
    pair: Pair,
    *,
    steps: Int[Array, ""] | int,
) -> Pair:
    """Shift and turn the left hand and bend all fingers until nothing collides.

    A step goes down the gradient, as far as the present depth asks for; pairs that do
    not collide stay exactly as they are. Angles stay within the joints' limits.
    """
    zero = PairMotion(
        jnp.zeros_like(pair.wrist[:, LEFT]),
        jnp.zeros_like(pair.wrist[:, LEFT]),
        jnp.zeros_like(pair.angles),
    )

    def energy(motion: PairMotion, pair: Pair) -> tuple[Array, Array]:
        vertices, _ = pose(model, bones, moved(pair, motion))
        value, depth = _coarse_energy(model, vertices)
        return jnp.sum(value), depth

    def step(_: Array, pair: Pair) -> Pair:
        gradient, depth = jax.grad(energy, has_aux=True)(zero, pair)
        squares = [jnp.max(g**2, axis=tuple(range(1, g.ndim))) for g in gradient]
        length = jnp.sqrt(jnp.maximum(sum(squares), 1e-20))
        reach = -_GAIN * depth / length
        motion = PairMotion(
            *(g * reach.reshape(-1, *[1] * (g.ndim - 1)) for g in gradient)
        )
        return moved(pair, motion)

    return jax.lax.fori_loop(0, steps, step, pair)


def moved(pair: Pair, motion: PairMotion) -> Pair:
    """The pair after a motion of the left hand (about its wrist) and of all fingers."""
    turn = rotations.axis_angle_to_matrix(motion.turn / _HAND_LEVER)
    left = jnp.matmul(turn, pair.orient[:, LEFT], precision=HIGHEST)
    angles = pair.angles + motion.bend / _FINGER_LEVER
    return pair._replace(
        angles=clamp_angles(angles),
        orient=pair.orient.at[:, LEFT].set(left),
        wrist=pair.wrist.at[:, LEFT].add(motion.shift),
    )


def _coarse_energy(
    model: ManoModel, vertices: Float[Array, "n 2 778 3"]
) -> tuple[Float[Array, "n"], Float[Array, "n"]]:
    """``collision.energy`` and the depth on every second vertex, four times as fast."""
    held = jax.lax.stop_gradient(vertices)
    normals = [
        collision.vertex_normals(held[:, side], model.faces[side])[:, ::_STRIDE]
        for side in (RIGHT, LEFT)
    ]
    hands = [vertices[:, side, ::_STRIDE] for side in (RIGHT, LEFT)]
    found = collision.nearest(*hands)
    value, depth = jnp.zeros(len(vertices)), jnp.zeros(len(vertices))
    for this, other in ((RIGHT, LEFT), (LEFT, RIGHT)):
        asked, near = hands[this], collision.gather(hands[other], found[this])
        hit, below = collision.colliding_pairs(
            jax.lax.stop_gradient(asked),
            jax.lax.stop_gradient(hands[other]),
            normals[this],
            normals[other],
            found[this],
            config=_RULE,
        )
        value += collision.pair_cost(asked, near, hit, config=_RULE)
        depth = jnp.maximum(depth, jnp.max(jnp.where(hit, below, 0.0), axis=-1))
    return value, depth
