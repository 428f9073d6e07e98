"""InterHand2.6M v1.0 (Moon et al., ECCV 2020), 5 or 30 frames a second."""

import argparse
import array
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from twohand_jax import paths
from twohand_jax.data.schema import HAND_TYPES
from twohand_jax.errors import InputError
from twohand_jax.geometry.cameras import project
from twohand_jax.mano.joints import CANONICAL_FROM_INTERHAND, WRIST
from twohand_jax.pipelines import fits
from twohand_jax.pipelines.build_dataset import INDICES, converted
from twohand_jax.pipelines.index import Index
from twohand_jax.pipelines.interhand26m.layout import SUBSETS, Layout, is_listed
from twohand_jax.pipelines.labelled import Labelled, Rejection, Unusable
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


@dataclasses.dataclass(frozen=True, kw_only=True)
class InterHandConfig:
    """What is read.

    Attributes:
        splits: to look at; empty for those that are there.
        subset: all, human or machine: whose annotations.
        fits: whether the MANO fits are read.
    """

    splits: tuple[str, ...] = ()
    subset: str = "all"
    fits: bool = True


class InterHandSample(NamedTuple):
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


class InterHand26M:
    """A ``Dataset`` (see ``twohand_jax.pipelines.labelled``)."""

    name = "interhand26m"
    version = "1.0.0"
    description = (
        "InterHand2.6M v1.0: A Dataset and Baseline for 3D Interacting Hand Pose "
        "Estimation from a Single RGB Image, Moon et al., ECCV 2020, with the MANO "
        "fits of NeuralAnnot; mks0601.github.io/InterHand2.6M; CC-BY-NC 4.0."
    )

    def __init__(
        self,
        root: Path,
        config: InterHandConfig,
        *,
        indices: Path,
        mano_path: Path | None = None,
        human_lists: Path | None = None,
    ) -> None:
        """Nothing is read yet.

        Args:
            root: folder with ``annotations`` and ``images``.
            config: what is read.
            indices: folder for the indices of the annotation files.
            mano_path: the hand model of the fits; None for the open hand.
            human_lists: folder of ``aid_human_annot_{split}.txt``.
        """
        self.config, self.mano_path, self.indices = config, mano_path, indices
        self.layout = Layout(
            root=root, subset=config.subset, human_lists=human_lists, fits=config.fits
        )

    @property
    def settings(self) -> Mapping[str, object]:
        """Everything that decides what is read."""
        lists = self.layout.human_lists is not None
        chosen = {"subset": self.config.subset, "fits": self.config.fits}
        return {**chosen, "human_lists": lists}

    @property
    def hand_model(self) -> str:
        """Name of the hand model the fits belong to."""
        return fits.load_model(self.mano_path).name

    def counts(self) -> Mapping[str, int]:
        """Annotations of each split; makes the indices that are missing.

        Raises:
            InputError: a file is missing or broken.
        """
        splits = self.config.splits or self.layout.splits()
        return {
            split: self.layout.index(split, self._path(split)).count("annotations")
            for split in splits
        }

    def samples(
        self, split: str, numbers: Sequence[int]
    ) -> Iterator[Labelled | Rejection]:
        """The annotations of these numbers."""
        index = Index(self._path(split))
        ids = self.layout.human_ids(split)
        for number in numbers:
            annotation = index.at("annotations", number)
            try:
                records = look_up(index, annotation)
                yield self._labelled(
                    read_sample(
                        records,
                        images=self.layout.images(split),
                        subset=_subset(ids, annotation, self.config.subset),
                    )
                )
            except Unusable as reason:
                yield Rejection(str(reason), _named(split, annotation, index))

    def _path(self, split: str) -> Path:
        return self.indices / f"{self.name}-{split}.sqlite"

    def _labelled(self, sample: InterHandSample) -> Labelled:
        """With the fits in the camera frame."""
        model = fits.load_model(self.mano_path)
        return Labelled(
            image=sample.image,
            image_id=sample.image_id,
            subset=sample.subset,
            size=sample.size,
            camera=sample.camera,
            hand_type=sample.hand_type,
            joints_2d=sample.joints_2d,
            joints_2d_valid=sample.joints_2d_valid,
            joints_3d=sample.joints_3d,
            joints_3d_valid=sample.joints_3d_valid,
            mano=fits.to_frame(model, sample.fits, sample.R, sample.t),
            mano_valid=sample.fits_valid,
        )


def _subset(ids: array.array | None, annotation: Mapping[str, int], chosen: str) -> str:
    """H for a human annotation, M for a machine's, "" where nothing says which."""
    if chosen != "all":
        return chosen[0].upper()
    if ids is None:
        return ""
    return "H" if is_listed(ids, annotation["id"]) else "M"


def _named(split: str, annotation: Mapping[str, object], index: Index) -> str:
    """What a rejected annotation is and refers to."""
    image = index.get("images", annotation.get("image_id")) or {}
    places = {key: image.get(key) for key in ("capture", "camera", "frame_idx")}
    told = ", ".join(f"{key} {value}" for key, value in places.items())
    return f"{split} annotation {annotation.get('id')} ({told})"


class AnnotationEntries(NamedTuple):
    """What the files say of one annotation."""

    annotation: Mapping[str, Any]
    image: Mapping[str, Any]
    camera: Mapping[str, Any]
    frame: Mapping[str, Any]
    fits: Mapping[str, Any]


def read_records(
    root: str | Path, split: str, *, fits: bool = False
) -> Iterator[InterHandSample]:
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
                yield read_sample(records, images=layout.images(split))
            except Unusable as error:
                raise InputError(
                    f"Annotation {annotation.get('id')} of split {split}: {error}."
                ) from error


def look_up(index: Index, annotation: Mapping[str, Any]) -> AnnotationEntries:
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
    return AnnotationEntries(annotation, image, cameras, frame, fits or {})


def read_sample(
    records: AnnotationEntries, *, images: Path, subset: str = ""
) -> InterHandSample:
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


def _sample(records: AnnotationEntries, images: Path, subset: str) -> InterHandSample:
    annotation, image, camera, frame, fits = records
    if annotation["hand_type"] not in HAND_TYPES:
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
    return InterHandSample(
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
    return np.where(valid[..., None], project(joints, camera), 0.0)


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


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The dataset's own flags."""
    parser.add_argument(
        "--subset",
        choices=tuple(SUBSETS),
        default="all",
        help="whose annotations: human is the test set of InterWild",
    )
    parser.add_argument(
        "--human-lists",
        type=paths.given,
        metavar="DIR",
        help="folder of aid_human_annot_{train,test}.txt, as InterWild publishes them",
    )
    parser.add_argument(
        "--without-fits", action="store_true", help="do without the MANO files"
    )


def from_arguments(args: argparse.Namespace) -> InterHand26M:
    """The dataset as the flags say."""
    config = InterHandConfig(
        splits=tuple(args.splits), subset=args.subset, fits=not args.without_fits
    )
    return InterHand26M(
        args.source,
        config,
        indices=args.out / INDICES,
        mano_path=args.mano,
        human_lists=args.human_lists,
    )


ENTRY = converted(
    name=InterHand26M.name,
    summary="InterHand2.6M v1.0 (Moon et al., ECCV 2020), 5 or 30 frames a second",
    add_arguments=add_arguments,
    from_arguments=from_arguments,
    miniature="twohand_jax.pipelines.interhand26m.fixture",
    protocol="wrist",
)
