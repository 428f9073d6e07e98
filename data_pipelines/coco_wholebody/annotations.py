"""Reading COCO-WholeBody's annotations (Jin et al., ECCV 2020), version 1.0.

Per person and hand they hold a box (x, y, width, height), 21 keypoints (x, y, v) of
which those with v > 0 count (v may be a fraction), and whether the hand was clear
enough to be labelled at all; what is not is zero (``data_format.md`` of
jin-s13/COCO-WholeBody). Boxes are taken as they are: about 1.2 times the tight box.
Keypoints count pixels from 0, so that pixel centres are integers. Within a hand they
are already canonical: wrist, thumb 1-4, index 1-4, middle 1-4, ring 1-4, pinky 1-4
(indices 91-111 of the left and 112-132 of the right hand among all 133).

The MANO parameters are pseudo ground truth by NeuralAnnot (Moon et al., CVPRW 2022;
mks0601/NeuralAnnot_RELEASE, ``MSCOCO/demo_mano.py``): relative to the mean pose, in
metres, each hand in the frame of a camera of its own.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from data_pipelines.labelled import Unusable
from twohand_jax.types import SIDES, Camera

FIT_LENGTHS = {"pose": 48, "shape": 10, "trans": 3}
CAMERA_LENGTHS = {"focal": 2, "princpt": 2}
NO_KEYPOINTS = "a hand's keypoints are not 21 points with a flag each"
NO_BOX = "a hand's box is not four numbers"
NO_FIT = "a MANO vector is missing or has a wrong length"


class Hands(NamedTuple):
    """The 2D labels of a person's hands, pixels."""

    joints: Float[np.ndarray, "2 21 2"]
    known: Bool[np.ndarray, "2 21"]
    box: Float[np.ndarray, "2 4"]


class Fit(NamedTuple):
    """MANO parameters of one hand in the frame of its own camera."""

    global_orient: Float[np.ndarray, "3"]
    hand_pose: Float[np.ndarray, "15 3"]
    betas: Float[np.ndarray, "10"]
    transl: Float[np.ndarray, "3"]
    camera: Camera


def has_hands(annotation: Mapping[str, Any]) -> bool:
    """Whether a person has a labelled hand and is no crowd.

    The rule of facebookresearch/InterWild, ``data/MSCOCO/MSCOCO.py``, which also leaves
    out people without a labelled body joint because it looks for hands in body boxes;
    here a hand that fills the picture is welcome.
    """
    labelled = any(annotation.get(f"{side}hand_valid") for side in SIDES)
    return labelled and not annotation.get("iscrowd")


def hands(annotation: Mapping[str, Any], size: tuple[int, int]) -> Hands:
    """The labels of both hands.

    A hand without a box in the picture has no labels: no crop could show it.

    Args:
        annotation: of a person.
        size: width and height of the picture.

    Raises:
        Unusable: keypoints or box of a labelled hand have another form.
    """
    joints, known, box = np.zeros((2, 21, 2)), np.zeros((2, 21), bool), np.zeros((2, 4))
    for row, side in enumerate(SIDES):
        if annotation.get(f"{side}hand_valid"):
            points = _vector(annotation, f"{side}hand_kpts", 63, NO_KEYPOINTS)
            corners = _vector(annotation, f"{side}hand_box", 4, NO_BOX)
            box[row] = _box(corners, size)
            joints[row] = points.reshape(21, 3)[:, :2]
            known[row] = (points.reshape(21, 3)[:, 2] > 0) & box[row].any()
    return Hands(joints, known, box)


def fit(entry: object) -> Fit | None:
    """A hand's parameters and camera; None for a hand without.

    Raises:
        Unusable: a vector is missing or has another length.
    """
    if entry is None:
        return None
    if not isinstance(entry, Mapping):
        raise Unusable(NO_FIT)
    params, camera = entry.get("mano_param"), entry.get("cam_param")
    pose, shape, transl = (
        _vector(params, key, length, NO_FIT) for key, length in FIT_LENGTHS.items()
    )
    focal, center = (
        _vector(camera, key, length, NO_FIT) for key, length in CAMERA_LENGTHS.items()
    )
    return Fit(pose[:3], pose[3:].reshape(15, 3), shape, transl, Camera(focal, center))


def _box(
    corners: Float[np.ndarray, "4"], size: tuple[int, int]
) -> Float[np.ndarray, "4"]:
    """Corners of the part in the picture; zeros where there is none."""
    low, high = corners[:2], corners[:2] + corners[2:]
    limit = np.asarray(size) - 1
    inside = np.concatenate([np.clip(low, 0, limit), np.clip(high, 0, limit)])
    return inside if (inside[2:] > inside[:2]).all() else np.zeros(4)


def _vector(
    entry: object, key: str, length: int, reason: str
) -> Float[np.ndarray, "n"]:
    """The numbers under a key, flat; null is NaN."""
    if not isinstance(entry, Mapping):
        raise Unusable(reason)
    try:
        values = np.asarray(entry[key], np.float64).ravel()
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise Unusable(reason) from error
    if values.size != length:
        raise Unusable(reason)
    return values
