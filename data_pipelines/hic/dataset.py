"""HIC (Tzionas et al., IJCV 2016) as InterWild lays it out, for evaluation only."""

import argparse
import dataclasses
import functools
import io
import re
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from trimesh.exchange.ply import load_ply

from twohand_jax import reading
from twohand_jax.data.schema import HAND_TYPES
from twohand_jax.errors import InputError
from twohand_jax.geometry import cameras
from twohand_jax.mano.joint_set import POSED
from twohand_jax.mano.joints import CANONICAL_FROM_MODEL
from twohand_jax.mano.joints import fingertips as tip_vertices
from twohand_jax.pipelines import fits
from twohand_jax.pipelines.build_dataset import converted
from twohand_jax.pipelines.fits import fit_mesh
from twohand_jax.pipelines.index import read_json
from twohand_jax.pipelines.labelled import NOT_FINITE, Labelled, Rejection
from twohand_jax.types import NUM_VERTICES, SIDES, Camera, ManoModel, ManoParams

# InterWild, data/HIC/HIC.py: one camera for all sequences.
SIZE = (640, 480)
FOCAL = (525.0, 525.0)
CENTER = (319.5, 239.5)
SPLIT = "test"
BAD_MESH = "a hand's mesh is missing or not in MANO's topology"
# In standard deviations of hands: shapes far outside can imitate what is not a hand.
MAX_BETA = 10.0
HandMeshes = Sequence[Float[np.ndarray, "778 3"] | None]
FILE = "HIC.json"
HOME = (
    "Sequences and MANO fits of HIC come from its page at the MPI for Intelligent "
    "Systems (files.is.tue.mpg.de, Hand-Object-Capture), HIC.json from "
    "github.com/facebookresearch/InterWild, for research only"
)


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


class AnnotatedImage(NamedTuple):
    """One annotated picture; paths are relative to the source folder.

    ``problem`` says why it cannot be used, "" if it can.
    """

    file_name: str
    hand_type: str
    meshes: tuple[str | None, str | None]
    problem: str = ""


@functools.lru_cache(maxsize=1)
def _pictures(root: Path) -> list[AnnotatedImage]:
    return read_index(root)


@dataclasses.dataclass(frozen=True)
class Hic(fits.FittedDataset):
    """The sequences and meshes (a ``Dataset``); the model is fitted to the meshes."""

    config: HicConfig = dataclasses.field(default_factory=HicConfig)
    name = "hic"
    version = "1.0.0"
    description = (
        "HIC (Tzionas et al., IJCV 2016): sequences of one and two hands, some with "
        "objects, 640 x 480, with meshes in MANO's topology; joints and parameters "
        "are regressed from these. For research only, no commercial use."
    )

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
                    f"{self.root / folder} is missing, but {FILE} names "
                    f"files in it. {HOME}."
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
                    None if path is None else read_mesh(self.root, path)
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

    def _labelled(self, picture: AnnotatedImage, meshes: HandMeshes) -> Labelled:
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
            joints_2d=cameras.project(joints, camera),
            joints_2d_valid=known,
            joints_3d=joints,
            joints_3d_valid=known,
            mano=params,
            mano_valid=fitted,
            hand_type=picture.hand_type,
        )

    def _fit(self, meshes: HandMeshes) -> tuple[ManoParams, Bool[np.ndarray, "2"]]:
        """Parameters of both hands, and whether they give the meshes back."""
        model = fits.load_model(self.mano_path)
        params = fits.no_params()
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
        self, meshes: HandMeshes, params: ManoParams, fitted: Bool[np.ndarray, "2"]
    ) -> Float[np.ndarray, "2 21 3"]:
        """The fit's own joints, as every dataset has; regressed ones without a fit."""
        model = fits.load_model(self.mano_path)
        joints = np.array(fits.joints(model, params, POSED), float)
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
    tips = vertices[list(tip_vertices(POSED.tips))]
    return np.concatenate([regressed, tips])[CANONICAL_FROM_MODEL]


