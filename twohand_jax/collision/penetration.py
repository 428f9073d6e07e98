"""Exact penetration of two closed meshes, for evaluation (METHOD §6)."""

import concurrent.futures
import functools
import multiprocessing
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from twohand_jax import extras, switches
from twohand_jax.collision.surface import surface_distance, winding_number
from twohand_jax.errors import InputError

CONTACT_DISTANCE = 0.002
PIECE = 128  # points are padded to a multiple, so that few programs are compiled


class Penetration(NamedTuple):
    """How far two hands penetrate each other.

    Attributes:
        max_depth_mm: depth of the deepest vertex of either hand below the other's
            surface.
        volume_cm3: volume shared by the closed meshes; NaN if it was not asked for.
        contact_ratio: share of all vertices that are inside the other hand or within
            the contact distance of its surface.
    """

    max_depth_mm: Float[np.ndarray, "*b"]
    volume_cm3: Float[np.ndarray, "*b"]
    contact_ratio: Float[np.ndarray, "*b"]


@switches.promotions()
def measure(
    vertices_a: Float[np.ndarray, "*b n 3"],
    vertices_b: Float[np.ndarray, "*b m 3"],
    faces_a: Int[np.ndarray, "f 3"],
    faces_b: Int[np.ndarray, "g 3"],
    *,
    contact_distance: float = CONTACT_DISTANCE,
    volume: bool = True,
    workers: int = 0,
) -> Penetration:
    """Measure every pair of a batch.

    Args:
        vertices_a: vertices of one hand, metres.
        vertices_b: vertices of the other hand, metres.
        faces_a: faces of a closed mesh with outward winding
            (``mano.topology.close_wrist``).
        faces_b: faces of a closed mesh with outward winding.
        contact_distance: largest distance at which a vertex touches the other surface,
            metres.
        volume: whether to compute the shared volume (needs manifold3d).
        workers: processes that share the work on volumes; 0 for this process alone.

    Raises:
        InputError: batch shapes differ, or a coordinate is not finite.
        MissingDependencyError: volumes were asked for and manifold3d is not installed.
    """
    a, b = np.asarray(vertices_a), np.asarray(vertices_b)
    faces_a, faces_b = np.asarray(faces_a), np.asarray(faces_b)
    chex.assert_shape([a, b], (..., None, 3))
    chex.assert_shape([faces_a, faces_b], (None, 3))
    _check(a, b, volume)
    depth_a, touching_a = _against(a, b, faces_b, contact_distance)
    depth_b, touching_b = _against(b, a, faces_a, contact_distance)
    touching = np.concatenate([touching_a, touching_b], axis=-1)
    if volume:
        volumes = _volumes(a, b, faces_a, faces_b, workers)
    else:
        volumes = np.full(a.shape[:-2], np.nan)
    return Penetration(
        max_depth_mm=1e3 * np.maximum(depth_a, depth_b),
        volume_cm3=1e6 * volumes,
        contact_ratio=touching.mean(-1),
    )


def intersection_volume(
    vertices_a: Float[np.ndarray, "n 3"],
    vertices_b: Float[np.ndarray, "m 3"],
    faces_a: Int[np.ndarray, "f 3"],
    faces_b: Int[np.ndarray, "g 3"],
) -> float:
    """Volume shared by two closed meshes, cubic metres."""
    first, second = _solid(vertices_a, faces_a), _solid(vertices_b, faces_b)
    return max((first ^ second).volume(), 0.0) * 1e-6


def _solid(vertices: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"]):
    """A manifold3d solid in centimetres, the scale its tolerances are made for."""
    import manifold3d

    solid = manifold3d.Manifold(
        manifold3d.Mesh64(
            np.ascontiguousarray(vertices * 100.0, np.float64),
            np.ascontiguousarray(faces, np.uint64),
        )
    )
    if solid.status() != manifold3d.Error.NoError:
        raise InputError(
            f"A mesh of {len(faces)} faces encloses no volume ({solid.status()}): "
            "close the wrist with mano.topology.close_wrist before measuring."
        )
    return solid


def _volumes(
    a: Float[np.ndarray, "*b n 3"],
    b: Float[np.ndarray, "*b m 3"],
    faces_a: Int[np.ndarray, "f 3"],
    faces_b: Int[np.ndarray, "g 3"],
    workers: int,
) -> Float[np.ndarray, "*b"]:
    one = functools.partial(intersection_volume, faces_a=faces_a, faces_b=faces_b)
    pairs = a.reshape(-1, *a.shape[-2:]), b.reshape(-1, *b.shape[-2:])
    if workers <= 1:
        volumes = list(map(one, *pairs))
    else:
        spawn = multiprocessing.get_context("spawn")
        with concurrent.futures.ProcessPoolExecutor(workers, spawn) as pool:
            volumes = list(pool.map(one, *pairs, chunksize=8))
    return np.asarray(volumes, np.float64).reshape(a.shape[:-2])


def _against(
    points: Float[np.ndarray, "*b p 3"],
    vertices: Float[np.ndarray, "*b v 3"],
    faces: Int[np.ndarray, "f 3"],
    contact_distance: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Depth of the deepest point inside a mesh, and which points touch it.

    Points outside the mesh's bounding box, grown by the contact distance, do neither.
    """
    low = vertices.min(axis=-2, keepdims=True) - contact_distance
    high = vertices.max(axis=-2, keepdims=True) + contact_distance
    near = ((points >= low) & (points <= high)).all(axis=-1)
    depth, touching = np.zeros(near.shape[:-1]), np.zeros_like(near)
    mesh = jnp.asarray(faces)
    for pair in np.ndindex(depth.shape):
        rows = np.flatnonzero(near[pair])
        if len(rows) == 0:
            continue
        few = points[pair][np.resize(rows, -(-len(rows) // PIECE) * PIECE)]
        inside, distance = (
            np.asarray(found)[: len(rows)]
            for found in _inside_and_distance(few, vertices[pair], mesh)
        )
        depth[pair] = np.where(inside, distance, 0.0).max()
        touching[pair][rows] = inside | (distance < contact_distance)
    return depth, touching


@jax.jit
def _inside_and_distance(points, vertices, faces):
    within = winding_number(points, vertices, faces) > 0.5
    return within, surface_distance(points, vertices, faces)


def _check(
    a: Float[np.ndarray, "*b n 3"], b: Float[np.ndarray, "*b m 3"], volume: bool
) -> None:
    if a.shape[:-2] != b.shape[:-2]:
        raise InputError(
            f"The two hands have batch shapes {a.shape[:-2]} and {b.shape[:-2]}; "
            "give one mesh of each hand for every pair."
        )
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise InputError(
            "A vertex coordinate is not finite; drop such pairs before measuring."
        )
    if volume:
        wanted = "Intersection volumes need"
        with extras.needed_for(wanted, "evaluation", instead="pass volume=False"):
            import manifold3d  # noqa: F401 - whether it is there
