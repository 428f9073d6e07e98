"""Shape space: sampled adult hands in the flat pose, their PCA, the regressor."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.optimize import nnls

_REGRESSOR_REACH = 200  # nearest template vertices a joint may depend on
_SUM_WEIGHT = 10.0  # how firmly a regressor row is held to sum 1, metres


class ShapeSpace(NamedTuple):
    """Mean hand and components; multiply components by N(0, 1) coefficients."""

    vertices: Float[np.ndarray, "v 3"]
    vertex_components: Float[np.ndarray, "v 3 k"]
    joints: Float[np.ndarray, "16 3"]
    joint_components: Float[np.ndarray, "16 3 k"]


def principal_shapes(
    vertices: Float[np.ndarray, "n v 3"],
    joints: Float[np.ndarray, "n 16 3"],
    num_components: int,
) -> ShapeSpace:
    """PCA of sampled hands, each component scaled by its standard deviation.

    The first component's sign is chosen so that positive means larger.
    """
    count = len(vertices)
    mean, joint_mean = vertices.mean(0), joints.mean(0)
    centred = (vertices - mean).reshape(count, -1) / np.sqrt(count - 1)
    left, singular, right = np.linalg.svd(centred, full_matrices=False)
    left, right = left[:, :num_components], right[:num_components]
    length = np.ptp(vertices[..., 0], axis=-1)
    reference = left.T @ (length - length.mean())
    sign = np.where(reference < 0, -1.0, 1.0)
    components = (singular[:num_components] * sign)[:, None] * right
    betas = left * sign * np.sqrt(count - 1)
    joint_components = np.einsum("njc,nk->jck", joints - joint_mean, betas) / (
        count - 1
    )
    return ShapeSpace(
        mean, components.T.reshape(*mean.shape, -1), joint_mean, joint_components
    )


def fit_regressor(space: ShapeSpace) -> Float[np.ndarray, "16 v"]:
    """Sparse non-negative rows that give the joints from the vertices."""
    count = len(space.vertices)
    regressor = np.zeros((len(space.joints), count))
    for j, joint in enumerate(space.joints):
        distance = np.linalg.norm(space.vertices - joint, axis=-1)
        near = np.argsort(distance, kind="stable")[:_REGRESSOR_REACH]
        shapes = space.vertex_components[near].reshape(len(near), -1).T
        rows = [space.vertices[near].T - joint[:, None], shapes]
        system = np.concatenate([*rows, np.full((1, len(near)), _SUM_WEIGHT)])
        wanted = np.concatenate(
            [np.zeros(3), space.joint_components[j].ravel(), [_SUM_WEIGHT]]
        )
        solution, _ = nnls(system, wanted)
        regressor[j, near] = solution / solution.sum()
    return regressor
