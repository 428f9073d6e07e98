"""Pictures from files, folders and videos, as uint8 RGB arrays.

Whatever a camera or a program writes is brought to one form: turned as its EXIF tag
says, transparency over white, 16 bits to 8, CMYK, grey and palettes to RGB. What
cannot be a picture is refused with one sentence, huge ones before they are decoded.
"""

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps, UnidentifiedImageError

from twohand_jax import reading
from twohand_jax.errors import InputError, MissingFileError

MAX_PIXELS = 100_000_000
MAX_SIDE = 32_000
IMAGE_SUFFIXES = frozenset(
    ".jpg .jpeg .png .webp .bmp .tif .tiff .gif .ppm .pgm .jp2 .avif".split()
)
VIDEO_SUFFIXES = frozenset(".mp4 .mov .avi .mkv .webm .m4v .mpg .mpeg".split())


class Picture(NamedTuple):
    """One picture to reconstruct.

    Attributes:
        name: stem of the files written for it, unique within one run.
        source: the file it comes from.
        read: gives the pixels, RGB; raises InputError when they cannot be read.
    """

    name: str
    source: Path
    read: Callable[[], UInt8[np.ndarray, "h w 3"]]


class FailedImage(NamedTuple):
    """An image from which nothing was made, with one sentence that says why."""

    source: Path
    message: str


def read_image(path: str | Path) -> UInt8[np.ndarray, "h w 3"]:
    """Read one image file as RGB.

    Raises:
        InputError: the file is missing, empty, no image, incomplete or too large
            (over 100 million pixels, or over 32,000 on a side).
    """
    path = Path(path)
    _check_file(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                _check_size(path, *image.size)
                image.load()
                return _to_rgb(ImageOps.exif_transpose(image))
    except Image.DecompressionBombError as error:
        raise InputError(_too_large(path, "more than 178 million pixels")) from error
    except UnidentifiedImageError as error:
        raise InputError(
            f"{path} is not an image that can be read: expected a JPEG, PNG, WebP, "
            "TIFF, BMP or GIF file."
        ) from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{path} is damaged or incomplete ({error}); a whole image file is needed."
        ) from error


def expand(paths: Sequence[str | Path]) -> list[Path]:
    """The image and video files that files and folders stand for, in order.

    Raises:
        InputError: a path does not exist, or a folder holds no image and no video.
    """
    files: list[Path] = []
    for path in map(Path, paths):
        if not os.path.isdir(path):
            if not os.path.exists(path):  # Path.exists fails on too long a name
                raise InputError(_missing(path))
            files.append(path)
            continue
        known = IMAGE_SUFFIXES | VIDEO_SUFFIXES
        inside = sorted(p for p in path.iterdir() if p.suffix.lower() in known)
        if not inside:
            raise InputError(
                f"The folder {path} holds no images: expected files that end in "
                f"{', '.join(sorted(IMAGE_SUFFIXES))} (or a video)."
            )
        files += inside
    return files


def pictures(files: Sequence[Path]) -> Iterator[Picture]:
    """Every image, and every frame of every video, under a name of its own.

    A name is the file's stem, a frame's number behind it; a stem that came before
    gets ``_2``, ``_3`` … so that no result overwrites another.
    """
    seen: set[str] = set()
    for file in files:
        stem = _unused(file.stem or file.name, seen)
        if file.suffix.lower() in VIDEO_SUFFIXES:
            yield from _frames(file, stem)
        else:
            yield Picture(stem, file, partial(read_image, file))


def _unused(stem: str, seen: set[str]) -> str:
    name, count = stem, 1
    while name in seen:
        count += 1
        name = f"{stem}_{count}"
    seen.add(name)
    return name


def _frames(path: Path, stem: str) -> Iterator[Picture]:
    import cv2

    if not path.is_file():  # a pipe would keep the decoder waiting
        yield Picture(stem, path, partial(_refuse_video, path))
        return
    video = cv2.VideoCapture(str(path))
    try:
        count = 0
        while True:
            is_there, frame = video.read()
            if not is_there:
                break
            _check_size(path, frame.shape[1], frame.shape[0])
            rgb = cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
            yield Picture(f"{stem}_{count:06d}", path, partial(np.asarray, rgb))
            count += 1
        if count == 0:
            yield Picture(stem, path, partial(_refuse_video, path))
    finally:
        video.release()


def _refuse_video(path: Path) -> UInt8[np.ndarray, "h w 3"]:
    _check_file(path)
    raise InputError(
        f"{path} is not a video that can be read: no frame could be decoded."
    )


def _check_file(path: Path) -> None:
    if path.is_dir():
        raise InputError(f"{path} is a folder, where one image file is expected.")
    try:
        size = reading.check_file(path)
        with path.open("rb") as file:
            file.read(1)
    except MissingFileError as error:
        raise InputError(_missing(path)) from error
    except OSError as error:
        raise InputError(f"{path} cannot be opened: {error.strerror}.") from error
    if size == 0:
        raise InputError(f"{path} is empty (0 bytes); an image file is expected.")


def _missing(path: Path) -> str:
    name = reading.shown(path)
    return f"There is no file {name}; give the path of an image, video or folder."


def _check_size(path: Path, width: int, height: int) -> None:
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
        raise InputError(_too_large(path, f"{width} x {height} pixels"))
    if min(width, height) < 1:
        raise InputError(f"{path} has no pixels ({width} x {height}).")


def _too_large(path: Path, has: str) -> str:
    return (
        f"{path} is too large: it has {has}, and at most {MAX_PIXELS // 10**6} million "
        f"pixels and {MAX_SIDE} on a side are accepted; make it smaller first."
    )


def _to_rgb(image: Image.Image) -> UInt8[np.ndarray, "h w 3"]:
    if image.mode.startswith("I") or image.mode == "F":
        grey = _to_bytes(np.asarray(image), is_float=image.mode == "F")
        return np.repeat(grey[..., None], 3, axis=-1)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, image)
    return np.array(image.convert("RGB"))


def _to_bytes(values: np.ndarray, *, is_float: bool) -> UInt8[np.ndarray, "h w"]:
    """16-bit integers lose their lower byte; floats up to 1 are stretched to 255."""
    if not is_float:
        return np.clip(values.astype(np.int64) // 257, 0, 255).astype(np.uint8)
    finite = np.nan_to_num(values)
    factor = 255.0 if finite.max(initial=0.0) <= 1.0 else 1.0
    return np.clip(np.rint(finite * factor), 0, 255).astype(np.uint8)
