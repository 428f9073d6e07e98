"""How far two hands penetrate each other, as a differentiable energy (METHOD §6).

The nearest vertex of the other hand decides whether a vertex collides. The energy is
the robust distance of all colliding pairs. The choice of pairs has no gradient; the
distances have one.
"""

import dataclasses
import math
from typing import Literal, NamedTuple

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from twohand_jax import switches
from twohand_jax.collision.nearest import gather, nearest, vertex_normals
from twohand_jax.errors import InputError


@dataclasses.dataclass(frozen=True, kw_only=True)
class CollisionConfig:
    """Which pairs of vertices collide, and what each of them costs.

    Attributes:
        half_space: whether a colliding vertex must lie behind its neighbour's tangent
            plane.
        angle: smallest angle between the two normals, radians; None for any.
        cutoff: largest distance of the two vertices, metres; None for any.
        rho: distance at which the robust cost d² / (d² + rho²) is one half, metres.
        coordinatewise: whether the robust cost is taken of each coordinate separately
            and averaged.
        directions: vertices of ``a`` against ``b``, the reverse, or both.
        stop_gradient: the hand that is held fixed as reference; None if both move.
        average: whether the sum is divided by the number of colliding pairs of both
            directions together or of each direction separately; "none" keeps the sum.
        weight: factor on the whole energy.
    """

    half_space: bool = True
    angle: float | None = 1.0
    cutoff: float | None = 0.02
    rho: float = 0.05
    coordinatewise: bool = False
    directions: Literal["both", "a", "b"] = "both"
    stop_gradient: Literal["a", "b"] | None = None
    average: Literal["pooled", "direction", "none"] = "pooled"
    weight: float = 1.0


DEFAULT = CollisionConfig()
# "paper": its printed criterion, the angle alone (its sign and rho misprints put
# right). "interhandgen": its released guidance, the half-space alone.
PRESETS = {
    "default": DEFAULT,
    "paper": CollisionConfig(half_space=False, cutoff=None),
    "interhandgen": CollisionConfig(
        angle=None, cutoff=None, coordinatewise=True, average="direction", weight=1000.0
    ),
}


def preset(name: str) -> CollisionConfig:
    """Configuration by name: "default", "paper" or "interhandgen"."""
    if name not in PRESETS:
        known = ", ".join(PRESETS)
        raise InputError(
            f"Unknown collision preset {name!r}; choose one of {known}, or build a "
            "CollisionConfig."
        )
    return PRESETS[name]


class Contacts(NamedTuple):
    """Nearest neighbours of both hands' vertices, and which of these pairs collide."""

    index_a: Int[Array, "*b n"]
    index_b: Int[Array, "*b m"]
    collides_a: Bool[Array, "*b n"]
    collides_b: Bool[Array, "*b m"]
    depth_a: Float[Array, "*b n"]
    depth_b: Float[Array, "*b m"]


@switches.promotions()
def energy(
    vertices_a: Float[Array, "*b n 3"],
    vertices_b: Float[Array, "*b m 3"],
    faces_a: Int[Array, "f 3"],
    faces_b: Int[Array, "g 3"],
    *,
    config: CollisionConfig = DEFAULT,
    contacts: Contacts | None = None,
) -> Float[Array, "*b"]:
    """Collision energy of two meshes; exactly 0 when no pair collides.

    Args:
        vertices_a: vertices of one hand, metres.
        vertices_b: vertices of the other hand, metres.
        faces_a: faces with outward winding.
        faces_b: faces with outward winding.
        config: the criteria and the cost.
        contacts: the result of ``find_contacts`` for these meshes, if it is known.
    """
    chex.assert_shape([vertices_a, vertices_b], (..., None, 3))
    chex.assert_shape([faces_a, faces_b], (None, 3))
    if contacts is None:
        contacts = find_contacts(
            vertices_a, vertices_b, faces_a, faces_b, config=config
        )
    a, b = _hold(vertices_a, "a", config), _hold(vertices_b, "b", config)
    near_a, near_b = gather(b, contacts.index_a), gather(a, contacts.index_b)
    cost_a = pair_cost(a, near_a, contacts.collides_a, config=config)
    cost_b = pair_cost(b, near_b, contacts.collides_b, config=config)
    count_a = jnp.sum(contacts.collides_a, axis=-1)
    count_b = jnp.sum(contacts.collides_b, axis=-1)
    if config.average == "none":
        return config.weight * (cost_a + cost_b)
    if config.average == "direction":
        mean_a = cost_a / jnp.maximum(count_a, 1)
        return config.weight * (mean_a + cost_b / jnp.maximum(count_b, 1))
    return config.weight * (cost_a + cost_b) / jnp.maximum(count_a + count_b, 1)


