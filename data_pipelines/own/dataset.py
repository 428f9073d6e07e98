"""One's own annotated pictures, described in a JSON file (see ``labels``)."""

import argparse
import dataclasses
import functools
import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from twohand_jax import paths, reading
from twohand_jax.errors import InputError
from twohand_jax.geometry import boxes, cameras
from twohand_jax.mano.joint_set import POSED
from twohand_jax.pipelines import fits
from twohand_jax.pipelines.build_dataset import converted
from twohand_jax.pipelines.labelled import Labelled, Rejection
from twohand_jax.pipelines.own import labels
from twohand_jax.pipelines.own.labels import Labels, Picture
from twohand_jax.types import NUM_JOINTS, Camera, ManoParams

FILE = "labels.json"
OFF_2D = "the 3D joints do not project onto the 2D joints"
OFF_3D = "the MANO parameters do not meet the 3D joints"


@dataclasses.dataclass(frozen=True, kw_only=True)
class OwnConfig:
    """When labels contradict each other, so that a picture is left out.

    Attributes:
        max_pixels: median distance of projected 3D joints from the 2D joints, pixels.
        max_share: or this share of the longer side of the 2D joints' box, if it is
            more: pictures may be large, and annotators are not exact.
        max_fit_error: mean distance of the posed hand model's joints from the 3D
            joints, metres. Definitions of joints differ by up to a centimetre.
    """

    max_pixels: float = 5.0
    max_share: float = 0.05
    max_fit_error: float = 0.02


@functools.lru_cache(maxsize=2)
def _read(path: Path, changed: int) -> Labels:
    """Read once a process, and again when the file has changed."""
    del changed
    return labels.read(path)


@dataclasses.dataclass(frozen=True)
class Own:
    """Annotated pictures of a labels file (a ``Dataset``).

    Attributes:
        path: the labels file.
        config: what contradicts.
        mano_path: where the hand model of the fits lies; None for the open hand.
    """

    path: Path
    config: OwnConfig = dataclasses.field(default_factory=OwnConfig)
    mano_path: Path | None = None
    name = "own"
    version = "1.0.0"
    description = (
        "Annotated pictures of one's own, from a labels file (docs/data.md); their "
        "terms are their owner's."
    )

    @property
    def settings(self) -> Mapping[str, object]:
        """The configuration, and what tells labels apart."""
        content = reading.read_bytes(self.path)
        digest = hashlib.sha256(content).hexdigest()
        return {**dataclasses.asdict(self.config), "labels": digest}

    @property
    def hand_model(self) -> str:
        """Name of the model of the fits."""
        return fits.load_model(self.mano_path).name

    @property
    def is_pseudo(self) -> bool:
        """Whether some labels are less than certain."""
        hands = (hand for one in self._labels().pictures for hand in one.hands)
        return any(hand is not None and hand.confidence < 1.0 for hand in hands)

    def counts(self) -> Mapping[str, int]:
        """Pictures of each split.

        Raises:
            InputError: the labels are not of the documented form, their fits belong to
                another hand model, or none of their pictures is there.
        """
        pictures = self._labels().pictures
        self._check_hand_model()
        if not any(picture.image.is_file() for picture in pictures):
            raise InputError(
                f"None of the {len(pictures)} pictures of {self.path} is there, the "
                f"first would be {pictures[0].image}: 'image' is a path relative to "
                "the folder of the labels file."
            )
        return dict(Counter(picture.split for picture in pictures))

    def samples(
        self, split: str, numbers: Sequence[int]
    ) -> Iterator[Labelled | Rejection]:
        """Pictures in the order of the file."""
        pictures = [one for one in self._labels().pictures if one.split == split]
        for number in numbers:
            yield self._sample(pictures[number])

    def _labels(self) -> Labels:
        changed = self.path.stat().st_mtime_ns if self.path.is_file() else 0
        return _read(self.path, changed)

    def _check_hand_model(self) -> None:
        found = self._labels()
        fitted = any(
            hand is not None and hand.mano is not None
            for picture in found.pictures
            for hand in picture.hands
        )
        if fitted and found.hand_model and found.hand_model != self.hand_model:
            raise InputError(
                f"The MANO parameters of {self.path} belong to the hand model "
                f"{found.hand_model!r}, but the loaded one is {self.hand_model!r}: "
                "give the folder of theirs with --mano."
            )

    def _sample(self, picture: Picture) -> Labelled | Rejection:
        joints_3d = _stacked(picture, "joints_m", 3)
        params, fitted = self._fits(picture)
        if fitted.any():
            model = fits.load_model(self.mano_path)
            posed = np.array(fits.joints(model, params, POSED), float)
            off = np.linalg.norm(posed - joints_3d, axis=-1)[fitted]
            off = off[np.isfinite(off)]
            if off.size and off.mean() > self.config.max_fit_error:
                return Rejection(OFF_3D, picture.image_id)
            unlabelled = fitted & np.isnan(joints_3d).all(axis=(1, 2))
            joints_3d[unlabelled] = posed[unlabelled]
        joints_2d, camera = _stacked(picture, "joints_px", 2), picture.camera
        if camera is not None:
            if (joints_3d[..., 2] <= 0.0).any():
                return Rejection(fits.BEHIND, picture.image_id)
            projected = _projected(joints_3d, camera)
            if self._contradict(joints_2d, projected):
                return Rejection(OFF_2D, picture.image_id)
            left_out = np.isnan(joints_2d).all(axis=(1, 2))
            joints_2d[left_out] = projected[left_out]
        known_2d, known_3d = (
            np.isfinite(joints).all(axis=-1) for joints in (joints_2d, joints_3d)
        )
        return Labelled(
            image=picture.image,
            image_id=picture.image_id,
            subset=picture.subset,
            size=None,
            camera=camera,
            joints_2d=joints_2d,
            joints_2d_valid=known_2d,
            joints_3d=joints_3d,
            joints_3d_valid=known_3d,
            mano=params,
            mano_valid=fitted,
            box=_boxes(picture, joints_2d, known_2d),
            doubt=_doubt(picture) if self.is_pseudo else None,
        )

    def _fits(self, picture: Picture) -> tuple[ManoParams, Bool[np.ndarray, "2"]]:
        """Parameters relative to the mean pose, and which hands have them."""
        params, fitted = fits.no_params(), np.zeros(2, bool)
        for side, hand in enumerate(picture.hands):
            if hand is None or hand.mano is None:
                continue
            found, fitted[side] = hand.mano, True
            for values, given in zip(params, found[:4], strict=True):
                values[side] = given
            if found.is_flat:
                model = fits.load_model(self.mano_path)
                params.hand_pose[side] -= np.asarray(model.pose_mean[side])
        return params, fitted

    def _contradict(
        self, given: Float[np.ndarray, "2 21 2"], projected: Float[np.ndarray, "2 21 2"]
    ) -> bool:
        """Whether 2D joints are elsewhere than the 3D joints are seen."""
        for points, seen in zip(given, projected, strict=True):
            off = np.linalg.norm(points - seen, axis=-1)
            known = np.isfinite(off)
            if not known.any():
                continue
            side = np.ptp(points[known], axis=0).max()
            most = max(self.config.max_pixels, self.config.max_share * side)
            if np.median(off[known]) > most:
                return True
        return False


