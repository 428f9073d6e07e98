"""HO-3D v2 and v3: a right hand that holds an object (Hampali et al., CVPR 2020)."""

import argparse
import dataclasses
import functools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from twohand_jax import reading
from twohand_jax.errors import InputError
from twohand_jax.geometry import cameras
from twohand_jax.mano import safe_pickle
from twohand_jax.mano.joint_set import HO3D
from twohand_jax.mano.joints import CANONICAL_FROM_MODEL, WRIST
from twohand_jax.pipelines import fits
from twohand_jax.pipelines.build_dataset import converted
from twohand_jax.pipelines.labelled import NOT_FINITE, Labelled, Rejection
from twohand_jax.types import RIGHT, ManoParams

SIZE = (640, 480)
OFFICIAL = {"train": "train", "test": "evaluation"}
# README of the toolbox: version 3 stores its pictures as JPEG "due to storage".
RELEASES = {".jpg": "v3", ".png": "v2"}
NOT_ANNOTATED = "the hand is not annotated"
BAD_FILE = "the annotation file is missing, damaged or not as documented"
OUR_FROM_OPENGL = np.diag([1.0, -1.0, -1.0])
HOME = (
    'HO-3D v2 and v3 come from the project page "Hand-Object 3D pose annotation" of '
    "TU Graz, linked from github.com/shreyashampali/ho3d, for academic research only"
)
_TRAIN = {
    "camMat": (3, 3),
    "handJoints3D": (21, 3),
    "handPose": (48,),
    "handBeta": (10,),
    "handTrans": (3,),
}
_EVALUATION = {"camMat": (3, 3), "handJoints3D": (3,), "handBoundingBox": (4,)}
FIELDS = {"train": _TRAIN, "evaluation": _EVALUATION}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ho3dConfig:
    """What counts.

    Attributes:
        max_fit_error: mean distance of the fit's joints from the annotated ones,
            metres, up to which the MANO parameters count.
    """

    max_fit_error: float = 0.003


class ListedFrame(NamedTuple):
    """One line of a list: a picture of a sequence."""

    sequence: str
    frame: str

    def file(self, root: Path, split: str, kind: str, suffix: str) -> Path:
        """The frame's file of a kind (``rgb``, ``depth``, ``meta``)."""
        return root / split / self.sequence / kind / f"{self.frame}{suffix}"


@functools.lru_cache(maxsize=2)
def _frames(root: Path, split: str) -> list[ListedFrame]:
    return read_list(root, OFFICIAL[split])


@dataclasses.dataclass(frozen=True)
class Ho3d(fits.FittedDataset):
    """The unpacked release, version 2 or 3 (a ``Dataset``)."""

    config: Ho3dConfig = dataclasses.field(default_factory=Ho3dConfig)
    name = "ho3d"
    version = "1.0.0"
    description = (
        "HO-3D (Hampali et al., CVPR 2020), version 2 (66,034 training and 11,524 "
        "evaluation pictures) or 3 (83,325 and 20,137): right hands with objects, "
        "640 x 480, with MANO fits; of the evaluation split only wrist and box are "
        "public. For academic research only, no commercial use."
    )

    @property
    def settings(self) -> Mapping[str, object]:
        """The configuration and the release, told by the pictures' format."""
        release = RELEASES[self._suffix(next(iter(self.counts())))]
        return {"release": release, **dataclasses.asdict(self.config)}

    def counts(self) -> Mapping[str, int]:
        """Listed pictures of each split that is there.

        Raises:
            InputError: lists, sequences or pictures are missing.
        """
        found = {
            split: len(_frames(self.root, split))
            for split, official in OFFICIAL.items()
            if (self.root / f"{official}.txt").exists()
        }
        if not found:
            raise InputError(
                f"{self.root} holds neither train.txt nor evaluation.txt; expected "
                f"the unpacked HO-3D v2 or v3. {HOME}."
            )
        for split in found:
            self._check_sequences(split)
        return found

    def samples(
        self, split: str, numbers: Sequence[int]
    ) -> Iterator[Labelled | Rejection]:
        """Pictures in the order of the list."""
        official, suffix = OFFICIAL[split], self._suffix(split)
        for number in numbers:
            frame = _frames(self.root, split)[number]
            image_id = f"{official}/{frame.sequence}/{frame.frame}"
            picture = frame.file(self.root, official, "rgb", suffix)
            try:
                meta = read_meta(
                    frame.file(self.root, official, "meta", ".pkl"), official
                )
            except NotAnnotatedError:
                yield Rejection(NOT_ANNOTATED, image_id)
            except InputError:
                yield Rejection(BAD_FILE, image_id)
            else:
                label = self._train if split == "train" else self._evaluation
                if not all(np.isfinite(values).all() for values in meta.values()):
                    yield Rejection(NOT_FINITE, image_id)
                elif (meta["handJoints3D"][..., 2] >= 0.0).any():
                    yield Rejection(fits.BEHIND, image_id)
                else:
                    yield label(meta, picture, image_id, frame.sequence)

    def _suffix(self, split: str) -> str:
        """Of the release's pictures: those of the first listed frame."""
        first = _frames(self.root, split)[0]
        for suffix in RELEASES:
            picture = first.file(self.root, OFFICIAL[split], "rgb", suffix)
            if picture.exists():
                return suffix
        raise InputError(
            f"{picture.with_suffix('')} is missing as .jpg (version 3) and .png "
            f"(version 2). {HOME}."
        )

    def _check_sequences(self, split: str) -> None:
        self._suffix(split)
        folder = self.root / OFFICIAL[split]
        for sequence in sorted({frame.sequence for frame in _frames(self.root, split)}):
            for kind in ("rgb", "meta"):
                if not (folder / sequence / kind).is_dir():
                    raise InputError(
                        f"{folder / sequence / kind} is missing, but "
                        f"{OFFICIAL[split]}.txt lists its pictures. "
                        f"{HOME}."
                    )

    def _train(
        self,
        meta: dict[str, Float[np.ndarray, "..."]],
        picture: Path,
        image_id: str,
        sequence: str,
    ) -> Labelled:
        """Joints come in the model's order with the fingertips last.

        The order is the toolbox's ``jointsMapManoToSimple`` (``vis_HO3D.py``).
        """
        joints = (meta["handJoints3D"] @ OUR_FROM_OPENGL)[CANONICAL_FROM_MODEL]
        params, agrees = self._fit(meta, joints)
        return fits.right_hand(
            picture,
            image_id,
            subset=sequence,
            size=SIZE,
            camera=fits.pinhole(meta["camMat"]),
            joints=joints,
            params=params,
            fitted=agrees,
        )

    def _evaluation(
        self,
        meta: dict[str, Float[np.ndarray, "..."]],
        picture: Path,
        image_id: str,
        sequence: str,
    ) -> Labelled:
        """Only the wrist and the hand's box are public (README of the release)."""
        camera = fits.pinhole(meta["camMat"])
        joints, known = np.zeros((2, 21, 3)), np.zeros((2, 21), bool)
        joints[RIGHT, WRIST] = meta["handJoints3D"] @ OUR_FROM_OPENGL
        known[RIGHT, WRIST] = True
        return Labelled(
            image=picture,
            image_id=image_id,
            subset=sequence,
            size=SIZE,
            camera=camera,
            joints_2d=cameras.project(joints, camera),
            joints_2d_valid=known,
            joints_3d=joints,
            joints_3d_valid=known,
            mano=fits.no_params(),
            mano_valid=np.zeros(2, bool),
            box=fits.right_only(meta["handBoundingBox"]),
        )

    def _fit(
        self,
        meta: dict[str, Float[np.ndarray, "..."]],
        joints: Float[np.ndarray, "21 3"],
    ) -> tuple[ManoParams, bool]:
        """MANO parameters in our axes, and whether they meet the joints."""
        model = fits.load_model(self.mano_path)
        rotations = meta["handPose"].reshape(16, 3)
        params = fits.right_params(
            global_orient=rotations[0],
            hand_pose=rotations[1:] - np.asarray(model.pose_mean[RIGHT]),
            betas=meta["handBeta"],
            transl=meta["handTrans"],
        )
        params = fits.to_frame(model, params, OUR_FROM_OPENGL, np.zeros(3))
        error = fits.joint_error(model, params, joints, HO3D)
        return params, error <= self.config.max_fit_error


