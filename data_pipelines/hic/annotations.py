"""Reading HIC (Tzionas et al., IJCV 2016) as InterWild lays it out (Moon, CVPR 2023).

``HIC.json`` in COCO's style lies beside the sequence folders 01-11 and 15-21 of the
release and the unpacked MANO fits (facebookresearch/InterWild: ``README.md``,
``data/HIC/HIC.py``). Its pictures are {id, file_name, ...}, its annotations
{id, image_id, hand_type, right_mano_path, left_mano_path}, one for each picture; the
paths are PLY meshes in MANO's topology, in metres in the camera's frame (x right,
y down, z forward), or null.
"""

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from data_pipelines.hic import ply
from twohand_jax.errors import InputError
from twohand_jax.types import NUM_VERTICES, SIDES

FILE = "HIC.json"
HAND_TYPES = ("right", "left", "interacting")
HOME = (
    "Sequences and MANO fits of HIC come from its page at the MPI for Intelligent "
    "Systems (files.is.tue.mpg.de, Hand-Object-Capture), HIC.json from "
    "github.com/facebookresearch/InterWild, for research only"
)


class Picture(NamedTuple):
    """One annotated picture; paths are relative to the source folder.

    ``problem`` says why it cannot be used, "" if it can.
    """

    file_name: str
    hand_type: str
    meshes: tuple[str | None, str | None]
    problem: str = ""


def read(root: Path) -> list[Picture]:
    """The annotated pictures in the order of the annotations.

    Raises:
        InputError: the file is missing, damaged, lacks a list, or lists an id twice.
    """
    file = root / FILE
    content = _load(file)
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
        InputError: the file is missing or is no mesh in MANO's topology.
    """
    return ply.read_vertices(root / path, NUM_VERTICES)


def _load(file: Path) -> dict:
    try:
        content = json.loads(file.read_text())
    except OSError as error:
        raise InputError(f"{file} is missing or not readable. {HOME}.") from error
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{file} is not readable as JSON ({error}): it is damaged or cut short; "
            f"get it again. {HOME}."
        ) from error
    return content if isinstance(content, dict) else {}


def _list(content: dict, key: str, file: Path) -> list[dict]:
    found = content.get(key)
    if not isinstance(found, list) or not all(isinstance(x, dict) for x in found):
        raise InputError(f"{file} has no list of {key!r} in COCO's style. {HOME}.")
    return found


def _no_twice(values: Iterable[object], what: str, file: Path) -> None:
    twice = [value for value, count in Counter(map(repr, values)).items() if count > 1]
    if twice:
        raise InputError(f"{file} has {what} {twice[0]} more than once. {HOME}.")


def _picture(entry: dict, image: dict) -> Picture:
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
        return Picture(str(name), "", (None, None), problem)
    return Picture(image["file_name"], entry["hand_type"], meshes)


def _inside(path: object) -> bool:
    if not isinstance(path, str):
        return False
    parts = PurePosixPath(path)
    return bool(path) and not parts.is_absolute() and ".." not in parts.parts
