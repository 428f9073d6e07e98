"""Results to look at: files read back, each with its picture and its main numbers."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float, UInt8

from twohand_jax import files
from twohand_jax.errors import InputError
from twohand_jax.inference import clip, convert, images, known_camera, result_file
from twohand_jax.inference.result_file import PictureInfo, Result
from twohand_jax.mano.joints import JOINT_NAMES, WRIST
from twohand_jax.types import SIDES, Camera, ManoModel
from twohand_jax.viz.hand_page import (
    MAX_WIDTH,
    ShownHand,
    ShownPicture,
    hand_page,
    shrunk,
)

MOST_PICTURES = 200  # of one page: about 30 MB
HEADER = ("hand", "length", "wrist x", "y", "z", "score")
UNITS = (
    "Lengths in millimetres, the hand's from the wrist along the middle finger. "
    "Wrists in the camera's frame: x right, y down, z forward."
)
FOCAL_SOURCES = {
    known_camera.GIVEN: "(given)",
    known_camera.EXIF: "(from EXIF)",
    known_camera.DIAGONAL: "(not known: the diagonal, so distances are rough)",
}
MIDDLE_FINGER = (WRIST, *(JOINT_NAMES.index(f"middle_{at}") for at in (1, 2, 3, 4)))


class Gallery(NamedTuple):
    """Results of one or more files.

    Attributes:
        result: posed.
        model: of the result.
        origins: the result file of each picture.
    """

    result: Result
    model: ManoModel
    origins: list[Path]


def load(paths: Sequence[str | Path], model: ManoModel) -> Gallery:
    """The results that files and folders stand for.

    Raises:
        InputError: see ``convert.find`` and ``result_file.load_result``.
    """
    found = convert.find(paths).results
    read = [result_file.read(path) for path in found]
    origins = [
        path for path, one in zip(found, read, strict=True) for _ in one.pictures
    ]
    result = result_file.pose(result_file.joined(read), model, str(found[0]))
    return Gallery(result, model, origins)


def shown(
    gallery: Gallery, number: int, image: UInt8[np.ndarray, "h w 3"] | None = None
) -> ShownPicture:
    """A picture of a gallery, small enough for a screen, with its hands and numbers.

    Args:
        gallery: see ``load``.
        number: of the picture.
        image: the picture; read from its file when left out. Where that is not to be
            had any more, a note says so.
    """
    prediction, persons, pictures, _ = gallery.result
    info, notes = pictures[number], []
    if image is None:
        try:
            image = _read(info, gallery.origins[number].parent)
        except InputError as error:
            notes.append(_text(f"Shown without the picture: {error}"))
    people = np.flatnonzero(persons.picture == number)
    before = _before(gallery, people)
    there = [tuple(at) for at in np.argwhere(prediction.score > 0) if at[0] in people]
    is_several = len(people) > 1
    camera = known_camera.choose(info.height, info.width).camera
    if len(people):
        camera = Camera(*(leaf[people[0]] for leaf in prediction.camera))
    person = ("person",) if is_several else ()
    return ShownPicture(
        title=title_of(info),
        image=None if image is None else shrunk(image, MAX_WIDTH),
        height=info.height,
        width=info.width,
        camera=camera,
        hands=[
            ShownHand(
                int(side), prediction.geometry.vertices[row, side], before[row][side]
            )
            for row, side in there
        ],
        header=(*HEADER, *person),
        rows=[
            (
                SIDES[side],
                *_millimetres(prediction.geometry.joints[row, side]),
                f"{prediction.score[row, side]:.2f}",
                *([str(persons.number[row] + 1)] if is_several else []),
            )
            for row, side in there
        ],
        notes=[
            *notes,
            *_about_people(gallery.result, people.tolist()),
            UNITS if there else "No hands were found.",
            _about_camera(info, camera),
        ],
    )


def _before(
    gallery: Gallery, people: Sequence[int] | np.ndarray
) -> dict[int, Sequence[Float[np.ndarray, "778 3"] | None]]:
    """Vertices of some people's hands before the prior changed them, if it did."""
    prediction, persons, _, _ = gallery.result
    found: dict[int, Sequence[Float[np.ndarray, "778 3"] | None]] = {}
    for row in people:
        params = jax.tree.map(lambda leaf, row=row: leaf[row : row + 1], persons.before)
        if np.isnan(params.transl).any():
            found[row] = (None, None)
            continue
        there = prediction.score[row : row + 1] > 0
        found[row] = list(result_file.pose_params(params, there, gallery.model)[0])
    return found


