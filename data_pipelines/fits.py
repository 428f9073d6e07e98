"""Hand-model fits of datasets: as they bring them, and by least squares to a mesh.

Fits are posed, moved and held against the joints. Of a mesh in MANO's topology a posed
hand model gives back its own parameters: the start comes from each bone's rigid
motion, Levenberg-Marquardt does the rest.
"""

import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from scipy.spatial.transform import Rotation

from twohand_jax import mano
from twohand_jax.geometry import cameras, rotations
from twohand_jax.mano.joint_set import JointSet
from twohand_jax.mano.joints import PARENTS
from twohand_jax.pipelines.labelled import Labelled
from twohand_jax.types import (
    NUM_JOINTS,
    NUM_VERTICES,
    RIGHT,
    Camera,
    ManoModel,
    ManoParams,
)

BEHIND = "a joint lies behind the camera"


@functools.lru_cache(maxsize=1)
def load_model(path: Path | None) -> ManoModel:
    """The hand model of this process, read once; None for the open hand."""
    return mano.load(path)


@dataclasses.dataclass(frozen=True)
class FittedDataset:
    """What datasets with hand-model fits share (the head of a ``Dataset``).

    Attributes:
        root: folder of the release.
        config: what is read and what counts, a dataclass.
        mano_path: where the hand model of the fits lies; None for the open hand.
    """

    root: Path
    config: Any
    mano_path: Path | None = None

    @property
    def settings(self) -> Mapping[str, object]:
        """The configuration."""
        return dataclasses.asdict(self.config)

    @property
    def hand_model(self) -> str:
        """Name of the model of the fits."""
        return load_model(self.mano_path).name


def no_params() -> ManoParams:
    """Parameters of two hands without fits, zeros."""
    shapes = ((2, 3), (2, 15, 3), (2, 10), (2, 3))
    return ManoParams(*(np.zeros(shape, np.float32) for shape in shapes))


def pinhole(K: Float[np.ndarray, "3 3"]) -> Camera:
    """The camera of an intrinsic matrix without skew."""
    return Camera(focal=np.diag(K)[:2], center=K[:2, 2])


def right_only(values: np.ndarray) -> np.ndarray:
    """The right hand's values, and zeros for the left."""
    return np.stack([values, np.zeros_like(values)])


def right_hand(
    image: Path,
    image_id: str,
    *,
    subset: str,
    size: tuple[int, int],
    camera: Camera,
    joints: Float[np.ndarray, "21 3"],
    params: ManoParams,
    fitted: bool,
) -> Labelled:
    """A picture of one right hand, all of whose joints are known.

    Args:
        image: the picture's file.
        image_id: unique within the dataset.
        subset: part of the dataset.
        size: width and height, pixels.
        camera: of the picture.
        joints: metres, camera frame.
        params: the fit, of both hands.
        fitted: whether the fit counts.
    """
    shown = np.array([True, False])
    known = np.repeat(shown[:, None], NUM_JOINTS, axis=1)
    return Labelled(
        image=image,
        image_id=image_id,
        subset=subset,
        size=size,
        camera=camera,
        joints_2d=right_only(cameras.project(joints, camera)),
        joints_2d_valid=known,
        joints_3d=right_only(joints),
        joints_3d_valid=known,
        mano=params,
        mano_valid=shown & fitted,
    )


def right_params(
    *,
    global_orient: Float[np.ndarray, "3"],
    hand_pose: Float[np.ndarray, "15 3"],
    betas: Float[np.ndarray, "10"],
    transl: Float[np.ndarray, "3"],
) -> ManoParams:
    """Parameters of a right hand, with a left one in the mean pose at the origin."""
    values = (global_orient, hand_pose, betas, transl)
    return ManoParams(*(right_only(value).astype(np.float32) for value in values))


@functools.partial(jax.jit, static_argnames="joint_set")
def joints(
    model: ManoModel, params: ManoParams, joint_set: JointSet
) -> Float[Array, "2 21 3"]:
    """Canonical joints of both posed hands, as a dataset means them."""
    return joint_set.of(model, mano.forward(model, params))


@jax.jit
def moved(
    model: ManoModel,
    params: ManoParams,
    R: Float[Array, "3 3"],
    t: Float[Array, "3"],
) -> ManoParams:
    """The hands after ``p' = R p + t`` of all their points."""
    return mano.to_camera(model, params, R, t)


def to_frame(
    model: ManoModel,
    params: ManoParams,
    R: Float[np.ndarray, "3 3"],
    t: Float[np.ndarray, "3"],
) -> ManoParams:
    """``moved`` with numpy in and out."""
    rigid = np.asarray(R, np.float32), np.asarray(t, np.float32)
    return ManoParams(*map(np.asarray, moved(model, params, *rigid)))


def laid_on(
    model: ManoModel,
    params: ManoParams,
    target: Float[np.ndarray, "21 3"],
    joint_set: JointSet,
) -> tuple[ManoParams, float]:
    """The right hand moved as a rigid body onto its annotated joints.

    Returns:
        The moved hand, and the mean distance of its joints from the annotated ones,
        metres (see ``joint_error``).
    """
    posed = np.asarray(joints(model, params, joint_set))[RIGHT]
    middle, goal = posed.mean(axis=0), target.mean(axis=0)
    rotation, _ = Rotation.align_vectors(target - goal, posed - middle)
    R = rotation.as_matrix()
    t = goal - R @ middle
    error = np.linalg.norm(posed @ R.T + t - target, axis=-1).mean()
    return to_frame(model, params, R, t), float(error)


def joint_error(
    model: ManoModel,
    params: ManoParams,
    target: Float[np.ndarray, "21 3"],
    joint_set: JointSet,
) -> float:
    """Mean distance of the right hand's joints from the annotated ones, metres.

    Large where the parameters belong to another hand model.
    """
    posed = np.asarray(joints(model, params, joint_set))[RIGHT]
    return float(np.linalg.norm(posed - target, axis=-1).mean())


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
    solution = _least_squares(problem, _first_unknowns(model, side, vertices))
    orient, pose, betas, shift = np.split(solution, np.cumsum(SIZES)[:-1])
    off = np.asarray(_residuals(problem, jnp.asarray(solution, jnp.float32)))
    error = float(np.linalg.norm(off, axis=-1).mean())
    return MeshFit(orient, pose.reshape(15, 3), betas, shift / DM, error)


class _MeshProblem(NamedTuple):
    """What is fitted to what."""

    model: ManoModel
    side: Int[Array, ""]
    vertices: Float[Array, "778 3"]


def _least_squares(
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
        return _residuals(problem, at).ravel()

    off, push = jax.linearize(residuals, unknowns)
    rows = jax.vmap(push)(jnp.eye(len(unknowns), dtype=unknowns.dtype))
    cost = off @ off / NUM_VERTICES
    return cost, rows @ off, jnp.matmul(rows, rows.T, precision="highest")


@jax.jit
def _residuals(
    problem: _MeshProblem, unknowns: Float[Array, "61"]
) -> Float[Array, "778 3"]:
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


def _first_unknowns(
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
