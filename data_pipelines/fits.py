"""Hand-model fits as the datasets bring them: posed, moved, held against the joints."""

import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float
from scipy.spatial.transform import Rotation

from data_pipelines.labelled import Labelled
from twohand_jax import mano
from twohand_jax.geometry import cameras
from twohand_jax.types import NUM_JOINTS, RIGHT, Camera, ManoModel, ManoParams

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


@functools.partial(jax.jit, static_argnames="fingertips")
def joints(
    model: ManoModel, params: ManoParams, *, fingertips: str
) -> Float[Array, "2 21 3"]:
    """Canonical joints of both posed hands, with a dataset's own fingertips."""
    return mano.forward(model, params, fingertips=fingertips).joints


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
    *,
    fingertips: str,
) -> tuple[ManoParams, float]:
    """The right hand moved as a rigid body onto its annotated joints.

    Returns:
        The moved hand, and the mean distance of its joints from the annotated ones,
        metres (see ``joint_error``).
    """
    posed = np.asarray(joints(model, params, fingertips=fingertips))[RIGHT]
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
    *,
    fingertips: str,
) -> float:
    """Mean distance of the right hand's posed joints from the annotated ones, metres.

    Large where the parameters belong to another hand model.
    """
    posed = np.asarray(joints(model, params, fingertips=fingertips))[RIGHT]
    return float(np.linalg.norm(posed - target, axis=-1).mean())
