"""Small tools on triangle meshes: boundaries, tubes, normals, clusters."""

import numpy as np
import scipy.sparse
from jaxtyping import Float, Int

from twohand_jax.errors import InputError


def boundary_loop(faces: Int[np.ndarray, "f 3"]) -> Int[np.ndarray, "n"]:
    """Vertices of a disc's only boundary, in the order of its faces' edges."""
    ahead = np.roll(faces, -1, axis=1)
    edges = set(zip(faces.ravel().tolist(), ahead.ravel().tolist(), strict=True))
    following = {a: b for a, b in edges if (b, a) not in edges}
    if not following:
        raise InputError(
            "The hand mesh is closed, but the renderer needs the open wrist of a mesh "
            "in MANO's layout to attach the forearm; pass the faces without a cap."
        )
    loop = [min(following)]
    while following[loop[-1]] != loop[0] and len(loop) <= len(following):
        loop.append(following[loop[-1]])
    if len(loop) != len(following):
        raise InputError(
            f"The hand mesh has {len(following)} boundary edges in more than one loop; "
            "expected a single loop at the wrist."
        )
    return np.array(loop)


def tube_faces(
    num_rings: int, num_columns: int, *, capped: bool
) -> Int[np.ndarray, "f 3"]:
    """Triangles between consecutive rings, a fan over the last ring if ``capped``."""
    ring, column = np.meshgrid(
        np.arange(num_rings - 1), np.arange(num_columns), indexing="ij"
    )
    a = (ring * num_columns + column).ravel()
    b = (ring * num_columns + (column + 1) % num_columns).ravel()
    sides = np.concatenate(
        [
            np.stack([b, a, a + num_columns], 1),
            np.stack([b, a + num_columns, b + num_columns], 1),
        ]
    )
    if not capped:
        return sides
    last = (num_rings - 1) * num_columns
    steps = np.arange(1, num_columns - 1)
    fan = np.stack([np.full_like(steps, last), last + steps + 1, last + steps], 1)
    return np.concatenate([sides, fan])


def normal_sum_matrix(
    faces: Int[np.ndarray, "f 3"], count: int
) -> scipy.sparse.csr_array:
    """The matrix that adds face normals into their vertices."""
    rows, columns = faces.ravel(), np.repeat(np.arange(len(faces)), 3)
    ones = np.ones(len(rows), np.float32)
    return scipy.sparse.csr_array((ones, (rows, columns)), (count, len(faces)))


def cluster_mean_matrix(
    vertices: Float[np.ndarray, "v 3"], num_clusters: int
) -> scipy.sparse.csr_array:
    """Farthest-point clusters of a surface's vertices, as an averaging matrix."""
    distance = np.full(len(vertices), np.inf)
    owner = np.zeros(len(vertices), int)
    for cluster in range(min(num_clusters, len(vertices))):
        seed = int(np.argmax(distance)) if cluster else 0
        to_seed = np.linalg.norm(vertices - vertices[seed], axis=1)
        owner = np.where(to_seed < distance, cluster, owner)
        distance = np.minimum(distance, to_seed)
    share = 1 / np.bincount(owner)[owner]
    indices = (owner, np.arange(len(vertices)))
    return scipy.sparse.csr_array((share.astype(np.float32), indices))


def vertex_normals(
    vertices: Float[np.ndarray, "v 3"],
    faces: Int[np.ndarray, "f 3"],
    normal_sum: scipy.sparse.csr_array,
) -> Float[np.ndarray, "v 3"]:
    """Area-weighted unit normals."""
    corner = vertices[faces]
    face_normals = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    normals = normal_sum @ face_normals
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    return normals / np.maximum(length, 1e-20)
