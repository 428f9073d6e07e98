"""Ambient occlusion of both hands at their vertices, by patches seen as discs."""

import numpy as np
from jaxtyping import Float

# Light bounced between skin keeps creases from going black.
BOUNCE = 0.35


def ambient_visibility(
    points: Float[np.ndarray, "n 3"],
    normals: Float[np.ndarray, "n 3"],
    patches: Float[np.ndarray, "p 3"],
    patch_normals: Float[np.ndarray, "p 3"],
    patch_area: float,
    *,
    strength: float,
) -> Float[np.ndarray, "n"]:
    """Share of the sky that points see past patches, in 0..1.

    Form factor of a point to a disc (Bunnell 2005): A cos cos' / (pi r^2 + A).

    Args:
        points: metres.
        normals: unit vectors out of the surface.
        patches: middles of surface patches, each of ``patch_area`` square metres.
        patch_normals: mean normals of the patches, not normalised.
        patch_area: square metres.
        strength: 1 is the physical amount.
    """
    points, normals, patches, patch_normals = (
        np.asarray(x, np.float32) for x in (points, normals, patches, patch_normals)
    )
    squared = (points**2).sum(1)[:, None] + (patches**2).sum(1) - 2 * points @ patches.T
    np.maximum(squared, 1e-7, out=squared)
    receive = normals @ patches.T - (normals * points).sum(1)[:, None]
    emit = points @ patch_normals.T - (patches * patch_normals).sum(1)
    np.maximum(receive, 0, out=receive)
    np.maximum(emit, 0, out=emit)
    receive *= emit
    receive /= squared * (np.float32(np.pi / patch_area) * squared + 1)
    occlusion = np.minimum(strength * receive.sum(axis=1), 1.0)
    return 1 - occlusion * (1 - BOUNCE * occlusion)
