"""The labels of one frame of Re:InterHand as one of its cameras sees them."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from twohand_jax import reading
from twohand_jax.errors import InputError, MissingFileError
from twohand_jax.geometry import boxes, cameras
from twohand_jax.pipelines.fits import to_frame
from twohand_jax.pipelines.labelled import NOT_FINITE, Unusable
from twohand_jax.types import NUM_JOINTS, SIDES, Camera, ManoModel, ManoParams


class FrameHands(NamedTuple):
    """Both hands in the camera frame; a hand that is not known is somewhere finite."""

    joints: Float[np.ndarray, "2 21 3"]
    known: Bool[np.ndarray, "2"]
    params: ManoParams
    fitted: Bool[np.ndarray, "2"]


class VisibleHands(NamedTuple):
    """What a picture shows of the hands.

    ``in_front`` says which joints have a pixel at all, ``box`` is zero for a hand of
    which fewer than two joints are in the picture.
    """

    joints_2d: Float[np.ndarray, "2 21 2"]
    in_front: Bool[np.ndarray, "2 21"]
    box: Float[np.ndarray, "2 4"]
    shown: Bool[np.ndarray, "2"]


class WorldCamera(NamedTuple):
    """A camera in the capture's world, metres; ``x_cam = R x_world + t``.

    ``distortion`` holds the four coefficients of a fisheye lens; None for a pinhole.
    """

    R: Float[np.ndarray, "3 3"]
    t: Float[np.ndarray, "3"]
    camera: Camera
    distortion: Float[np.ndarray, "4"] | None


def hands(
    capture: Path, frame: int, world: WorldCamera, model: ManoModel
) -> FrameHands:
    """Read the frame's keypoints and fits and move them before the camera.

    Args:
        capture: folder of the capture.
        frame: number.
        world: the camera.
        model: of the fits.

    Raises:
        Unusable: a file is missing, cut short, or holds something else.
    """
    joints, fits = [], []
    for side in SIDES:
        folder = capture / "orig_fits" / side / "Keypoints"
        path = folder / f"keypoint-{frame:06d}.json"
        joints.append(read_keypoints(load_json(path)))
        path = capture / "mano_fits" / "params" / f"{frame}_{side}.json"
        fits.append(read_fit(load_json(path)))
    none = np.zeros((NUM_JOINTS, 3))
    points = np.stack([none if hand is None else hand for hand in joints])
    return FrameHands(
        joints=points @ world.R.T + world.t,
        known=np.array([hand is not None for hand in joints]),
        params=_params(fits, world, model),
        fitted=np.array([hand is not None for hand in fits]),
    )


def seen(found: FrameHands, camera: Camera, size: tuple[int, int]) -> VisibleHands:
    """Pixels and boxes; a box covers the joints in the picture, as the reader's does.

    Args:
        found: the hands.
        camera: of the picture, without distortion.
        size: width and height of the picture.
    """
    pixels = cameras.project(found.joints, camera)
    in_front = found.joints[..., 2] > cameras.NEAREST_M
    inside = ((pixels >= 0) & (pixels <= np.subtract(size, 1))).all(axis=-1)
    box = boxes.around_joints(pixels, inside & in_front & found.known[:, None])
    box = box.astype(np.float32)
    return VisibleHands(pixels, in_front, box, box[:, 2] > box[:, 0])


class WorldFit(NamedTuple):
    """MANO parameters of one hand in the world; the pose is relative to the mean."""

    global_orient: Float[np.ndarray, "3"]
    hand_pose: Float[np.ndarray, "15 3"]
    betas: Float[np.ndarray, "10"]
    transl: Float[np.ndarray, "3"]


def _params(
    fits: Sequence[WorldFit | None], world: WorldCamera, model: ManoModel
) -> ManoParams:
    """MANO parameters of both hands in the camera frame; zeros for a missing one."""
    none = WorldFit(np.zeros(3), np.zeros((15, 3)), np.zeros(10), np.zeros(3))
    both = [none if hand is None else hand for hand in fits]
    params = ManoParams(*(np.stack(values) for values in zip(*both, strict=True)))
    return to_frame(model, params, world.R, world.t)


MILLIMETRE = 1e-3
# Wrist, thumb 0-4, index 1-4, middle 1-4, ring 1-4, pinky 0-4, forearm stub: the order
# in which the reader names them. Thumb 0 and pinky 0 are carpal joints without a
# counterpart in MANO; the forearm stub is marked invalid there.
SOURCE_JOINTS = 24
CANONICAL_FROM_RELIGHTED = np.array(
    [0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 19, 20, 21, 22],
    np.int32,
)
MANO_LENGTHS = {"pose": 48, "shape": 10, "trans": 3}
ORTHOGONAL_WITHIN = 1e-3

MISSING = "an annotation file of the frame is missing"
NO_JSON = "an annotation file of the frame is not readable as JSON"
NO_CAMERA = "the camera's parameters are missing or not of the expected form"
NO_KEYPOINTS = f"a hand's keypoints are not {SOURCE_JOINTS} points"
NO_FIT = "a MANO vector is missing or has a wrong length"


def load_json(path: Path) -> object:
    """A frame's JSON file.

    Raises:
        Unusable: it is missing or cut short.
        UnreadableError: it is there, but the system cannot read it.
    """
    try:
        return reading.read_json(path)
    except MissingFileError as error:
        raise Unusable(MISSING) from error
    except InputError as error:
        raise Unusable(NO_JSON) from error


def read_camera(entry: object) -> WorldCamera:
    """A camera of ``cam_params.json``, or the one of an egocentric frame.

    Raises:
        Unusable: a field is missing, has another shape, is not finite, or R is no
            rotation.
    """
    R, t, focal, center = (
        _vector(entry, key, length, NO_CAMERA)
        for key, length in {"R": 9, "t": 3, "focal": 2, "princpt": 2}.items()
    )
    fisheye = isinstance(entry, dict) and "D" in entry
    lens = _vector(entry, "D", 4, NO_CAMERA) if fisheye else None
    R = R.reshape(3, 3)
    if not np.allclose(R @ R.T, np.eye(3), atol=ORTHOGONAL_WITHIN):
        raise Unusable(NO_CAMERA)
    numbers = np.concatenate([t, focal, center, np.zeros(0) if lens is None else lens])
    if not np.isfinite(numbers).all() or (focal <= 0).any():
        raise Unusable(NO_CAMERA)
    return WorldCamera(R, t * MILLIMETRE, Camera(focal, center), lens)


def read_keypoints(entry: object) -> Float[np.ndarray, "21 3"] | None:
    """Canonical joints of a hand in the world, metres; None for a null hand.

    Raises:
        Unusable: there are not 24 points, or one that counts is NaN.
    """
    if entry is None:
        return None
    points = _numbers(entry)
    if points.shape != (SOURCE_JOINTS, 3):
        raise Unusable(NO_KEYPOINTS)
    points = points[CANONICAL_FROM_RELIGHTED]
    if not np.isfinite(points).all():
        raise Unusable(NOT_FINITE)
    return points * MILLIMETRE


def read_fit(entry: object) -> WorldFit | None:
    """MANO parameters of a hand in the world; None for a null hand.

    The reader poses them with ``flat_hand_mean=False``: relative to the mean.

    Raises:
        Unusable: a vector is missing or has another length.
    """
    if entry is None:
        return None
    pose, shape, transl = (
        _vector(entry, key, length, NO_FIT) for key, length in MANO_LENGTHS.items()
    )
    return WorldFit(pose[:3], pose[3:].reshape(15, 3), shape, transl)


def _vector(
    entry: object, key: str, length: int, reason: str
) -> Float[np.ndarray, "n"]:
    """The numbers under a key, flat; their count must be ``length``."""
    if not isinstance(entry, dict) or key not in entry:
        raise Unusable(reason)
    values = _numbers(entry[key]).ravel()
    if values.size != length:
        raise Unusable(reason)
    return values


def _numbers(values: object) -> Float[np.ndarray, "..."]:
    """An array of numbers; empty where it is ragged or holds something else."""
    try:
        return np.asarray(values, np.float64)
    except (TypeError, ValueError, OverflowError):
        return np.empty(0)