def is_clip(gallery: Gallery) -> bool:
    """Whether all pictures are frames of one video."""
    infos = gallery.result.pictures
    same = {info.file for info in infos if info.frame is not None}
    return len(same) == 1 and all(info.frame is not None for info in infos)


def title_of(info: PictureInfo) -> str:
    """The picture's file name, and which frame it is of a video."""
    name = _text(Path(info.file).name or info.file)
    if info.frame is None:
        return name
    time = "" if info.time_s is None else f", {info.time_s:.2f} s"
    return f"{name}, frame {info.frame}{time}"


def page(gallery: Gallery, image: UInt8[np.ndarray, "h w 3"] | None = None) -> str:
    """All pictures of a gallery as one HTML document; of a long video some frames.

    Args:
        gallery: see ``load``.
        image: see ``shown``; of galleries of one picture.

    Raises:
        InputError: they are too many for a page.
    """
    count = len(gallery.result.pictures)
    numbers = list(range(count))
    if is_clip(gallery) and count > MOST_PICTURES:
        numbers = np.linspace(0, count - 1, MOST_PICTURES).round().astype(int).tolist()
    elif count > MOST_PICTURES:
        raise InputError(
            f"These are {count} pictures, but a page holds at most {MOST_PICTURES}; "
            "give fewer result files, or look at them without --html."
        )
    pictures = [shown(gallery, number, image) for number in numbers]
    title = pictures[0].title if count == 1 else f"{count} pictures"
    return hand_page(title, pictures, gallery.model)


def write_beside(
    path: Path, model: ManoModel, image: UInt8[np.ndarray, "h w 3"]
) -> None:
    """Write the page of one picture's result file beside it."""
    files.write_text(path.with_suffix(".html"), page(load([path], model), image))


def _read(info: PictureInfo, folder: Path) -> UInt8[np.ndarray, "h w 3"]:
    """The picture of a result from its file, which may have moved with the result."""
    given = Path(info.file)
    places = [given, folder / given, folder / given.name]
    path = next((place for place in places if os.path.isfile(place)), None)
    if path is None:
        raise InputError(f"{info.file} is not there any more.")
    if info.frame is None:
        image = images.read_image(path)
    else:
        image = clip.read_frame(path, info.frame)
    if image.shape[:2] != (info.height, info.width):
        raise InputError(
            f"{path} has {image.shape[1]} x {image.shape[0]} pixels, but the result is "
            f"of {info.width} x {info.height}."
        )
    return image


def _text(name: str) -> str:
    """A file's name where its bytes are not UTF-8, as text that can be written."""
    return name.encode(errors="replace").decode()


def _millimetres(joints: Float[np.ndarray, "21 3"]) -> tuple[str, ...]:
    bones = np.diff(joints[list(MIDDLE_FINGER)], axis=0)
    length = np.linalg.norm(bones, axis=-1).sum()
    wrist = (f"{round(1000 * float(value))}" for value in joints[WRIST])
    return f"{1000 * length:.0f}", *wrist


def _about_people(result: Result, rows: Sequence[int]) -> Iterator[str]:
    """How the hands of each person lie to each other; nothing of one with one hand."""
    for row in rows:
        text = _about_pair(result, row)
        if text and len(rows) > 1:
            yield f"Person {result.persons.number[row] + 1}: {text}."
        elif text:
            yield f"{text[0].upper()}{text[1:]}."


def _about_pair(result: Result, row: int) -> str:
    apart = 1000 * float(np.linalg.norm(result.prediction.rel_trans[row]))
    if np.isnan(apart):
        return ""
    words = [f"the wrists are {apart:.0f} mm apart"]
    depth, volume = result.persons.max_depth_mm[row], result.persons.volume_cm3[row]
    if depth > 0:
        shared = "" if np.isnan(volume) else f" ({volume:.2f} cm³)"
        words.append(f"the hands run up to {depth:.1f} mm into each other{shared}")
    elif depth == 0:
        words.append("the hands do not run into each other")
    if result.persons.refined[row]:
        words.append("the two-hand prior moved them")
    return "; ".join(words)


def _about_camera(info: PictureInfo, camera: Camera) -> str:
    focal = " x ".join(dict.fromkeys(f"{float(value):.0f}" for value in camera.focal))
    source = FOCAL_SOURCES.get(info.camera_from[0], info.camera_from[0])
    return (
        f"Picture {info.width} x {info.height}, focal length {focal} pixels {source}."
    )
