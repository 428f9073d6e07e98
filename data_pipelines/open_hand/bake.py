"""Bakes surface attributes of a mesh into the texels of its texture."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.ndimage import distance_transform_edt


class Texels(NamedTuple):
    """Attributes of the covered texels, row by row, and how to fill the rest."""

    covered: Bool[np.ndarray, "s s"]
    values: Float[np.ndarray, "n k"]


def _texel_weights(
    corners: Float[np.ndarray, "3 2"], size: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows, columns and barycentric weights of the texels one triangle covers."""
    low = np.floor(corners.min(0)).astype(int)
    high = np.ceil(corners.max(0)).astype(int)
    low, high = np.clip([low, high], 0, size - 1)
    columns, rows = np.meshgrid(
        np.arange(low[0], high[0] + 1), np.arange(low[1], high[1] + 1)
    )
    points = np.stack([columns.ravel(), rows.ravel()], -1) - corners[0]
    edges = (corners[1:] - corners[0]).T
    if abs(np.linalg.det(edges)) < 1e-9:
        empty = np.zeros(0, int)
        return empty, empty, np.zeros((0, 3))
    second_third = np.linalg.solve(edges, points.T).T
    weights = np.concatenate(
        [1 - second_third.sum(-1, keepdims=True), second_third], -1
    )
    inside = (weights > -1e-6).all(-1)
    return rows.ravel()[inside], columns.ravel()[inside], weights[inside]


def bake(
    uv: Float[np.ndarray, "n 2"],
    uv_triangles: Int[np.ndarray, "t 3"],
    triangles: Int[np.ndarray, "t 3"],
    attributes: Float[np.ndarray, "v k"],
    size: int,
) -> Texels:
    """Interpolate vertex attributes at every texel centre inside a chart."""
    pixels = np.stack([uv[:, 0] * size - 0.5, (1 - uv[:, 1]) * size - 0.5], -1)
    image = np.zeros((size, size, attributes.shape[1]))
    covered = np.zeros((size, size), bool)
    for texture_corners, corners in zip(uv_triangles, triangles, strict=True):
        rows, columns, weights = _texel_weights(pixels[texture_corners], size)
        image[rows, columns] = weights @ attributes[corners]
        covered[rows, columns] = True
    return Texels(covered, image[covered])


def spread(
    covered: Bool[np.ndarray, "s s"], colours: Float[np.ndarray, "n 3"]
) -> Float[np.ndarray, "s s 3"]:
    """The texture image, with uncovered texels coloured as their nearest chart."""
    image = np.zeros((*covered.shape, 3))
    image[covered] = colours
    nearest = distance_transform_edt(
        ~covered, return_distances=False, return_indices=True
    )
    return image[nearest[0], nearest[1]]
