"""MANO parameters of a mesh in MANO's topology, by least squares.

A posed hand model gives back its own parameters: the start comes from each bone's
rigid motion, Levenberg-Marquardt does the rest.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from scipy.spatial.transform import Rotation

from twohand_jax import mano
from twohand_jax.geometry import rotations
from twohand_jax.mano.joints import PARENTS
from twohand_jax.types import NUM_VERTICES, ManoModel

# So many vertices, those that follow it most, show a bone's motion.
OWN_VERTICES = 16
# The translation is in decimetres among the unknowns, so that a step of the solver
# means about the same for each of them.
DM = 10.0
MAX_STEPS = 20
# Mean square distance of float32's rounding, and a gain too small to go on for.
EXACT = (1e-7) ** 2
LEAST_GAIN = 1e-3
FIRST_DAMPING, LEAST_DAMPING, MOST_DAMPING = 1e-4, 1e-9, 1e3
SIZES = (3, 45, 10, 3)


class MeshFit(NamedTuple):
    """Parameters of one hand; ``error`` is the mean distance of vertices, metres."""

    global_orient: Float[np.ndarray, "3"]
    hand_pose: Float[np.ndarray, "15 3"]
    betas: Float[np.ndarray, "10"]
    transl: Float[np.ndarray, "3"]
    error: float


def fit_mesh(
    model: ManoModel, side: int, vertices: Float[np.ndarray, "778 3"]
) -> MeshFit:
    """The parameters whose posed hand comes nearest to the vertices.

    Args:
        model: two-hand model.
        side: RIGHT or LEFT.
        vertices: in the model's topology, metres.
    """
    problem = _MeshProblem(model, jnp.asarray(side), jnp.asarray(vertices, jnp.float32))
    solution = _solve(problem, _start(model, side, vertices))
    orient, pose, betas, shift = np.split(solution, np.cumsum(SIZES)[:-1])
    off = np.asarray(_off(problem, jnp.asarray(solution, jnp.float32)))
    error = float(np.linalg.norm(off, axis=-1).mean())
    return MeshFit(orient, pose.reshape(15, 3), betas, shift / DM, error)


class _MeshProblem(NamedTuple):
    """What is fitted to what."""

    model: ManoModel
    side: Int[Array, ""]
    vertices: Float[Array, "778 3"]


def _solve(
    problem: _MeshProblem, unknowns: Float[np.ndarray, "61"]
) -> Float[np.ndarray, "61"]:
    """Levenberg-Marquardt: the device linearises, the host takes the steps."""

    def linearised(at: np.ndarray) -> list[np.ndarray]:
        parts = _normal_equations(problem, jnp.asarray(at, jnp.float32))
        return [np.asarray(part, float) for part in parts]

    cost, slope, curvature = linearised(unknowns)
    damping = FIRST_DAMPING
    for _ in range(MAX_STEPS):
        ridge = damping * np.diag(np.diag(curvature))
        step = np.linalg.solve(curvature + ridge, slope)
        trial = linearised(unknowns - step)
        if not trial[0] < cost:
            damping = min(damping * 10.0, MOST_DAMPING)
            continue
        gain = 1.0 - trial[0] / cost
        unknowns, (cost, slope, curvature) = unknowns - step, trial
        damping = max(damping * 0.1, LEAST_DAMPING)
        if gain < LEAST_GAIN or cost < EXACT:
            break
    return unknowns


@jax.jit
def _normal_equations(
    problem: _MeshProblem, unknowns: Float[Array, "61"]
) -> tuple[Float[Array, ""], Float[Array, "61"], Float[Array, "61 61"]]:
    """Mean square of the distances, and Gauss-Newton's slope and curvature of it."""

    def residuals(at: Float[Array, "61"]) -> Float[Array, "2334"]:
        return _off(problem, at).ravel()

    off, push = jax.linearize(residuals, unknowns)
    rows = jax.vmap(push)(jnp.eye(len(unknowns), dtype=unknowns.dtype))
    cost = off @ off / NUM_VERTICES
    return cost, rows @ off, jnp.matmul(rows, rows.T, precision="highest")


@jax.jit
def _off(problem: _MeshProblem, unknowns: Float[Array, "61"]) -> Float[Array, "778 3"]:
    """The posed vertices less those of the mesh."""
    hand = jax.tree.map(
        lambda array: jax.lax.dynamic_slice_in_dim(array, problem.side, 1),
        problem.model,
    )
    orient, pose, betas, shift = jnp.split(unknowns, np.cumsum(SIZES)[:-1])
    absolute = pose.reshape(15, 3) + hand.pose_mean[0]
    vertices, _ = mano.forward_side(
        hand,
        0,
        rotations.axis_angle_to_matrix(orient),
        rotations.axis_angle_to_matrix(absolute),
        betas,
        shift / DM,
    )
    return vertices - problem.vertices


def _start(
    model: ManoModel, side: int, vertices: Float[np.ndarray, "778 3"]
) -> Float[np.ndarray, "61"]:
    """Each bone turned as its own vertices are, in the mean shape."""
    template = np.asarray(model.template)[side]
    own = np.argsort(-np.asarray(model.weights)[side], axis=0)[:OWN_VERTICES]
    world = []
    for bone in range(len(PARENTS)):
        rest, now = template[own[:, bone]], vertices[own[:, bone]]
        turn, _ = Rotation.align_vectors(now - now.mean(0), rest - rest.mean(0))
        world.append(turn)
    local = [
        (world[parent].inv() * world[bone]).as_rotvec()
        for bone, parent in enumerate(PARENTS)
        if parent >= 0
    ]
    wrist = np.asarray(model.joint_template)[side, 0]
    turned = world[0].apply(template[own[:, 0]] - wrist) + wrist
    shift = (vertices[own[:, 0]] - turned).mean(axis=0)
    return np.concatenate(
        [
            world[0].as_rotvec(),
            (np.stack(local) - np.asarray(model.pose_mean)[side]).ravel(),
            np.zeros(10),
            shift * DM,
        ]
    )
