"""Where COCO-WholeBody's files lie, and the index of their people.

The folders are those of facebookresearch/InterWild's README: ``annotations`` with the
whole-body files and NeuralAnnot's, ``images`` with COCO's ``train2017`` and
``val2017``. The training annotations have some hundred megabytes, most of which is
about faces, bodies and outlines; the index keeps the hands.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from twohand_jax.errors import InputError
from twohand_jax.pipelines import index
from twohand_jax.pipelines.index import (
    Collection,
    Entries,
    Index,
    Items,
    KeyedEntry,
    Readable,
)
from twohand_jax.pipelines.labelled import Unusable
from twohand_jax.types import SIDES

SPLITS = ("train", "val")
FITS = "MSCOCO_train_MANO_NeuralAnnot.json"
WHERE = (
    "COCO-WholeBody v1.0 (github.com/jin-s13/COCO-WholeBody, for non-commercial "
    "research; pictures from cocodataset.org) has annotations/coco_wholebody_"
    "{train,val}_v1.0.json and images/{train,val}2017 below one folder; "
    f"annotations/{FITS} is from github.com/mks0601/NeuralAnnot_RELEASE"
)
NO_PICTURE = "the image's entry lacks name or size"
HAND_FIELDS = tuple(
    f"{side}hand_{what}"
    for side in ("left", "right")
    for what in ("box", "kpts", "valid")
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SelectedFields(Items):
    """A list of objects of which only some fields are wanted.

    Attributes:
        fields: to keep, where they are there.
    """

    fields: tuple[str, ...]

    def rows(self, file: Readable) -> Iterator[KeyedEntry]:
        """Key and what is kept of the object."""
        for key, item in super().rows(file):
            if isinstance(item, Mapping):
                kept = {name: item[name] for name in self.fields if name in item}
                yield key, kept


def find_splits(root: Path) -> tuple[str, ...]:
    """The splits that are there.

    Raises:
        InputError: there is none.
    """
    found = tuple(split for split in SPLITS if _people(root, split).exists())
    if not found:
        raise InputError(f"{root} holds no annotations: {WHERE}.")
    return found


def check_layout(root: Path, split: str, *, fits: bool) -> None:
    """Look for everything a split needs.

    Raises:
        InputError: something is missing, or there is no such split.
    """
    if split not in SPLITS:
        raise InputError(
            f"COCO-WholeBody has no split {split!r}; it has train and val."
        )
    needed = [_people(root, split), root / "images" / f"{split}2017"]
    needed += [_fits(root)] * (fits and split == "train")
    for path in needed:
        if not path.exists():
            raise InputError(
                f"{path} is missing: {WHERE}. --without-fits does without MANO."
            )


def index_of(root: Path, split: str, path: Path, *, fits: bool) -> Index:
    """The people of a split as an index (see ``twohand_jax.pipelines.index``).

    Tables: images, people (with labelled hands; no crowds) and fits.

    Args:
        root: folder with ``annotations`` and ``images``.
        split: train or val.
        path: of the index.
        fits: whether the MANO file goes in.

    Raises:
        InputError: a file is missing or broken, or no person has hands.
    """
    check_layout(root, split, fits=fits)
    people = _people(root, split)
    collections: list[Collection] = [
        SelectedFields(
            name="images",
            path=people,
            prefix="images",
            fields=("file_name", "width", "height"),
        ),
        SelectedFields(
            name="people",
            path=people,
            prefix="annotations",
            keep=has_hands,
            fields=("id", "image_id", *HAND_FIELDS),
        ),
    ]
    if fits and split == "train":
        collections += [Entries(name="fits", path=_fits(root))]
    built = index.build(path, collections)
    if not built.count("people"):
        raise InputError(
            f"{people} labels no hands: are these COCO's own annotations? {WHERE}."
        )
    return built


def picture_path(
    root: Path, split: str, image: Mapping[str, Any]
) -> tuple[Path, tuple[int, int]]:
    """The file of an image, and its annotated width and height.

    Raises:
        Unusable: the entry lacks them, or names a file elsewhere.
    """
    name, width, height = (image.get(key) for key in ("file_name", "width", "height"))
    if not isinstance(name, str) or Path(name).name != name:
        raise Unusable(NO_PICTURE)
    if not isinstance(width, int) or not isinstance(height, int):
        raise Unusable(NO_PICTURE)
    return root / "images" / f"{split}2017" / name, (width, height)


def _people(root: Path, split: str) -> Path:
    return root / "annotations" / f"coco_wholebody_{split}_v1.0.json"


def _fits(root: Path) -> Path:
    return root / "annotations" / FITS


def has_hands(annotation: Mapping[str, Any]) -> bool:
    """Whether a person has a labelled hand and is not a crowd.

    The rule of facebookresearch/InterWild, ``data/MSCOCO/MSCOCO.py``, which also leaves
    out people without a labelled body joint because it looks for hands in body boxes;
    here a hand that fills the picture is welcome.
    """
    labelled = any(annotation.get(f"{side}hand_valid") for side in SIDES)
    return labelled and not annotation.get("iscrowd")
