"""Collisions of two hands: contacts, a differentiable energy, exact penetration."""

from twohand_jax.collision.energy import (
    DEFAULT,
    PRESETS,
    CollisionConfig,
    Contacts,
    colliding_pairs,
    energy,
    find_contacts,
    largest_depth,
    pair_cost,
    preset,
    squared_depths,
)
from twohand_jax.collision.nearest import (
    gather,
    nearest,
    squared_distances,
    vertex_normals,
)
from twohand_jax.collision.penetration import Penetration, measure

__all__ = [
    "DEFAULT",
    "PRESETS",
    "CollisionConfig",
    "Contacts",
    "Penetration",
    "energy",
    "find_contacts",
    "gather",
    "largest_depth",
    "measure",
    "nearest",
    "pair_cost",
    "preset",
    "colliding_pairs",
    "squared_depths",
    "squared_distances",
    "vertex_normals",
]
