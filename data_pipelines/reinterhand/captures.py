"""Which pictures a copy of Re:InterHand holds: captures, cameras and frames.

Nothing but names and the small files of each capture is read here. Layout and rules
are those of facebookresearch/InterWild, ``data/ReInterHand/ReInterHand.py``:
the pictures that third-person cameras saw with a light per frame exist at 5 frames a
second and are found by listing folders; all others follow ``frame_list.txt``, whose
lines are a sequence's name and a frame number.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from twohand_jax import reading
from twohand_jax.errors import InputError
from twohand_jax.pipelines.labelled import Unusable
from twohand_jax.pipelines.reinterhand.labels import WorldCamera, read_camera

FOLDERS = {"mugsy": "Mugsy_cameras", "ego": "Ego_cameras"}
LIGHTS = {"per_frame": "envmap_per_frame", "per_segment": "envmap_per_segment"}
FRAME_NUMBER = re.compile("[0-9]{1,9}")
# The three captures that the reader keeps for the test split.
TEST_CAPTURES = frozenset(
    {
        "m--20221215--0949--RNS217--pilot--ProjectGoliathScript--Hands--two-hands",
        "m--20221216--0953--NKC880--pilot--ProjectGoliathScript--Hands--two-hands",
        "m--20230317--1130--QZX685--pilot--ProjectGoliath--Hands--two-hands",
    }
)
SOURCE = (
    "Re:InterHand (CC-BY-NC 4.0) is at https://mks0601.github.io/ReInterHand/, with "
    "download scripts in facebookresearch/InterWild, tool/ReInterHand; --cameras and "
    "--lights choose which pictures are read."
)


class Series(NamedTuple):
    """The frames of one camera of one capture under one kind of light.

    Attributes:
        capture: folder's name.
        cameras: mugsy or ego.
        light: per_frame or per_segment.
        camera: folder's name; "" for the one egocentric camera.
        known: the camera, which is fixed; None where each frame has one of its own,
            or where the capture gives no parameters for this camera.
        frames: numbers, shared between cameras that have the same ones.
    """

    capture: str
    cameras: str
    light: str
    camera: str
    known: WorldCamera | None
    frames: Int[np.ndarray, "n"]

    def folder(self, root: Path) -> Path:
        """Where the light's pictures and files lie."""
        return root / self.capture / FOLDERS[self.cameras] / LIGHTS[self.light]

    def image(self, root: Path, frame: int) -> Path:
        """The picture's file."""
        return self.folder(root) / "images" / self.camera / f"{frame:06d}.png"


def find(
    root: Path,
    *,
    cameras: tuple[str, ...],
    lights: tuple[str, ...],
    kept_ratio: float,
) -> dict[str, list[Series]]:
    """The series of each split that is there.

    Args:
        root: folder with the captures.
        cameras: mugsy, ego or both.
        lights: per_frame, per_segment or both.
        kept_ratio: egocentric frames with a smaller value in ``truncation_ratio.json``
            are left out: too few of their joints are in the picture.

    Raises:
        InputError: a capture lacks a file or folder, or one is not readable.
    """
    captures = sorted(path for path in root.glob("m--*") if path.is_dir())
    if not captures:
        raise InputError(
            f"{root} holds no capture of Re:InterHand (folders m--*). {SOURCE}"
        )
    found: dict[str, list[Series]] = {}
    for capture in captures:
        split = "test" if capture.name in TEST_CAPTURES else "train"
        _check_labels(capture)
        for light in lights:
            if "mugsy" in cameras:
                found.setdefault(split, []).extend(_mugsy(capture, light))
            if "ego" in cameras:
                found.setdefault(split, []).append(_ego(capture, light, kept_ratio))
    return found


def _check_labels(capture: Path) -> None:
    """Every sample needs these; whoever lacks them lacks a whole download."""
    for side in ("right", "left"):
        _need(capture / "orig_fits" / side / "Keypoints")
    _need(capture / "mano_fits" / "params")


def _mugsy(capture: Path, light: str) -> Iterator[Series]:
    """One series for each third-person camera."""
    path = capture / FOLDERS["mugsy"] / "cam_params.json"
    known = _fixed_cameras(path)
    images = _need(capture / FOLDERS["mugsy"] / LIGHTS[light] / "images")
    names = sorted(folder.name for folder in images.iterdir() if folder.is_dir())
    if not names:
        raise InputError(f"{images} holds no camera's folder. {SOURCE}")
    listed = None if light == "per_frame" else _frame_list(capture)
    for name in names:
        frames = _pictures(images / name) if listed is None else listed
        yield Series(capture.name, "mugsy", light, name, known.get(name), frames)


def _ego(capture: Path, light: str, kept_ratio: float) -> Series:
    """The egocentric series, without the frames that show too little."""
    folder = capture / FOLDERS["ego"] / LIGHTS[light]
    _need(folder / "images")
    _need(folder / "cam_params")
    ratios = _object(folder / "truncation_ratio.json")
    frames = _frame_list(capture)
    kept = np.array([_ratio(ratios, frame) >= kept_ratio for frame in frames], bool)
    return Series(capture.name, "ego", light, "", None, frames[kept])


def _ratio(ratios: Mapping[str, object], frame: int) -> float:
    """A frame that the file does not name is kept: reading it shows what is wrong."""
    value = ratios.get(f"{frame:06d}", 1.0)
    return float(value) if isinstance(value, int | float) else 1.0


def _fixed_cameras(path: Path) -> dict[str, WorldCamera]:
    cameras = {}
    for name, entry in _object(path).items():
        try:
            cameras[name] = read_camera(entry)
        except Unusable as error:
            raise InputError(
                f"{path}, camera {name}: expected R (3 x 3, a rotation), t (3), focal "
                f"(2) and princpt (2). {SOURCE}"
            ) from error
    return cameras


def _pictures(folder: Path) -> Int[np.ndarray, "n"]:
    """The numbers of a camera's pictures, in order."""
    numbers = {_number(path.stem) for path in folder.glob("*.png")}
    return np.array(sorted(n for n in numbers if n is not None), np.int32)


def _frame_list(capture: Path) -> Int[np.ndarray, "n"]:
    path = _need(capture / "frame_list.txt")
    lines = reading.read_text(path).splitlines()
    rows = [line.split() for line in lines if line.strip()]
    numbers = [_number(row[1]) if len(row) == 2 else None for row in rows]
    if None in numbers:
        raise InputError(
            f"{path}: expected a sequence's name and a frame number on each line."
        )
    frames = np.array(numbers, np.int32)
    if np.unique(frames).size != frames.size:
        raise InputError(f"{path} names a frame twice; load the file again. {SOURCE}")
    return frames


def _number(text: str) -> int | None:
    """A frame's number; None for other text."""
    return int(text) if FRAME_NUMBER.fullmatch(text) else None


def _object(path: Path) -> dict[str, object]:
    """The JSON object of a capture's file."""
    try:
        value = reading.read_json(_need(path))
    except InputError as error:
        raise InputError(f"{error} Load it again. {SOURCE}") from error
    if not isinstance(value, dict):
        raise InputError(f"{path} holds no JSON object. {SOURCE}")
    return value


def _need(path: Path) -> Path:
    if not path.exists():
        raise InputError(f"{path} is missing. {SOURCE}")
    return path