def read_index(root: Path) -> list[AnnotatedImage]:
    """The annotated pictures in the order of the annotations.

    Raises:
        InputError: the file is missing, damaged, lacks a list, or lists an id twice.
    """
    file = root / FILE
    content = read_json(file, HOME)
    content = content if isinstance(content, dict) else {}
    images, entries = (_list(content, key, file) for key in ("images", "annotations"))
    _no_twice((image.get("id") for image in images), "image id", file)
    _no_twice((entry.get("id") for entry in entries), "annotation id", file)
    by_id = {repr(image.get("id")): image for image in images}
    pictures, seen = [], set()
    for entry in entries:
        image_id = repr(entry.get("image_id"))
        picture = _picture(entry, by_id.get(image_id, {}))
        if image_id in seen:
            picture = picture._replace(problem="the image is annotated more than once")
        seen.add(image_id)
        pictures.append(picture)
    return pictures


def read_mesh(root: Path, path: str) -> Float[np.ndarray, "778 3"]:
    """A hand's vertices, metres, camera frame.

    Raises:
        InputError: the file is missing or is not a mesh in MANO's topology.
    """
    return read_vertices(root / path, NUM_VERTICES)


def _list(content: dict, key: str, file: Path) -> list[dict]:
    found = content.get(key)
    if not isinstance(found, list) or not all(isinstance(x, dict) for x in found):
        raise InputError(f"{file} has no list of {key!r} in COCO's style. {HOME}.")
    return found


def _no_twice(values: Iterable[object], what: str, file: Path) -> None:
    twice = [value for value, count in Counter(map(repr, values)).items() if count > 1]
    if twice:
        raise InputError(f"{file} has {what} {twice[0]} more than once. {HOME}.")


def _picture(entry: dict, image: dict) -> AnnotatedImage:
    right, left = (entry.get(f"{side}_mano_path") for side in SIDES)
    meshes = (right, left)
    name, kind = image.get("file_name"), entry.get("hand_type")
    problem = ""
    if not image:
        problem = "the annotation names an unknown image"
    elif kind not in HAND_TYPES:
        problem = "the hand type is none of right, left and interacting"
    elif not all(_inside(path) for path in (name, *meshes) if path is not None):
        problem = "a path is not below the source folder"
    elif name is None or meshes == (None, None):
        problem = "no hand has a mesh"
    if problem:
        return AnnotatedImage(str(name), "", (None, None), problem)
    return AnnotatedImage(image["file_name"], entry["hand_type"], meshes)


def _inside(path: object) -> bool:
    if not isinstance(path, str):
        return False
    parts = PurePosixPath(path)
    return bool(path) and not parts.is_absolute() and ".." not in parts.parts


MAX_BYTES = 1 << 20
# trimesh takes the second line as the format and any unknown one as little-endian, and
# its time grows with the square of the header.
_HEADER = re.compile(
    rb"ply\r?\nformat (ascii|binary_(little|big)_endian) 1\.0\r?\n"
    rb".{,4000}?end_header\r?\n",
    re.DOTALL,
)


def read_vertices(path: Path, count: int) -> Float[np.ndarray, "count 3"]:
    """The vertices, in order, of a PLY mesh that must have ``count`` of them.

    Raises:
        InputError: the file is missing, is not a PLY, or has other vertices.
    """
    data = reading.read_bytes(path, limit=MAX_BYTES)
    try:
        return _vertices(data, count)
    except Exception as error:  # trimesh raises whatever damage leads to
        reason = textwrap.shorten(str(error), 100)
        raise InputError(
            f"{path} is not a PLY mesh of {count} vertices ({reason}); expected a hand "
            "of MANO's topology."
        ) from error


def _vertices(data: bytes, count: int) -> Float[np.ndarray, "count 3"]:
    if not _HEADER.match(data):
        raise ValueError("it has no PLY header")
    # Other options would open files that the header names, and split vertices.
    found = load_ply(io.BytesIO(data), skip_materials=True, fix_texture=False)
    vertices = np.asarray(found.get("vertices", ()), float)
    if vertices.shape != (count, 3):
        raise ValueError(f"it has {len(vertices)}")
    return vertices


def from_arguments(args: argparse.Namespace) -> Hic:
    """The dataset that the command line describes."""
    return Hic(args.source, mano_path=args.mano)


ENTRY = converted(
    name=Hic.name,
    summary="HIC (Tzionas et al., IJCV 2016): one and two hands, for evaluation only",
    from_arguments=from_arguments,
    miniature="twohand_jax.pipelines.hic.fixture",
    protocol="hic",
)
