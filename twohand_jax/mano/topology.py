"""What follows from the faces alone: the boundary at the wrist, and its cap."""

import numpy as np
from jaxtyping import Int

from twohand_jax.errors import InputError


def boundary_loop(faces: Int[np.ndarray, "f 3"]) -> Int[np.ndarray, "n"]:
    """Vertices of the only boundary loop, in the winding of the missing faces."""
    directed = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    known = {(int(a), int(b)) for a, b in directed}
    open_edges = [(a, b) for a, b in known if (b, a) not in known]
    following = {b: a for a, b in open_edges}
    if not following:
        return np.zeros((0,), faces.dtype)
    loop = [min(following)]
    while len(loop) < len(following):
        loop.append(following.get(loop[-1], loop[0]))
    if len(set(loop)) != len(open_edges) or following[loop[-1]] != loop[0]:
        raise InputError(
            f"The {len(open_edges)} boundary edges of the mesh do not form one loop; "
            "a hand must be a surface with one hole, at the wrist."
        )
    return np.asarray(loop, faces.dtype)


def close_wrist(faces: Int[np.ndarray, "f 3"]) -> Int[np.ndarray, "g 3"]:
    """Close the wrist with a strip of triangles; no vertex is added."""
    loop = boundary_loop(faces)
    low, high, cap = 0, len(loop) - 1, []
    while high - low > 1:
        cap.append([loop[low], loop[low + 1], loop[high]])
        low += 1
        if high - low > 1:
            cap.append([loop[low], loop[high - 1], loop[high]])
            high -= 1
    return np.concatenate([faces, np.asarray(cap, faces.dtype).reshape(-1, 3)])
