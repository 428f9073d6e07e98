"""HIC as labelled pictures: two hands or one, with meshes, for evaluation only."""

import argparse
import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from data_pipelines import fits
from data_pipelines.hic import annotations
from data_pipelines.hic.annotations import Picture
from data_pipelines.hic.fit import fit_mesh
from data_pipelines.labelled import NOT_FINITE, Labelled
from data_pipelines.source import Rejection
from data_pipelines.synthetic.labels import project
from twohand_jax.errors import InputError
from twohand_jax.mano.joints import CANONICAL_FROM_MODEL
from twohand_jax.mano.joints import fingertips as tip_vertices
from twohand_jax.types import Camera, ManoModel, ManoParams

# InterWild, data/HIC/HIC.py: one camera for all sequences.
SIZE = (640, 480)
FOCAL = (525.0, 525.0)
CENTER = (319.5, 239.5)
FINGERTIPS = "interwild"
SPLIT = "test"
BAD_MESH = "a hand's mesh is missing or not in MANO's topology"
# In standard deviations of hands: shapes far outside can imitate what is no hand.
MAX_BETA = 10.0
Meshes = Sequence[Float[np.ndarray, "778 3"] | None]
_SHAPES = ((2, 3), (2, 15, 3), (2, 10), (2, 3))


@dataclasses.dataclass(frozen=True, kw_only=True)
class HicConfig:
    """What counts.

    Attributes:
        max_fit_error: mean distance of the fitted hand model's vertices from the
            mesh, metres, up to which the MANO parameters count. The model that made
            a mesh leaves less than a micrometre; MANO's left hand as released, with
            the mirrored shape directions that ``mano.load`` corrects, some 0.5 mm.
    """

    max_fit_error: float = 0.001


@functools.lru_cache(maxsize=1)
def _pictures(root: Path) -> list[Picture]:
    return annotations.read(root)


@dataclasses.dataclass(frozen=True)
class Hic:
    """The dataset below ``root``; ``mano_path`` is where the hand model lies."""

    root: Path
    config: HicConfig = dataclasses.field(default_factory=HicConfig)
    mano_path: Path | None = None
    name = "hic"
    version = "1.0.0"
    description = (
        "HIC (Tzionas et al., IJCV 2016): sequences of one and two hands, some with "
        "objects, 640 x 480, with meshes in MANO's topology; joints and parameters "
        "are regressed from these. For research only, no commercial use."
    )

    @property
    def settings(self) -> Mapping[str, object]:
        """The configuration."""
        return dataclasses.asdict(self.config)

    @property
    def hand_model(self) -> str:
        """Name of the model that is fitted to the meshes."""
        return fits.load_model(self.mano_path).name

    def counts(self) -> Mapping[str, int]:
        """Annotated pictures, all of them for testing.

        Raises:
            InputError: the annotation file, a sequence or the meshes are missing.
        """
        pictures = _pictures(self.root)
        needed = {
            Path(path).parts[0]
            for picture in pictures
            if not picture.problem
            for path in (picture.file_name, *picture.meshes)
            if path is not None
        }
        for folder in sorted(needed):
            if not (self.root / folder).is_dir():
                raise InputError(
                    f"{self.root / folder} is missing, but {annotations.FILE} names "
                    f"files in it. {annotations.HOME}."
                )
        return {SPLIT: len(pictures)}

    def samples(
        self, split: str, numbers: Sequence[int]
    ) -> Iterator[Labelled | Rejection]:
        """Pictures in the order of the annotations."""
        del split
        for number in numbers:
            picture = _pictures(self.root)[number]
            if picture.problem:
                yield Rejection(picture.problem, picture.file_name)
                continue
            try:
                meshes = [
                    None if path is None else annotations.read_mesh(self.root, path)
                    for path in picture.meshes
                ]
            except InputError:
                yield Rejection(BAD_MESH, picture.file_name)
                continue
            known = np.concatenate([mesh for mesh in meshes if mesh is not None])
            if not np.isfinite(known).all():
                yield Rejection(NOT_FINITE, picture.file_name)
            elif (known[:, 2] <= 0.0).any():
                yield Rejection(fits.BEHIND, picture.file_name)
            else:
                yield self._labelled(picture, meshes)

    def _labelled(self, picture: Picture, meshes: Meshes) -> Labelled:
        params, fitted = self._fit(meshes)
        joints = self._joints(meshes, params, fitted)
        shown = np.array([mesh is not None for mesh in meshes])
        known = np.repeat(shown[:, None], 21, axis=1)
        camera = Camera(np.array(FOCAL), np.array(CENTER))
        return Labelled(
            image=self.root / picture.file_name,
            image_id=str(Path(picture.file_name).with_suffix("")),
            subset=Path(picture.file_name).parts[0],
            size=SIZE,
            camera=camera,
            joints_2d=project(joints, camera),
            joints_2d_valid=known,
            joints_3d=joints,
            joints_3d_valid=known,
            mano=params,
            mano_valid=fitted,
            hand_type=picture.hand_type,
        )

    def _fit(self, meshes: Meshes) -> tuple[ManoParams, Bool[np.ndarray, "2"]]:
        """Parameters of both hands, and whether they give the meshes back."""
        model = fits.load_model(self.mano_path)
        params = ManoParams(*(np.zeros(shape, np.float32) for shape in _SHAPES))
        fitted = np.zeros(2, bool)
        for side, mesh in enumerate(meshes):
            if mesh is not None:
                fit = fit_mesh(model, side, mesh)
                shaped = bool(np.abs(fit.betas).max() <= MAX_BETA)
                fitted[side] = shaped and fit.error <= self.config.max_fit_error
                for values, found in zip(params, fit[:4], strict=True):
                    values[side] = found
        return params, fitted

    def _joints(
        self, meshes: Meshes, params: ManoParams, fitted: Bool[np.ndarray, "2"]
    ) -> Float[np.ndarray, "2 21 3"]:
        """The fit's own joints, as every dataset has; regressed ones without a fit."""
        model = fits.load_model(self.mano_path)
        joints = np.array(fits.joints(model, params, fingertips=FINGERTIPS), float)
        for side, mesh in enumerate(meshes):
            if mesh is not None and not fitted[side]:
                joints[side] = mesh_joints(model, side, mesh)
        return joints


def mesh_joints(
    model: ManoModel, side: int, vertices: Float[np.ndarray, "778 3"]
) -> Float[np.ndarray, "21 3"]:
    """Canonical joints of a mesh: the model's regressor and fingertip vertices.

    InterWild evaluates HIC so too (``data/HIC/HIC.py``, ``sh_joint_regressor``).
    """
    regressed = np.asarray(model.joint_regressor[side], float) @ vertices
    tips = vertices[list(tip_vertices(FINGERTIPS))]
    return np.concatenate([regressed, tips])[CANONICAL_FROM_MODEL]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """This dataset has no options of its own."""
    del parser


def from_arguments(args: argparse.Namespace) -> Hic:
    """The dataset that the command line describes."""
    return Hic(args.source, mano_path=args.mano)
