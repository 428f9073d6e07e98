"""InterHand2.6M's annotations (Moon et al., ECCV 2020) in our conventions.

Rules and where they come from:

- world to camera: R (x - campos), millimetres, R and campos of the annotation's camera
  (InterWild, ``data/InterHand26M/InterHand26M.py``: t = -R campos).
- joints: 21 a hand, right hand first, each finger from tip to base and the wrist last
  (``skeleton.txt``; names in the same InterWild file).
- ``joint_valid`` of the joint file tells whether a joint was annotated, that of the
  annotation whether it also lies in this picture (``DATASET.md`` of
  facebookresearch/InterHand2.6M): they make the 3D and the 2D flags. A hand without a
  valid wrist has no valid joints, as poses are relative to it (the same repository's
  ``data/InterHand2.6M/dataset.py``, and InterWild).
- a hand that has no joints in the picture has neither 3D joints nor a fit (InterWild).
- fits (NeuralAnnot): one of a frame in the world frame, metres, pose relative to MANO's
  mean pose and left shape directions mended, as loading MANO does here too; a hand may
  be null (``tool/MANO_world_to_camera/convert.py`` of facebookresearch/InterHand2.6M).
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from data_pipelines.index import Index
from data_pipelines.interhand26m.layout import Layout
from data_pipelines.labelled import Unusable
from twohand_jax.errors import InputError
from twohand_jax.mano.joints import CANONICAL_FROM_INTERHAND, WRIST
from twohand_jax.types import SIDES, Camera, ManoParams

NUM_JOINTS = 42
FIT_LENGTHS = {"pose": 48, "shape": 10, "trans": 3}
MM = 1000.0
NO_IMAGE = "the annotation's image is not in the data file"
NO_CAMERA = "the capture or camera is not in the camera file"
NO_FRAME = "the capture or frame is not in the joint file"
JOINT_COUNT = "there are not 42 joints"
FIT_LENGTH = "a MANO vector has another length than 48 + 10 + 3"
HAND_TYPE = "the hand type is not right, left or interacting"
MALFORMED = "a field is missing or has another form"


class Sample(NamedTuple):
    """One annotated picture: both hands, right first; pixels.

    ``joints_3d`` is in metres in the camera frame; ``fits`` in metres in the *world*
    frame, with ``x_cam = R x_world + t``.
    """

    image: Path
    image_id: str
    subset: str
    size: tuple[int, int]
    hand_type: str
    camera: Camera
    R: Float[np.ndarray, "3 3"]
    t: Float[np.ndarray, "3"]
    joints_3d: Float[np.ndarray, "2 21 3"]
    joints_3d_valid: Bool[np.ndarray, "2 21"]
    joints_2d: Float[np.ndarray, "2 21 2"]
    joints_2d_valid: Bool[np.ndarray, "2 21"]
    fits: ManoParams
    fits_valid: Bool[np.ndarray, "2"]


class Records(NamedTuple):
    """What the files say of one annotation."""

    annotation: Mapping[str, Any]
    image: Mapping[str, Any]
    camera: Mapping[str, Any]
    frame: Mapping[str, Any]
    fits: Mapping[str, Any]


def read(root: str | Path, split: str, *, fits: bool = False) -> Iterator[Sample]:
    """The samples of a split, in the order of its annotations.

    Args:
        root: folder with ``annotations`` and ``images``.
        split: train, val or test.
        fits: whether the MANO file is read.

    Raises:
        InputError: a file is missing or broken, or an annotation is not usable.
    """
    layout = Layout(root=Path(root), fits=fits)
    with TemporaryDirectory() as folder:
        index = layout.index(split, Path(folder) / "index.sqlite")
        for number in range(index.count("annotations")):
            annotation = index.at("annotations", number)
            try:
                records = look_up(index, annotation)
                yield sample(records, images=layout.images(split))
            except Unusable as error:
                raise InputError(
                    f"Annotation {annotation.get('id')} of split {split}: {error}."
                ) from error


def look_up(index: Index, annotation: Mapping[str, Any]) -> Records:
    """Everything that belongs to an annotation.

    Raises:
        Unusable: it names an image, camera or frame that is not there.
    """
    image = index.get("images", annotation.get("image_id"))
    if image is None:
        raise Unusable(NO_IMAGE)
    capture, camera = image.get("capture"), image.get("camera")
    cameras = {
        key: index.get("cameras", f"{capture}/{key}/{camera}")
        for key in ("campos", "camrot", "focal", "princpt")
    }
    if None in cameras.values():
        raise Unusable(NO_CAMERA)
    place = f"{capture}/{image.get('frame_idx')}"
    frame = index.get("frames", place)
    if frame is None:
        raise Unusable(NO_FRAME)
    fits = index.get("fits", place) if "fits" in index.tables else None
    return Records(annotation, image, cameras, frame, fits or {})


def sample(records: Records, *, images: Path, subset: str = "") -> Sample:
    """An annotation in our conventions.

    Args:
        records: of the annotation.
        images: folder that the picture's name starts from.
        subset: H or M, "" for neither.

    Raises:
        Unusable: something in it is missing, or has another form.
    """
    try:
        return _sample(records, images, subset)
    except (KeyError, TypeError, AttributeError) as error:
        raise Unusable(MALFORMED) from error
    except ValueError as error:
        raise error if isinstance(error, Unusable) else Unusable(MALFORMED) from error


def _sample(records: Records, images: Path, subset: str) -> Sample:
    annotation, image, camera, frame, fits = records
    if annotation["hand_type"] not in (*SIDES, "interacting"):
        raise Unusable(HAND_TYPE)
    R = np.asarray(camera["camrot"], float).reshape(3, 3)
    t = -R @ np.asarray(camera["campos"], float).reshape(3) / MM
    pinhole = Camera(
        focal=np.asarray(camera["focal"], float).reshape(2),
        center=np.asarray(camera["princpt"], float).reshape(2),
    )
    joints = _canonical(frame["world_coord"], 3) / MM @ R.T + t
    seen = _flags(annotation["joint_valid"])
    valid = _flags(frame.get("joint_valid", annotation["joint_valid"]))
    in_picture = seen & valid
    shown = in_picture.sum(axis=-1) > 1
    params, fits_valid = _fits(fits)
    path = images / image["file_name"]
    return Sample(
        image=path,
        image_id=f"{images.name}/{Path(image['file_name']).with_suffix('')}",
        subset=subset,
        size=(image["width"], image["height"]),
        hand_type=annotation["hand_type"],
        camera=pinhole,
        R=R,
        t=t,
        joints_3d=joints,
        joints_3d_valid=valid & shown[:, None],
        joints_2d=_project(joints, pinhole, in_picture),
        joints_2d_valid=in_picture & shown[:, None],
        fits=params,
        fits_valid=fits_valid & shown,
    )


def _canonical(values: object, size: int) -> Float[np.ndarray, "2 21 size"]:
    """From 42 joints, right hand first and tip to base."""
    array = np.asarray(values, float)
    if len(array) != NUM_JOINTS:
        raise Unusable(JOINT_COUNT)
    return array.reshape(2, 21, size)[:, CANONICAL_FROM_INTERHAND]


def _flags(values: object) -> Bool[np.ndarray, "2 21"]:
    """Joint flags; none of a hand holds when that of its wrist does not."""
    valid = _canonical(values, 1)[..., 0] > 0
    return valid & valid[:, [WRIST]]


def _project(
    joints: Float[np.ndarray, "2 21 3"], camera: Camera, valid: Bool[np.ndarray, "2 21"]
) -> Float[np.ndarray, "2 21 2"]:
    """Pixels of the valid joints, zeros for the others."""
    depth = np.where(valid, joints[..., 2], 1.0)[..., None]
    pixels = joints[..., :2] / depth * camera.focal + camera.center
    return np.where(valid[..., None], pixels, 0.0)


def _fits(fits: Mapping[str, Any]) -> tuple[ManoParams, Bool[np.ndarray, "2"]]:
    """MANO parameters in the world frame; zeros for a hand without."""
    vectors = {name: np.zeros((2, n)) for name, n in FIT_LENGTHS.items()}
    valid = np.zeros(2, bool)
    for side, name in enumerate(SIDES):
        fit = fits.get(name)
        if fit is None:
            continue
        for key, length in FIT_LENGTHS.items():
            vector = np.asarray(fit[key], float)
            if vector.shape != (length,):
                raise Unusable(FIT_LENGTH)
            vectors[key][side] = vector
        valid[side] = True
    params = ManoParams(
        global_orient=vectors["pose"][:, :3],
        hand_pose=vectors["pose"][:, 3:].reshape(2, 15, 3),
        betas=vectors["shape"],
        transl=vectors["trans"],
    )
    return params, valid
