"""Texture coordinates: one chart for the back of the hand, one for the palm."""

import numpy as np
from jaxtyping import Float, Int

_MARGIN = 0.01


def charts(
    vertices: Float[np.ndarray, "v 3"], triangles: Int[np.ndarray, "t 3"]
) -> tuple[Float[np.ndarray, "n 2"], Int[np.ndarray, "t 3"]]:
    """Project the back to the upper half of the texture and the palm to the lower.

    Returns:
        uv in [0, 1] with v upwards, and triangles of uv rows.
    """
    corners = vertices[triangles]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    back = normals[:, 1] >= 0
    plane = vertices[:, [0, 2]] - vertices[:, [0, 2]].min(0)
    scale = min(
        (1 - 2 * _MARGIN) / plane[:, 0].max(), (0.5 - 2 * _MARGIN) / plane[:, 1].max()
    )
    flat = plane * scale + _MARGIN
    uv, faces, start = [], np.zeros_like(triangles), 0
    for chart, lift in ((back, 0.5), (~back, 0.0)):
        used, compact = np.unique(triangles[chart], return_inverse=True)
        uv.append(flat[used] + [0.0, lift])
        faces[chart] = compact.reshape(-1, 3) + start
        start += len(used)
    return np.concatenate(uv), faces