def _doubt(picture: Picture) -> Float[np.ndarray, "2"]:
    """How uncertain the labels of each hand are."""
    confidence = [1.0 if hand is None else hand.confidence for hand in picture.hands]
    return 1.0 - np.asarray(confidence)


def _stacked(picture: Picture, part: str, axes: int) -> Float[np.ndarray, "2 21 axes"]:
    """Joints of both hands, NaN where they are not known."""
    joints = np.full((2, NUM_JOINTS, axes), np.nan)
    for side, hand in enumerate(picture.hands):
        if hand is not None and getattr(hand, part) is not None:
            joints[side] = getattr(hand, part)
    return joints


def _projected(
    joints: Float[np.ndarray, "2 21 3"], camera: Camera
) -> Float[np.ndarray, "2 21 2"]:
    """Pixels of joints, NaN for unknown ones."""
    return np.asarray(cameras.project(joints, camera))


def _boxes(
    picture: Picture,
    joints_2d: Float[np.ndarray, "2 21 2"],
    known: Bool[np.ndarray, "2 21"],
) -> Float[np.ndarray, "2 4"]:
    """The given boxes, and boxes about the 2D joints of the other hands."""
    joints = np.where(known[..., None], joints_2d, 0.0)
    box = np.asarray(boxes.around_joints(joints, known), np.float32).copy()
    for side, hand in enumerate(picture.hands):
        if hand is not None and hand.box is not None:
            box[side] = hand.box
    return box


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this dataset."""
    parser.add_argument(
        "--labels",
        type=paths.given,
        metavar="FILE",
        help=f"the labels file (docs/data.md); {FILE} of --source",
    )


def from_arguments(args: argparse.Namespace) -> Own:
    """The dataset that the command line describes.

    Raises:
        InputError: the labels are not named, or twice.
    """
    if (args.labels is None) == (args.source is None):
        raise InputError(
            "Give the labels file of your pictures with --labels FILE, or a folder "
            f"with a file {FILE} with --source DIR."
        )
    path = args.labels if args.source is None else args.source / FILE
    return Own(path, mano_path=args.mano)


ENTRY = converted(
    name=Own.name,
    summary="pictures of your own, with labels in a JSON file (--labels)",
    add_arguments=add_arguments,
    from_arguments=from_arguments,
    miniature="twohand_jax.pipelines.own.fixture",
    protocol="wrist",
    has_folder=False,
)
