"""InterHand2.6M v1.0 (5 or 30 frames a second) as a dataset of labelled pictures.

The annotation files, hundreds of megabytes to gigabytes, are indexed on disk once (see
``data_pipelines.index``), so memory does not grow with them. Rules of the annotations
and their sources: ``data_pipelines.interhand26m.annotations``.
"""

import argparse
import array
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from data_pipelines import fits
from data_pipelines.index import Index
from data_pipelines.interhand26m import annotations
from data_pipelines.interhand26m.layout import SUBSETS, Layout, is_listed
from data_pipelines.labelled import Labelled, Unusable
from data_pipelines.source import Rejection


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


class InterHand26M:
    """A ``Dataset`` (see ``data_pipelines.labelled``)."""

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
                records = annotations.look_up(index, annotation)
                yield self._labelled(
                    annotations.sample(
                        records,
                        images=self.layout.images(split),
                        subset=_subset(ids, annotation, self.config.subset),
                    )
                )
            except Unusable as reason:
                yield Rejection(str(reason), _named(split, annotation, index))

    def _path(self, split: str) -> Path:
        return self.indices / f"{self.name}-{split}.sqlite"

    def _labelled(self, sample: annotations.Sample) -> Labelled:
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
        type=Path,
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
        indices=args.out / ".index",
        mano_path=args.mano,
        human_lists=args.human_lists,
    )
