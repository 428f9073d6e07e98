"""Hands that touch each other or themselves, and hands moved out of each other."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from twohand_jax import collision, mano
from twohand_jax.geometry import rotations
from twohand_jax.mano.joints import MANO16
from twohand_jax.pipelines.synthetic.poses import angles as anatomy
from twohand_jax.pipelines.synthetic.poses.angles import clamp_angles
from twohand_jax.pipelines.synthetic.poses.pair import Pair, pose
from twohand_jax.pipelines.synthetic.poses.placement import Placement
from twohand_jax.types import LEFT, RIGHT, ManoModel

HIGHEST = jax.lax.Precision.HIGHEST
# Vertices of the two hands meet when they pass each other closer than this, metres.
_PASSING = 0.005
_START = 0.3
CLOSING_STEPS = 10
_BLOCKING_DEPTH = 0.001

_MIRROR = (-1.0, 1.0, 1.0)


def _movers() -> Bool[np.ndarray, "21 16"]:
    """Which model joints' vertices an angle moves: its own segment and those beyond."""
    table = np.zeros((anatomy.COUNT, 16), bool)
    for k, base in enumerate((*anatomy.BASES, MANO16.THUMB_BASE)):
        starts = (0, 0, 1, 2) if k < 4 else (0, 0, 0, 1, 2)
        for number, start in enumerate(starts):
            table[4 * k + number, base + start : base + 3] = True
    return table


_MOVES = _movers()


def join(
    model: ManoModel, bones: anatomy.HandAxes, pair: Pair, placement: Placement
) -> Pair:
    """Put the left hand where the placement says, the right one at the origin.

    The world is the right hand's palm frame. Hands that slide come along the approach
    and stop where the first vertices that would pass each other are ``gap`` apart.
    """
    axes = jnp.asarray(placement.axes)
    left = jnp.einsum(
        "nij,jk->nik", axes, bones.palm * jnp.asarray(_MIRROR), precision=HIGHEST
    )
    right = jnp.broadcast_to(bones.palm, left.shape)
    wrist = jnp.zeros_like(pair.wrist)
    pair = pair._replace(orient=jnp.stack([right, left], axis=-3), wrist=wrist)
    vertices, joints = pose(model, bones, pair)
    anchors = jnp.einsum("nhj,nhjk->nhk", placement.anchors, joints, precision=HIGHEST)
    meeting = anchors[:, RIGHT] - anchors[:, LEFT] + placement.offset
    start = meeting + _START * placement.approach
    moved = vertices[:, LEFT] + start[:, None]
    room = jax.lax.map(_room, (vertices[:, RIGHT], moved, placement.approach))
    reached = start - (room - placement.gap)[:, None] * placement.approach
    place = jnp.where(jnp.asarray(placement.slide)[:, None], reached, meeting)
    return pair._replace(wrist=wrist.at[:, LEFT].set(place))


def _room(
    pair: tuple[Float[Array, "v 3"], Float[Array, "v 3"], Float[Array, "3"]],
) -> Float[Array, ""]:
    """How far the second mesh can go against ``approach`` before it meets the first.

    The full way to the meeting point when the two miss each other.
    """
    first, second, approach = pair
    along = second @ approach - (first @ approach)[:, None]
    squared = sum((second[None, :, k] - first[:, None, k]) ** 2 for k in range(3))
    meets = squared - along**2 < _PASSING**2
    room = jnp.min(jnp.where(meets, along, jnp.inf))
    return jnp.where(jnp.isfinite(room), room, _START)


def close(
    model: ManoModel,
    bones: anatomy.HandAxes,
    owner: Float[Array, "778 16"],
    pair: Pair,
    closed: Float[Array, "n 2 21"],
    closes: Bool[Array, "n 2"],
) -> Pair:
    """Bend the fingers of the closing hands until they meet the other hand.

    Every angle goes its own way in equal steps and stops for good as soon as a segment
    that it moves lies too deep in the other hand; the joints beyond go on.

    Args:
        model: hand model.
        bones: its axes.
        owner: one-hot, the joint that moves each vertex most.
        pair: hands in place, fingers open.
        closed: angles at full closure.
        closes: which hands close.
    """
    start = pair.angles

    def at(progress: Array) -> Pair:
        return pair._replace(angles=start + progress * (closed - start))

    def step(state: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], None]:
        progress, active = state
        trial = jnp.minimum(progress + active / CLOSING_STEPS, 1.0)
        blocked = _blocked(model, bones, owner, at(trial))
        return (jnp.where(blocked, progress, trial), active & ~blocked), None

    progress = jnp.zeros_like(start)
    active = jnp.broadcast_to(closes[..., None], start.shape)
    (progress, _), _ = jax.lax.scan(step, (progress, active), length=CLOSING_STEPS)
    return at(progress)


def _blocked(
    model: ManoModel,
    bones: anatomy.HandAxes,
    owner: Float[Array, "778 16"],
    pair: Pair,
) -> Bool[Array, "n 2 21"]:
    vertices, _ = pose(model, bones, pair)
    contacts = collision.find_contacts(
        vertices[:, RIGHT], vertices[:, LEFT], model.faces[RIGHT], model.faces[LEFT]
    )
    hit = jnp.stack(
        [
            contacts.collides_a & (contacts.depth_a > _BLOCKING_DEPTH),
            contacts.collides_b & (contacts.depth_b > _BLOCKING_DEPTH),
        ],
        axis=1,
    )
    segments = jnp.einsum("nhv,vj->nhj", hit.astype(owner.dtype), owner)
    return jnp.einsum("nhj,aj->nha", segments, jnp.asarray(_MOVES, owner.dtype)) > 0


