"""Where InterHand2.6M's files lie, and their index.

Version 1.0, at 5 or at 30 frames a second, has ``annotations/{split}`` (the dataset's
page); releases before it have ``annotations/{all,human_annot,machine_annot}`` instead
(README.md and DATASET.md of facebookresearch/InterHand2.6M, which also say that the
releases at 5 and at 30 frames a second have one structure).
"""

import array
import bisect
import dataclasses
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from twohand_jax import reading
from twohand_jax.errors import InputError
from twohand_jax.pipelines import index
from twohand_jax.pipelines.index import Collection, Entries, Index, Items

SPLITS = ("train", "val", "test")
SUBSETS = {"all": "all", "human": "human_annot", "machine": "machine_annot"}
WHERE = (
    "InterHand2.6M v1.0 (mks0601.github.io/InterHand2.6M, CC-BY-NC 4.0) has "
    "annotations/SPLIT/InterHand2.6M_SPLIT_{data,camera,joint_3d,MANO_NeuralAnnot}.json"
    " and images/SPLIT below one folder"
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Layout:
    """The files of one copy of the dataset.

    Attributes:
        root: folder with ``annotations`` and ``images``.
        subset: all, human or machine: whose annotations.
        human_lists: folder of ``aid_human_annot_{split}.txt``, the ids of the human
            annotations as InterWild publishes them; None where it is not needed.
        fits: whether there are MANO fits.
    """

    root: Path
    subset: str = "all"
    human_lists: Path | None = None
    fits: bool = True

    def images(self, split: str) -> Path:
        """Folder that the pictures' names in the annotations start from."""
        return self.root / "images" / split

    def annotations(self, split: str) -> Path:
        """Folder of a split's annotation files."""
        earlier = self.root / "annotations" / SUBSETS[self.subset]
        if earlier.is_dir():
            return earlier
        return self.root / "annotations" / split

    def file(self, split: str, part: str) -> Path:
        """An annotation file.

        Args:
            split: train, val or test.
            part: data, camera, joint_3d or MANO_NeuralAnnot.
        """
        return self.annotations(split) / f"InterHand2.6M_{split}_{part}.json"

    def human_list(self, split: str) -> Path | None:
        """File with the ids of the human annotations."""
        if self.human_lists is None:
            return None
        return self.human_lists / f"aid_human_annot_{split}.txt"

    def splits(self) -> tuple[str, ...]:
        """The splits that are there.

        Raises:
            InputError: there is none.
        """
        found = tuple(s for s in SPLITS if self.file(s, "data").exists())
        if not found:
            raise InputError(f"{self.root} holds no annotations: {WHERE}.")
        return found

    def check(self, split: str) -> None:
        """Look for everything a split needs.

        Raises:
            InputError: something is missing.
        """
        needed = [self.file(split, p) for p in ("data", "camera", "joint_3d")]
        needed += [self.file(split, "MANO_NeuralAnnot")] * self.fits
        needed += [self.images(split)]
        human = self.human_list(split)
        needed += [human] if human is not None else []
        for path in needed:
            if not path.exists():
                raise InputError(
                    f"{path} is missing: {WHERE}. --without-fits does without MANO."
                )
        if self.subset != "all" and human is None and not self._has_folders():
            raise InputError(
                f"Which annotations of split {split} are human ones is not in the "
                "files: give --human-lists, the folder of aid_human_annot_{train,test}"
                ".txt (data/InterHand26M of facebookresearch/InterWild)."
            )

    def _has_folders(self) -> bool:
        return (self.root / "annotations" / SUBSETS[self.subset]).is_dir()

    def index(self, split: str, path: Path) -> Index:
        """The annotations of a split as an index (see ``twohand_jax.pipelines.index``).

        Tables: images, annotations (of the subset), cameras (capture/key/camera),
        frames and fits (capture/frame).

        Args:
            split: train, val or test.
            path: of the index.

        Raises:
            InputError: a file is missing or broken.
        """
        self.check(split)
        ids = self.human_ids(split)
        wanted = None if self.subset == "all" or ids is None else ids
        data, human = self.file(split, "data"), self.subset == "human"

        def keep(annotation: Mapping[str, Any]) -> bool:
            return wanted is None or is_listed(wanted, annotation["id"]) == human

        collections: list[Collection] = [
            Items(name="images", path=data, prefix="images"),
            Items(name="annotations", path=data, prefix="annotations", keep=keep),
            Entries(name="cameras", path=self.file(split, "camera"), depth=3),
            Entries(name="frames", path=self.file(split, "joint_3d"), depth=2),
        ]
        if self.fits:
            path_of_fits = self.file(split, "MANO_NeuralAnnot")
            collections += [Entries(name="fits", path=path_of_fits, depth=2)]
        digest = hashlib.sha256(b"" if wanted is None else wanted.tobytes())
        settings = f"{self.subset} {digest.hexdigest()}"
        built = index.build(path, collections, settings=settings)
        found = built.count("annotations")
        if wanted is not None and human and found != len(wanted):
            raise InputError(
                f"{self.human_list(split)} lists {len(wanted)} annotations, of which "
                f"{data} has {found}: the two are of different releases."
            )
        return built

    def human_ids(self, split: str) -> array.array | None:
        """Sorted ids of the human annotations; None where nothing says which."""
        path = self.human_list(split)
        if path is None:
            return None
        try:
            return array.array("q", sorted(map(int, reading.read_text(path).split())))
        except ValueError as error:
            raise InputError(
                f"{path} is not a list of annotation ids, one in each line: {error}."
            ) from error


def is_listed(ids: array.array, annotation: int) -> bool:
    """Whether a sorted list of ids has this one."""
    place = bisect.bisect_left(ids, annotation)
    return place < len(ids) and ids[place] == annotation