class NotAnnotatedError(InputError):
    """A file that lacks the hand's annotation, or holds None for it."""


def read_list(root: Path, split: str) -> list[ListedFrame]:
    """The frames of ``{split}.txt``, which alone are annotated (README of the release).

    Raises:
        InputError: the list is missing, empty or has lines of another form.
    """
    file = root / f"{split}.txt"
    try:
        lines = reading.read_text(file).split()
    except InputError as error:
        raise InputError(f"{error} {HOME}.") from error
    frames = [ListedFrame(*line.split("/")) for line in lines if _is_frame(line)]
    if len(frames) != len(lines) or not frames:
        wrong = next((line for line in lines if not _is_frame(line)), "nothing")
        raise InputError(
            f"{file} holds {wrong!r}, expected lines of the form SEQUENCE/FRAME. "
            f"{HOME}."
        )
    (most, times), *_ = Counter(frames).most_common(1)
    if times > 1:
        raise InputError(f"{file} lists {'/'.join(most)} {times} times. {HOME}.")
    return frames


def _is_frame(line: str) -> bool:
    parts = line.split("/")
    return len(parts) == 2 and not {"", ".", ".."} & set(parts)


def read_meta(file: Path, split: str) -> dict[str, Float[np.ndarray, "..."]]:
    """The hand's fields of an annotation file, OpenGL's axes, metres and pixels.

    ``handPose`` is 16 rotations in the model's order without the mean subtracted
    (toolbox: ``forwardKinematics`` loads MANO with ``flat_hand_mean``),
    ``handBoundingBox`` x and y of two corners.

    Raises:
        NotAnnotatedError: a field is missing or None.
        InputError: the file is missing, hostile, damaged, or a field has another
            shape.
    """
    shapes = FIELDS[split]
    fields = safe_pickle.load_arrays(file, shapes, what="HO-3D annotation")
    missing = sorted(shapes.keys() - fields.keys())
    if missing:
        raise NotAnnotatedError(f"{file} has no {', '.join(missing)}. {HOME}.")
    for name, shape in shapes.items():
        # Vectors are written as rows in some files and as columns in others.
        if fields[name].size != np.prod(shape):
            raise InputError(
                f"{file}: field {name!r} has shape {fields[name].shape}, expected "
                f"{shape}. {HOME}."
            )
        fields[name] = fields[name].reshape(shape).astype(float)
    return fields


def from_arguments(args: argparse.Namespace) -> Ho3d:
    """The dataset that the command line describes."""
    return Ho3d(args.source, mano_path=args.mano)


ENTRY = converted(
    name=Ho3d.name,
    summary="HO-3D v2 and v3 (Hampali et al., CVPR 2020): a hand with an object",
    from_arguments=from_arguments,
    miniature="twohand_jax.pipelines.ho3d.fixture",
    protocol="ho3d",
)
