"""COCO-WholeBody v1.0 (Jin et al., ECCV 2020): its hands as records, one a person."""

import argparse
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Float

from twohand_jax.geometry.cameras import backproject, project
from twohand_jax.mano import params as mano_params
from twohand_jax.pipelines.build_dataset import INDICES, converted
from twohand_jax.pipelines.coco_wholebody import layout
from twohand_jax.pipelines.fits import load_model
from twohand_jax.pipelines.index import Index
from twohand_jax.pipelines.labelled import Labelled, Rejection, Unusable
from twohand_jax.types import SIDES, Camera, ManoModel, ManoParams

NO_IMAGE = "the annotation names an unknown image"
NO_CAMERA = Camera(np.zeros(2), np.zeros(2))
BEHIND = "a fitted hand lies behind its camera"
_rest_wrist = jax.jit(mano_params.rest_wrist)
FIT_LENGTHS = {"pose": 48, "shape": 10, "trans": 3}
CAMERA_LENGTHS = {"focal": 2, "princpt": 2}
NO_KEYPOINTS = "a hand's keypoints are not 21 points with a flag each"
NO_BOX = "a hand's box is not four numbers"
NO_FIT = "a MANO vector is missing or has a wrong length"
# How many times further away than the fits' own cameras.
FURTHER = 20.0
SAME_WITHIN_PX = 1e-3


@dataclasses.dataclass(frozen=True, kw_only=True)
class CocoWholeBodyConfig:
    """What is read.

    Attributes:
        splits: train, val; empty for those that are there.
        fits: whether NeuralAnnot's MANO parameters are read (training split only).
    """

    splits: tuple[str, ...] = ()
    fits: bool = True


class CameraFit(NamedTuple):
    """MANO parameters of one hand in the frame of its own camera."""

    global_orient: Float[np.ndarray, "3"]
    hand_pose: Float[np.ndarray, "15 3"]
    betas: Float[np.ndarray, "10"]
    transl: Float[np.ndarray, "3"]
    camera: Camera


class CocoWholeBody:
    """A ``Dataset`` (see ``twohand_jax.pipelines.labelled``)."""

    name = "coco_wholebody"
    version = "1.0.0"
    description = (
        "Hands of COCO-WholeBody v1.0: Whole-Body Human Pose Estimation in the Wild, "
        "Jin et al., ECCV 2020, github.com/jin-s13/COCO-WholeBody, non-commercial "
        "research only; pictures of COCO 2017 under Flickr's terms; MANO pseudo ground "
        "truth of NeuralAnnot, Moon et al., CVPRW 2022. One record a person: labels in "
        "2D, MANO parameters without a distance between the hands."
    )

    def __init__(
        self,
        root: Path,
        config: CocoWholeBodyConfig | None = None,
        *,
        indices: Path,
        mano_path: Path | None = None,
    ) -> None:
        """Nothing is read yet.

        Args:
            root: folder with ``annotations`` and ``images``.
            config: what is read.
            indices: folder for the indices of the annotation files.
            mano_path: the hand model of the fits; None for the open hand.
        """
        self.root, self.indices, self.mano_path = root, indices, mano_path
        self.config = config or CocoWholeBodyConfig()

    @property
    def settings(self) -> Mapping[str, object]:
        """Everything that decides what is read."""
        return {"fits": self.config.fits}

    @property
    def hand_model(self) -> str:
        """Name of the hand model the fits belong to."""
        return load_model(self.mano_path).name

    def counts(self) -> Mapping[str, int]:
        """People with hands in each split; makes the indices that are missing.

        Raises:
            InputError: a file is missing or broken.
        """
        splits = self.config.splits or layout.find_splits(self.root)
        return {
            split: layout.index_of(
                self.root, split, self._path(split), fits=self.config.fits
            ).count("people")
            for split in splits
        }

    def samples(
        self, split: str, numbers: Sequence[int]
    ) -> Iterator[Labelled | Rejection]:
        """The people of these numbers, in their order."""
        index = Index(self._path(split))
        for number in numbers:
            person = index.at("people", number)
            try:
                yield self._labelled(split, person, index)
            except Unusable as reason:
                yield Rejection(str(reason), f"{split} annotation {person['id']}")

    def _path(self, split: str) -> Path:
        return self.indices / f"{self.name}-{split}.sqlite"

    def _labelled(
        self, split: str, person: Mapping[str, Any], index: Index
    ) -> Labelled:
        image = index.get("images", person.get("image_id"))
        if image is None:
            raise Unusable(NO_IMAGE)
        path, size = layout.picture_path(self.root, split, image)
        hands = read_hands(person, size)
        shown = [bool(flags.any()) for flags in hands.known]
        fits = self._fits(person, index, shown)
        camera, params = _in_one_camera(fits, load_model(self.mano_path))
        return Labelled(
            image=path,
            image_id=f"{split}2017/{path.stem}/{person['id']}",
            subset="",
            size=size,
            camera=camera,
            joints_2d=hands.joints,
            joints_2d_valid=hands.known,
            # InterWild counts no 3D joints of this set (``is_3D`` is false) and no
            # translation between the hands; the fits' pose, shape and surface it does.
            joints_3d=np.zeros((2, 21, 3)),
            joints_3d_valid=np.zeros((2, 21), bool),
            mano=params,
            mano_valid=np.array([fit is not None for fit in fits]),
            box=hands.box,
        )

    def _fits(
        self, person: Mapping[str, Any], index: Index, shown: Sequence[bool]
    ) -> list[CameraFit | None]:
        """The fits of the hands that are shown."""
        found = index.get("fits", person["id"]) if "fits" in index.tables else None
        if found is None:
            return [None, None]
        if not isinstance(found, dict):
            raise Unusable(NO_FIT)
        fits = [read_fit(found.get(side)) for side in SIDES]
        return [fit if seen else None for fit, seen in zip(fits, shown, strict=True)]


