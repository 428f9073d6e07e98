"""FreiHAND v2 (Zimmermann et al., ICCV 2019): pictures of one right hand each."""

import argparse
import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from twohand_jax.errors import InputError
from twohand_jax.mano.joint_set import FREIHAND
from twohand_jax.pipelines import fits
from twohand_jax.pipelines.build_dataset import converted
from twohand_jax.pipelines.index import read_json
from twohand_jax.pipelines.labelled import NOT_FINITE, Labelled, Rejection
from twohand_jax.types import ManoParams

SIZE = (224, 224)
# Toolbox, utils/fh_utils.py (sample_version): picture = sample + number * version.
VERSIONS = ("gs", "hom", "sample", "auto")
OFFICIAL = {"train": "training", "test": "evaluation"}
BAD_ROW = {
    "K": "the camera matrix is not 3 x 3",
    "xyz": "the hand's joints are missing or not 21 x 3",
    "mano": "the MANO vector does not have 61 numbers",
}
PARTS = {"K": (3, 3), "xyz": (21, 3), "mano": (61,)}
HOME = (
    "FreiHAND v2 comes from its project page at the University of Freiburg "
    "(lmb.informatik.uni-freiburg.de, FreiHAND dataset), for research only"
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class FreiHandConfig:
    """What is read.

    Attributes:
        versions: of the training pictures: ``gs`` (green screen) and three with
            other backgrounds and colours.
        max_fit_error: mean distance of the fit's joints from the annotated ones,
            metres, up to which the MANO parameters count.
    """

    versions: tuple[str, ...] = VERSIONS
    max_fit_error: float = 0.003


@dataclasses.dataclass(frozen=True)
class Annotations:
    """A split's annotations, one row a sample.

    ``mano`` is 48 pose (global orientation and 15 joints relative to the mean pose),
    10 shape, 2 root pixel and 1 scale (toolbox: ``utils/model.py``, ``split_theta``
    and ``HandModel``, which ``view_samples.py`` makes with ``use_mean_pose``).
    ``complete`` says for each file which rows had as many numbers as they should;
    the others are NaN.
    """

    K: Float[np.ndarray, "n 3 3"]
    xyz: Float[np.ndarray, "n 21 3"]
    mano: Float[np.ndarray, "n 61"]
    complete: dict[str, Bool[np.ndarray, "n"]]

    @property
    def count(self) -> int:
        """Number of samples."""
        return len(self.K)


@functools.lru_cache(maxsize=2)
def _annotations(root: Path, split: str) -> Annotations:
    """Read once a process: the files hold some 100 MB of text."""
    return read_annotations(root, OFFICIAL[split])


@dataclasses.dataclass(frozen=True)
class FreiHand(fits.FittedDataset):
    """The unpacked release (a ``Dataset``)."""

    config: FreiHandConfig = dataclasses.field(default_factory=FreiHandConfig)
    name = "freihand"
    version = "1.0.0"
    description = (
        "FreiHAND v2 (Zimmermann et al., ICCV 2019): right hands, 32,560 training "
        "samples in four versions and 3,960 evaluation samples, 224 x 224, with MANO "
        "fits. For research only, no commercial use."
    )

    def counts(self) -> Mapping[str, int]:
        """Pictures of each split whose joints are there.

        Raises:
            InputError: annotation files or pictures are missing or do not fit
                together.
        """
        unknown = set(self.config.versions) - set(VERSIONS)
        if unknown or not self.config.versions:
            raise InputError(
                f"FreiHAND has no picture versions {sorted(unknown)}; choose from "
                f"{', '.join(VERSIONS)}."
            )
        found = {
            split: _annotations(self.root, split).count * len(self._versions(split))
            for split, official in OFFICIAL.items()
            if part_path(self.root, official, "xyz").exists()
        }
        if not found:
            raise InputError(
                f"{self.root} holds neither training_xyz.json nor evaluation_xyz.json; "
                f"expected the unpacked FreiHAND v2. {HOME}."
            )
        for split, count in found.items():
            for number in (0, count - 1):
                self._check_picture(split, number)
        return found

    def samples(
        self, split: str, numbers: Sequence[int]
    ) -> Iterator[Labelled | Rejection]:
        """Pictures in the order version, sample."""
        table = _annotations(self.root, split)
        for number in numbers:
            version, row = divmod(number, table.count)
            name = self._versions(split)[version]
            picture = self._picture(split, number)
            image_id = f"{OFFICIAL[split]}/{picture.stem}"
            bad = [part for part, rows in table.complete.items() if not rows[row]]
            if bad:
                yield Rejection(BAD_ROW[bad[0]], image_id)
            elif not _finite(table, row):
                yield Rejection(NOT_FINITE, image_id)
            elif (table.xyz[row, :, 2] <= 0.0).any():
                yield Rejection(fits.BEHIND, image_id)
            else:
                yield self._labelled(table, row, picture, image_id, name)

    def _versions(self, split: str) -> tuple[str, ...]:
        """Evaluation pictures exist in one version (toolbox: ``read_img``)."""
        return self.config.versions if split == "train" else ("gs",)

    def _picture(self, split: str, number: int) -> Path:
        count = _annotations(self.root, split).count
        version, row = divmod(number, count)
        index = row + count * VERSIONS.index(self._versions(split)[version])
        return self.root / OFFICIAL[split] / "rgb" / f"{index:08d}.jpg"

    def _check_picture(self, split: str, number: int) -> None:
        picture = self._picture(split, number)
        if not picture.exists():
            raise InputError(
                f"{picture} is missing: {OFFICIAL[split]}/rgb should hold "
                f"{_annotations(self.root, split).count} pictures for each version; "
                "version 1 of the dataset has one version only (name it with "
                f"--versions gs). {HOME}."
            )

    def _labelled(
        self,
        table: Annotations,
        row: int,
        picture: Path,
        image_id: str,
        version: str,
    ) -> Labelled:
        K, xyz = table.K[row], table.xyz[row]
        params, agrees = self._fit(table.mano[row], xyz)
        return fits.right_hand(
            picture,
            image_id,
            subset=version,
            size=SIZE,
            camera=fits.pinhole(K),
            joints=xyz,
            params=params,
            fitted=agrees,
        )

    def _fit(
        self, vector: Float[np.ndarray, "61"], xyz: Float[np.ndarray, "21 3"]
    ) -> tuple[ManoParams, bool]:
        """MANO parameters in the camera's frame, and whether they meet the joints.

        The vector's pixel and scale place the middle finger's base through the mean
        of both focal lengths (toolbox: ``utils/model.py``, ``recover_root``), which is
        exact only where these are equal. The joints are in metres in the same frame,
        so the posed hand is laid onto them instead; this also takes up the small
        difference of root rotations that the authors of InterHand2.6M report
        (github.com/mks0601/I2L-MeshNet_RELEASE, issue 114).
        """
        model = fits.load_model(self.mano_path)
        params = fits.right_params(
            global_orient=vector[:3],
            hand_pose=vector[3:48].reshape(15, 3),
            betas=vector[48:58],
            transl=np.zeros(3),
        )
        params, error = fits.laid_on(model, params, xyz, FREIHAND)
        return params, error <= self.config.max_fit_error


def _finite(table: Annotations, row: int) -> bool:
    columns = (table.K, table.xyz, table.mano)
    return all(bool(np.isfinite(column[row]).all()) for column in columns)


def part_path(root: Path, split: str, part: str) -> Path:
    """One annotation file of a split (``training`` or ``evaluation``)."""
    return root / f"{split}_{part}.json"


def read_annotations(root: Path, split: str) -> Annotations:
    """The annotations of a split.

    Raises:
        InputError: a file is missing, is not a JSON list, or the lists differ in
            length.
    """
    columns, complete = {}, {}
    for part, shape in PARTS.items():
        columns[part], complete[part] = _table(
            _load(part_path(root, split, part)), shape
        )
    lengths = {part: len(column) for part, column in columns.items()}
    if len(set(lengths.values())) != 1:
        found = ", ".join(f"{split}_{part}.json {n}" for part, n in lengths.items())
        raise InputError(
            f"The annotation files of FreiHAND's {split} split below {root} list "
            f"different numbers of samples ({found}); get all of them from one "
            f"release. {HOME}."
        )
    return Annotations(**columns, complete=complete)


def _load(file: Path) -> list:
    content = read_json(file, HOME)
    if not isinstance(content, list):
        raise InputError(
            f"{file} holds a {type(content).__name__}, expected a list with an entry "
            f"for each sample. {HOME}."
        )
    return content


def _table(
    rows: list, shape: tuple[int, ...]
) -> tuple[Float[np.ndarray, "n ..."], Bool[np.ndarray, "n"]]:
    """Rows as one array, and which of them have the right number of numbers."""
    table = np.full((len(rows), *shape), np.nan)
    complete = np.zeros(len(rows), bool)
    for number, row in enumerate(rows):
        try:
            values = np.asarray(row, float)
        except (TypeError, ValueError):
            continue
        if values.size == table[number].size:
            table[number], complete[number] = values.reshape(shape), True
    return table, complete


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this dataset."""
    parser.add_argument(
        "--versions",
        nargs="+",
        choices=VERSIONS,
        default=list(VERSIONS),
        help="versions of the training pictures",
    )


def from_arguments(args: argparse.Namespace) -> FreiHand:
    """The dataset that the command line describes."""
    config = FreiHandConfig(versions=tuple(args.versions))
    return FreiHand(args.source, config, args.mano)


ENTRY = converted(
    name=FreiHand.name,
    summary="FreiHAND v2 (Zimmermann et al., ICCV 2019): one right hand a picture",
    add_arguments=add_arguments,
    from_arguments=from_arguments,
    miniature="twohand_jax.pipelines.freihand.fixture",
    protocol="freihand",
)
