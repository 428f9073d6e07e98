"""Where one hand runs into itself: thumb and fingers, neighbours, tips and palm."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from data_pipelines.synthetic.poses import angles as anatomy
from data_pipelines.synthetic.poses import limits
from twohand_jax import collision, mano
from twohand_jax.geometry import rotations
from twohand_jax.types import RIGHT, ManoModel

HIGHEST = jax.lax.Precision.HIGHEST
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


def measure(
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


def settle(
    model: ManoModel,
    bones: anatomy.Skeleton,
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
        value, depth = measure(places, vertices, model.faces[RIGHT])
        return jnp.sum(value), depth

    def step(_: Array, angles: Array) -> Array:
        gradient, depth = jax.grad(energy, has_aux=True)(angles)
        length = jnp.max(jnp.abs(gradient), axis=-1, keepdims=True)
        reach = jnp.clip(_RADIANS_A_METRE * depth, 0.0, _LARGEST_STEP)[:, None]
        moved = angles - reach * gradient / jnp.maximum(length, 1e-12)
        return jnp.where(depth[:, None] > 0, limits.clamp(moved), angles)

    angles = jax.lax.fori_loop(0, steps, step, angles)
    return angles, energy(angles)[1]