def _in_one_camera(
    fits: Sequence[CameraFit | None], model: ManoModel
) -> tuple[Camera | None, ManoParams]:
    """Both hands' parameters in one camera frame, zeros for a hand without a fit."""
    none = CameraFit(
        np.zeros(3), np.zeros((15, 3)), np.zeros(10), np.zeros(3), NO_CAMERA
    )
    own = [fit.camera for fit in fits if fit is not None]
    if not own:
        return None, _stacked([none, none])
    camera = shared_camera(own)
    params = _stacked([fit or none for fit in fits])
    rest = np.asarray(_rest_wrist(model, params.betas))
    for side, fit in enumerate(fits):
        if fit is not None:
            wrist = rest[side] + fit.transl
            if wrist[2] <= 0:
                raise Unusable(BEHIND)
            params.transl[side] = moved_fit(wrist, fit.camera, camera) - rest[side]
    return camera, params


def _stacked(fits: Sequence[CameraFit]) -> ManoParams:
    """The parameters of both hands, as their cameras see them."""
    columns = list(zip(*fits, strict=True))[: len(ManoParams._fields)]
    return ManoParams(*(np.stack(values).astype(np.float32) for values in columns))


class PersonHands(NamedTuple):
    """The 2D labels of a person's hands, pixels."""

    joints: Float[np.ndarray, "2 21 2"]
    known: Bool[np.ndarray, "2 21"]
    box: Float[np.ndarray, "2 4"]


def read_hands(annotation: Mapping[str, Any], size: tuple[int, int]) -> PersonHands:
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
    return PersonHands(joints, known, box)


def read_fit(entry: object) -> CameraFit | None:
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
    return CameraFit(
        pose[:3], pose[3:].reshape(15, 3), shape, transl, Camera(focal, center)
    )


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


def shared_camera(cameras: Sequence[Camera]) -> Camera:
    """The one camera for hands that were fitted with these.

    Args:
        cameras: one or two.
    """
    first = cameras[0]
    stacked = [np.stack(values) for values in zip(*cameras, strict=True)]
    if all(np.ptp(values, axis=0).max() <= SAME_WITHIN_PX for values in stacked):
        return first
    focal, center = stacked
    return Camera(focal=FURTHER * focal.max(axis=0), center=center.mean(axis=0))


def moved_fit(
    wrist: Float[np.ndarray, "3"], own: Camera, other: Camera
) -> Float[np.ndarray, "3"]:
    """Where a hand's wrist has the same pixel and scale before the other camera."""
    if own is other:
        return wrist
    depth = wrist[2] * np.mean(other.focal) / np.mean(own.focal)
    pixel = project(wrist[None], own)
    return backproject(pixel, np.array([depth]), other)[0]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The dataset's own flags."""
    parser.add_argument(
        "--without-fits", action="store_true", help="do without the MANO file"
    )


def from_arguments(args: argparse.Namespace) -> CocoWholeBody:
    """The dataset as the flags say."""
    config = CocoWholeBodyConfig(splits=tuple(args.splits), fits=not args.without_fits)
    return CocoWholeBody(
        args.source, config, indices=args.out / INDICES, mano_path=args.mano
    )


ENTRY = converted(
    name=CocoWholeBody.name,
    summary="COCO-WholeBody v1.0 (Jin et al., ECCV 2020): one record a person",
    add_arguments=add_arguments,
    from_arguments=from_arguments,
    miniature="twohand_jax.pipelines.coco_wholebody.fixture",
)