# Every third vertex is asked: they lie some 5 mm apart.
_STRIDE = 3
_RULE = collision.CollisionConfig(angle=1.3, cutoff=0.012, average="none")
# Angle that moves a fingertip, some 5 cm away, by one metre of depth.
_RADIANS_A_METRE = 12.0
_LARGEST_STEP = 0.08

_INDEX, _MIDDLE, _PINKY, _RING, _THUMB = ((k, k + 1, k + 2) for k in (1, 4, 7, 10, 13))
_PALM = (0, 13)
_FACING = (
    (_THUMB[1:], _INDEX + _MIDDLE + _RING + _PINKY),
    (_INDEX, _MIDDLE),
    (_MIDDLE, _RING),
    (_RING, _PINKY),
    ((3, 6, 9, 12, 15), _PALM),
)


class Meeting(NamedTuple):
    """Vertices that are asked, and the vertices of the same hand each may not enter."""

    asked: Int[Array, "q"]
    barred: Bool[Array, "q 778"]


def meeting(model: ManoModel) -> Meeting:
    """The parts of a hand that can meet, by the joint that moves each vertex most."""
    owner = np.argmax(np.asarray(model.weights[RIGHT]), axis=-1)
    facing = np.zeros((16, 16), bool)
    for asked, others in _FACING:
        facing[np.ix_(asked, others)] = True
    rows = np.flatnonzero(facing[owner].any(-1))[::_STRIDE]
    return Meeting(jnp.asarray(rows), jnp.asarray(~facing[owner[rows]][:, owner]))


def measure_meeting(
    places: Meeting,
    vertices: Float[Array, "*b 778 3"],
    faces: Int[Array, "f 3"],
) -> tuple[Float[Array, "*b"], Float[Array, "*b"]]:
    """Energy of one hand against itself, and the largest depth in metres."""
    held = jax.lax.stop_gradient(vertices)
    normals = collision.vertex_normals(held, faces)
    asked = vertices[..., places.asked, :]
    index, _ = collision.nearest(asked, held, barred=places.barred)
    hit, depth = collision.colliding_pairs(
        held[..., places.asked, :],
        held,
        normals[..., places.asked, :],
        normals,
        index,
        config=_RULE,
    )
    near = collision.gather(vertices, index)
    energy = collision.pair_cost(asked, near, hit, config=_RULE)
    return energy, jnp.max(jnp.where(hit, depth, 0.0), axis=-1)


def settle_hand(
    model: ManoModel,
    bones: anatomy.HandAxes,
    places: Meeting,
    angles: Float[Array, "n 21"],
    wobble: Float[Array, "n 15 3"],
    betas: Float[Array, "n 10"],
    *,
    steps: Int[Array, ""] | int,
) -> tuple[Float[Array, "n 21"], Float[Array, "n"]]:
    """Open fingers that run into each other, within the joints' limits.

    Each step follows the energy's gradient, as far as the present depth asks for.

    Args:
        model: hand model; its right hand is used.
        bones: its axes.
        places: where it can meet itself.
        angles: anatomical angles, radians.
        wobble: small rotation of each joint on top of them.
        betas: shape.
        steps: number of steps, traced: one compilation serves all.

    Returns:
        The angles, and the depth that is left in metres.
    """
    turn = rotations.axis_angle_to_matrix(wobble)

    def energy(angles: Array) -> tuple[Array, Array]:
        joints = jnp.matmul(anatomy.to_matrices(bones, angles), turn, precision=HIGHEST)
        still = jnp.zeros((3,))
        vertices, _ = mano.forward_side(model, RIGHT, jnp.eye(3), joints, betas, still)
        value, depth = measure_meeting(places, vertices, model.faces[RIGHT])
        return jnp.sum(value), depth

    def step(_: Array, angles: Array) -> Array:
        gradient, depth = jax.grad(energy, has_aux=True)(angles)
        length = jnp.max(jnp.abs(gradient), axis=-1, keepdims=True)
        reach = jnp.clip(_RADIANS_A_METRE * depth, 0.0, _LARGEST_STEP)[:, None]
        moved = angles - reach * gradient / jnp.maximum(length, 1e-12)
        return jnp.where(depth[:, None] > 0, clamp_angles(moved), angles)

    angles = jax.lax.fori_loop(0, steps, step, angles)
    return angles, energy(angles)[1]


_DESCENT = collision.CollisionConfig(average="none")
# Every second vertex takes part in the descent; the verdict is on all of them.
_SEPARATION_STRIDE = 2
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
        config=_DESCENT,
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
        collision.vertex_normals(held[:, side], model.faces[side])[
            :, ::_SEPARATION_STRIDE
        ]
        for side in (RIGHT, LEFT)
    ]
    hands = [vertices[:, side, ::_SEPARATION_STRIDE] for side in (RIGHT, LEFT)]
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
            config=_DESCENT,
        )
        value += collision.pair_cost(asked, near, hit, config=_DESCENT)
        depth = jnp.maximum(depth, jnp.max(jnp.where(hit, below, 0.0), axis=-1))
    return value, depth