@switches.promotions()
def find_contacts(
    vertices_a: Float[Array, "*b n 3"],
    vertices_b: Float[Array, "*b m 3"],
    faces_a: Int[Array, "f 3"],
    faces_b: Int[Array, "g 3"],
    *,
    config: CollisionConfig = DEFAULT,
) -> Contacts:
    """Find the colliding pairs in both directions, without a gradient.

    ``depth`` is the distance of a vertex behind its neighbour's tangent plane in
    metres, negative in front of it, whether or not the pair collides.
    """
    a, b = jax.lax.stop_gradient((vertices_a, vertices_b))
    normals_a, normals_b = vertex_normals(a, faces_a), vertex_normals(b, faces_b)
    index_a, index_b = nearest(a, b)
    collides_a, depth_a = colliding_pairs(
        a, b, normals_a, normals_b, index_a, config=config
    )
    collides_b, depth_b = colliding_pairs(
        b, a, normals_b, normals_a, index_b, config=config
    )
    return Contacts(
        index_a=index_a,
        index_b=index_b,
        collides_a=collides_a & (config.directions != "b"),
        collides_b=collides_b & (config.directions != "a"),
        depth_a=depth_a,
        depth_b=depth_b,
    )


@switches.promotions()
def squared_depths(
    vertices_a: Float[Array, "*b n 3"],
    vertices_b: Float[Array, "*b m 3"],
    faces_a: Int[Array, "f 3"],
    faces_b: Int[Array, "g 3"],
    *,
    config: CollisionConfig = DEFAULT,
) -> Float[Array, "*b"]:
    """Sum of the colliding vertices' squared depths behind their neighbours, m².

    Unlike ``energy`` it grows with the depth alone, and so with how far the hands would
    have to move to be apart. Neighbours and normals have no gradient.
    """
    found = find_contacts(vertices_a, vertices_b, faces_a, faces_b, config=config)

    def one_way(
        query: Array, target: Array, faces: Array, index: Array, hit: Array
    ) -> Float[Array, "*b"]:
        normals = jax.lax.stop_gradient(vertex_normals(target, faces))
        towards = gather(target, index) - query
        depth = jnp.sum(towards * gather(normals, index), axis=-1)
        return jnp.sum(jnp.where(hit, depth, 0.0) ** 2, axis=-1)

    a, b = _hold(vertices_a, "a", config), _hold(vertices_b, "b", config)
    return one_way(a, b, faces_b, found.index_a, found.collides_a) + one_way(
        b, a, faces_a, found.index_b, found.collides_b
    )


@switches.promotions()
def largest_depth(contacts: Contacts) -> Float[Array, "*b"]:
    """Depth of the deepest colliding vertex below the other's tangent planes, metres.

    This is a fast estimate with static shapes; ``penetration.measure`` is exact.
    """
    depth_a = jnp.where(contacts.collides_a, contacts.depth_a, 0.0)
    depth_b = jnp.where(contacts.collides_b, contacts.depth_b, 0.0)
    return jnp.maximum(jnp.max(depth_a, axis=-1), jnp.max(depth_b, axis=-1))


@switches.promotions()
def colliding_pairs(
    query: Float[Array, "*b n 3"],
    target: Float[Array, "*b m 3"],
    normals_query: Float[Array, "*b n 3"],
    normals_target: Float[Array, "*b m 3"],
    index: Int[Array, "*b n"],
    *,
    config: CollisionConfig,
) -> tuple[Bool[Array, "*b n"], Float[Array, "*b n"]]:
    """Which vertices collide with their neighbours ``index`` in ``target``.

    Returns:
        The mask, and each vertex' distance behind the neighbour's tangent plane in
        metres.
    """
    towards = gather(target, index) - query
    normal = gather(normals_target, index)
    depth = jnp.sum(towards * normal, axis=-1)
    hit = jnp.ones(depth.shape, bool)
    if config.half_space:
        hit &= depth > 0
    if config.angle is not None:
        hit &= jnp.sum(normals_query * normal, axis=-1) < math.cos(config.angle)
    if config.cutoff is not None:
        hit &= jnp.sum(towards**2, axis=-1) < config.cutoff**2
    return hit, depth


def _hold(
    vertices: Float[Array, "*b n 3"], name: str, config: CollisionConfig
) -> Float[Array, "*b n 3"]:
    return jax.lax.stop_gradient(vertices) if config.stop_gradient == name else vertices


@switches.promotions()
def pair_cost(
    query: Float[Array, "*b n 3"],
    neighbour: Float[Array, "*b n 3"],
    collides: Bool[Array, "*b n"],
    *,
    config: CollisionConfig,
) -> Float[Array, "*b"]:
    """Geman-McClure cost of the colliding pairs, summed over the vertices."""
    offset = jnp.where(collides[..., None], query - neighbour, 0.0)
    squared = offset**2
    if config.coordinatewise:
        robust = jnp.mean(squared / (squared + config.rho**2), axis=-1)
    else:
        distance = jnp.sum(squared, axis=-1)
        robust = distance / (distance + config.rho**2)
    return jnp.sum(robust, axis=-1)
