"""Blend weights: merged to MANO's joints, smoothed, limited to a few per vertex."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, Int
from scipy import sparse
from scipy.sparse.linalg import splu

from data_pipelines.open_hand.rig import FINGER_NUMBERS, FINGERS

_WRIST_BONES = ("lowerarm01", "lowerarm02", "wrist") + tuple(
    f"metacarpal{i}" for i in range(1, 5)
)
# Smoothing lengths in metres: everywhere, and where thumb and palm share the skin (the
# web between thumb and index finger stretches over some centimetres).
_SMOOTHING = 0.0015
_WEB_SMOOTHING = 0.006
# MPFB2 leaves most of the ball of the thumb to the wrist; 1 keeps its weights.
_THUMB_FIRMNESS = 2.0


def merge(bones: Mapping[str, Float[np.ndarray, " v"]]) -> Float[np.ndarray, "v 16"]:
    """Blend weights on MANO's joints; forearm and metacarpals go to the wrist."""
    columns = [np.sum([bones[name] for name in _WRIST_BONES], axis=0)]
    for name in FINGERS:
        number = FINGER_NUMBERS[name]
        columns += [bones[f"finger{number}-{k}"] for k in (1, 2, 3)]
    weights = np.stack(columns, axis=-1)
    total = weights.sum(-1, keepdims=True)
    merged = np.divide(weights, total, out=np.zeros_like(weights), where=total > 0)
    return _firm_thumb(merged)


def _firm_thumb(weights: Float[np.ndarray, "v 16"]) -> Float[np.ndarray, "v 16"]:
    """Let the ball of the thumb follow the thumb's metacarpal more than the wrist."""
    base = FINGERS["thumb"]
    both = weights[:, 0] + weights[:, base]
    share = np.divide(weights[:, base], both, out=np.zeros(len(both)), where=both > 0)
    firmed = weights.copy()
    firmed[:, base] = both * (1 - (1 - share) ** _THUMB_FIRMNESS)
    firmed[:, 0] = both - firmed[:, base]
    return firmed


def _laplacian(
    vertices: Float[np.ndarray, "v 3"], triangles: Int[np.ndarray, "t 3"]
) -> tuple[sparse.csc_array, sparse.csc_array]:
    """Lumped mass and cotangent stiffness (negative cotangents clipped)."""
    count = len(vertices)
    corners = vertices[triangles]
    doubled = np.linalg.norm(
        np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=-1
    )
    mass = np.bincount(triangles.ravel(), np.repeat(doubled / 6, 3), count) + 1e-12
    links = sparse.csc_array((count, count))
    for k in range(3):
        i, j, o = triangles[:, k - 2], triangles[:, k - 1], corners[:, k]
        cosine = np.sum((vertices[i] - o) * (vertices[j] - o), -1)
        half_cotangent = np.clip(0.5 * cosine / doubled, 0.0, None)
        links = links + sparse.csc_array((half_cotangent, (i, j)), (count, count))
    links = links + links.T
    degree = sparse.diags_array(np.asarray(links.sum(1)).ravel())
    return sparse.csc_array(sparse.diags_array(mass)), sparse.csc_array(degree - links)


def smooth(
    weights: Float[np.ndarray, "v 16"],
    vertices: Float[np.ndarray, "v 3"],
    triangles: Int[np.ndarray, "t 3"],
) -> Float[np.ndarray, "v 16"]:
    """Diffuse the weights over the skin, further about the web of the thumb."""
    mass, stiffness = _laplacian(vertices, triangles)

    def diffuse(length: float) -> Float[np.ndarray, "v 16"]:
        return splu(mass + 0.5 * length**2 * stiffness).solve(mass @ weights)

    little, much = diffuse(_SMOOTHING), diffuse(_WEB_SMOOTHING)
    thumb = much[:, FINGERS["thumb"] :].sum(-1, keepdims=True)
    web = np.clip(4 * thumb * (1 - thumb), 0.0, 1.0)
    return web * much + (1 - web) * little


def keep_largest(
    weights: Float[np.ndarray, "v 16"], count: int
) -> Float[np.ndarray, "v 16"]:
    """Keep the largest `count` weights of each vertex, summing to 1."""
    floor = np.sort(weights, axis=-1)[:, [-count]]
    kept = np.where(weights >= np.maximum(floor, 1e-3), weights, 0.0)
    return kept / kept.sum(-1, keepdims=True)
