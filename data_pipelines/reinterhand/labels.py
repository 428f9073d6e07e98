"""The labels of one frame of Re:InterHand as one of its cameras sees them."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from data_pipelines.fits import to_frame
from data_pipelines.labelled import hand_boxes
from data_pipelines.reinterhand import annotations
from data_pipelines.reinterhand.annotations import Fit, WorldCamera
from twohand_jax.types import NUM_JOINTS, SIDES, Camera, ManoModel, ManoParams

NEAREST_M = 1e-3


class Hands(NamedTuple):
    """Both hands in the camera frame; a hand that is not known is somewhere finite."""

    joints: Float[np.ndarray, "2 21 3"]
    known: Bool[np.ndarray, "2"]
    params: ManoParams
    fitted: Bool[np.ndarray, "2"]


class Seen(NamedTuple):
    """What a picture shows of the hands.

    ``in_front`` says which joints have a pixel at all, ``box`` is zero for a hand of
    which fewer than two joints are in the picture.
    """

    joints_2d: Float[np.ndarray, "2 21 2"]
    in_front: Bool[np.ndarray, "2 21"]
    box: Float[np.ndarray, "2 4"]
    shown: Bool[np.ndarray, "2"]


def hands(capture: Path, frame: int, world: WorldCamera, model: ManoModel) -> Hands:
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
        joints.append(annotations.keypoints(annotations.load(path)))
        path = capture / "mano_fits" / "params" / f"{frame}_{side}.json"
        fits.append(annotations.fit(annotations.load(path)))
    none = np.zeros((NUM_JOINTS, 3))
    points = np.stack([none if hand is None else hand for hand in joints])
    return Hands(
        joints=points @ world.R.T + world.t,
        known=np.array([hand is not None for hand in joints]),
        params=_params(fits, world, model),
        fitted=np.array([hand is not None for hand in fits]),
    )


def seen(found: Hands, camera: Camera, size: tuple[int, int]) -> Seen:
    """Pixels and boxes; a box covers the joints in the picture, as the reader's does.

    Args:
        found: the hands.
        camera: of the picture, without distortion.
        size: width and height of the picture.
    """
    depth = found.joints[..., 2:]
    plane = found.joints[..., :2] / np.maximum(depth, NEAREST_M)
    pixels = plane * np.asarray(camera.focal) + np.asarray(camera.center)
    in_front = depth[..., 0] > NEAREST_M
    inside = ((pixels >= 0) & (pixels <= np.subtract(size, 1))).all(axis=-1)
    box = hand_boxes(pixels, inside & in_front & found.known[:, None])
    return Seen(pixels, in_front, box, box[:, 2] > box[:, 0])


def _params(
    fits: Sequence[Fit | None], world: WorldCamera, model: ManoModel
) -> ManoParams:
    """MANO parameters of both hands in the camera frame; zeros for a missing one."""
    none = Fit(np.zeros(3), np.zeros((15, 3)), np.zeros(10), np.zeros(3))
    both = [none if hand is None else hand for hand in fits]
    params = ManoParams(*(np.stack(values) for values in zip(*both, strict=True)))
    return to_frame(model, params, world.R, world.t)
