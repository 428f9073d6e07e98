"""Pictures from files, folders, videos and webcams, as uint8 RGB arrays.

Whatever a camera or a program writes is brought to one form: turned as its EXIF tag
says, transparency over white, 16 bits to 8, CMYK, grey and palettes to RGB. What
cannot be a picture is refused with one sentence, huge ones before they are decoded.
"""

import datetime
import os
import re
import struct
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import jax
import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps, UnidentifiedImageError

from twohand_jax import extras, reading
from twohand_jax.errors import InputError, MissingFileError
from twohand_jax.inference.output_folder import FRAME, OutputFolder, video_of

if TYPE_CHECKING:
    from twohand_jax.inference.clip import ClipConfig

MAX_PIXELS = 100_000_000
MAX_SIDE = 32_000
IMAGE_SUFFIXES = frozenset(
    ".jpg .jpeg .jpe .jfif .png .webp .bmp .tif .tiff .gif .ppm .pgm .jp2 .avif "
    ".heic .heif".split()
)
MOST_NAMED = 10
VIDEO_SUFFIXES = frozenset(".mp4 .mov .avi .mkv .webm .m4v .mpg .mpeg".split())
# The first brand of HEIF files that Pillow reads only with pillow-heif.
HEIF_BRANDS = frozenset((b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1"))


class Photo(NamedTuple):
    """A picture and what its file says of the camera.

    Attributes:
        image: uint8 RGB, upright.
        focal: focal length in pixels, from EXIF; None where it says nothing.
    """

    image: UInt8[np.ndarray, "h w 3"]
    focal: float | None = None


# What a caller may give as a picture; ``as_photo`` brings it to one form.
AnyPicture: TypeAlias = np.ndarray | jax.Array | Image.Image | Photo


class Source(NamedTuple):
    """An image or video file, and the stem of what is written for it.

    Stems are unique within a run, and no frame of a video has another one's stem.
    """

    path: Path
    stem: str


class Expanded(NamedTuple):
    """What paths stand for.

    Attributes:
        sources: image and video files, in order.
        skipped: what lies in the folders besides, results of earlier runs aside.
    """

    sources: list[Source]
    skipped: list[Path]


class Skipped(NamedTuple):
    """What lies in the given folders and is not a picture."""

    paths: list[Path]

    def sentence(self) -> str:
        """The paths, those of folders with a slash behind."""
        named = [f"{path}/" if path.is_dir() else str(path) for path in self.paths]
        more = f" and {len(named) - MOST_NAMED} more" if len(named) > MOST_NAMED else ""
        return (
            f"Skipped, neither image nor video: {', '.join(named[:MOST_NAMED])}{more}"
        )


class Picture(NamedTuple):
    """One picture to reconstruct.

    Attributes:
        name: stem of the files written for it, unique within one run.
        source: the file it comes from.
        read: gives the pixels; raises InputError when they cannot be read.
        frame: its number in a video, from 0; None of a photograph.
        time_s: when in the video it is shown, seconds; None where that is not known.
    """

    name: str
    source: Path
    read: Callable[[], Photo]
    frame: int | None = None
    time_s: float | None = None


class FailedImage(NamedTuple):
    """An image from which nothing was made, with one sentence that says why."""

    source: Path
    message: str

    def sentence(self) -> str:
        """The message, the image before it where it does not name it."""
        source = str(self.source)
        return self.message if source in self.message else f"{source}: {self.message}"


def read_image(path: str | Path) -> UInt8[np.ndarray, "h w 3"]:
    """Read one image file as RGB; see ``read_photo``."""
    return read_photo(path).image


def read_photo(path: str | Path) -> Photo:
    """Read one image file, and the focal length if it is there.

    Raises:
        InputError: the file is missing, empty, no image, incomplete or too large
            (over 100 million pixels, or over 32,000 on a side).
    """
    path = Path(path)
    check_file(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            warnings.filterwarnings("ignore", "Corrupt EXIF", UserWarning)
            with Image.open(path) as image:
                check_size(path, *image.size)
                image.load()
                return from_pil(image)
    except Image.DecompressionBombError as error:
        raise InputError(_too_large(path, "more than 178 million pixels")) from error
    except UnidentifiedImageError as error:
        raise InputError(
            f"{path} is not an image that can be read: expected a JPEG, PNG, WebP, "
            "HEIC, TIFF, BMP or GIF file."
        ) from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{path} is damaged or incomplete ({error}); a whole image file is needed."
        ) from error


def from_pil(image: Image.Image) -> Photo:
    """A Pillow image as an upright RGB array, with what its EXIF says."""
    is_upright = image.getexif().get(_EXIF_ORIENTATION, 1) == 1
    upright = image if is_upright else ImageOps.exif_transpose(image)
    return Photo(_to_rgb(upright), exif_focal(image))


_EXIF_ORIENTATION = 0x0112


def as_photo(picture: AnyPicture) -> Photo:
    """A caller's picture; arrays are taken as they are."""
    if isinstance(picture, Photo):
        return picture
    if isinstance(picture, Image.Image):
        return from_pil(picture)
    if isinstance(picture, jax.Array):
        return Photo(np.asarray(picture))
    return Photo(picture)


DIAGONAL_35MM = 43.27  # of 36 x 24 mm, in mm
LEAST_35MM, MOST_35MM = 4.0, 4000.0
_EXIF_IFD, _FOCAL_35MM, _EXIF_WIDTH, _EXIF_HEIGHT = 0x8769, 0xA405, 0xA002, 0xA003
MAX_ASPECT_CHANGE = 0.02


def exif_focal(image: Image.Image) -> float | None:
    """Focal length in pixels by EXIF's 35 mm equivalent, which is of the diagonal.

    None where there is none, where it can't be true, and where the picture has another
    shape than the one that was taken, so that it was cut out of that.
    """
    try:
        tags = image.getexif().get_ifd(_EXIF_IFD)
        equivalent = float(tags.get(_FOCAL_35MM) or 0.0)
        taken = [float(tags.get(tag) or 0.0) for tag in (_EXIF_WIDTH, _EXIF_HEIGHT)]
    except (OSError, SyntaxError, ValueError, TypeError, KeyError, struct.error):
        return None
    if not LEAST_35MM <= equivalent <= MOST_35MM:
        return None
    if min(taken) > 0:
        change = max(image.size) / min(image.size) * min(taken) / max(taken)
        if abs(change - 1.0) > MAX_ASPECT_CHANGE:
            return None
    return equivalent / DIAGONAL_35MM * float(np.hypot(*image.size))


def expand(paths: Sequence[str | Path], *, recursive: bool = False) -> Expanded:
    """The image and video files that files and folders stand for, in order.

    A stem is the file's, with its folders' names before it where these were searched;
    one that came before gets ``_2``, ``_3`` … so that no result overwrites another.

    Args:
        paths: of files and folders.
        recursive: whether folders in folders are searched as well.

    Raises:
        InputError: a path does not exist, or a folder holds no image and no video.
    """
    stems = _Stems()
    sources: list[Source] = []
    skipped: list[Path] = []
    for path in paths:
        if re.match(r"[a-zA-Z][\w+.-]+://", str(path)):
            raise InputError(
                f"{path} is a URL; download the file first, and give its path."
            )
        path = Path(path)
        if not os.path.isdir(path):
            if not os.path.exists(path):  # Path.exists fails on too long a name
                raise InputError(_missing(path))
            sources.append(Source(path, stems.unused(path, path.stem)))
            continue
        inside, others = _inside(path, recursive=recursive)
        if not inside:
            raise InputError(
                f"The folder {path} holds no images: expected files that end in "
                f"{', '.join(sorted(IMAGE_SUFFIXES))} (or a video)."
            )
        skipped += others
        for file in inside:
            stem = "_".join(file.relative_to(path).with_suffix("").parts)
            sources.append(Source(file, stems.unused(file, stem)))
    return Expanded(sources, skipped)


def _inside(folder: Path, *, recursive: bool) -> tuple[list[Path], list[Path]]:
    """Images and videos of a folder, and what else is there; neither hidden ones."""
    known = IMAGE_SUFFIXES | VIDEO_SUFFIXES
    taken: list[Path] = []
    others: list[Path] = []
    for place, folders, names in os.walk(folder):
        earlier = OutputFolder(place)
        for name in names:
            if name.startswith(".") or earlier.is_own(name):
                continue
            path = Path(place, name)
            (taken if path.suffix.lower() in known else others).append(path)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        if not recursive:
            others += [Path(place, name) for name in folders]
            break
    return sorted(taken), sorted(others)


class _Stems:
    """Gives out stems; case does not tell two of them apart, as on many disks."""

    def __init__(self) -> None:
        self._seen: set[str] = set()
        self._videos: set[str] = set()

    def unused(self, path: Path, stem: str) -> str:
        name, count = stem, 1
        while self._is_taken(name.casefold(), path):
            count += 1
            name = f"{stem}_{count}"
        self._seen.add(name.casefold())
        if is_video(path):
            self._videos.add(name.casefold())
        return name

    def _is_taken(self, name: str, path: Path) -> bool:
        if name in self._seen or video_of(name) in self._videos:
            return True
        return is_video(path) and any(video_of(one) == name for one in self._seen)


def is_video(path: Path) -> bool:
    """Whether a file is taken for a video, by its ending."""
    return path.suffix.lower() in VIDEO_SUFFIXES


def names(sources: Sequence[Source]) -> tuple[list[str], list[str]]:
    """Stems of the images, and of the videos."""
    videos = [source.stem for source in sources if is_video(source.path)]
    return [source.stem for source in sources if not is_video(source.path)], videos


def pictures(
    sources: Sequence[Source], taken: "ClipConfig | None" = None
) -> Iterator[Picture]:
    """Every image, and every frame of every video, a frame's number behind the stem.

    Args:
        sources: images and videos.
        taken: which frames; None for all.
    """
    for path, stem in sources:
        if is_video(path):
            yield from _frames(path, stem, taken)
        else:
            yield Picture(stem, path, partial(read_photo, path))


def _frames(path: Path, stem: str, taken: "ClipConfig | None") -> Iterator[Picture]:
    from twohand_jax.inference.clip import WHOLE, Clip

    try:
        clip = Clip(path, taken or WHOLE)
    except InputError as error:
        yield Picture(stem, path, partial(_refuse, str(error)))
        return
    for number, time_s, image in clip.frames():
        name = FRAME.format(stem=stem, number=number)
        yield Picture(name, path, partial(Photo, image), number, time_s)
    if clip.note is not None:
        yield Picture(stem, path, partial(_refuse, clip.note))


def _refuse(sentence: str) -> Photo:
    raise InputError(sentence)


def webcam(number: int) -> Iterator[Picture]:
    """Frames of a camera of this computer, until it gives no more.

    Raises:
        InputError: OpenCV finds no such camera, or it gives no picture.
    """
    import cv2

    camera = cv2.VideoCapture(number)
    now = datetime.datetime.now()
    stem = f"camera{number}_{now:%Y%m%d_%H%M%S}"
    try:
        count = 0
        while camera.isOpened():
            is_there, frame = camera.read()
            if not is_there:
                break
            rgb = cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
            name = FRAME.format(stem=stem, number=count)
            passed = (datetime.datetime.now() - now).total_seconds()
            yield Picture(name, Path(stem), partial(Photo, rgb), count, passed)
            count += 1
        if count == 0:
            raise InputError(
                f"OpenCV gets no picture from camera {number}: it is not there, or "
                "another program uses it; --camera 0 is the first one."
            )
    finally:
        camera.release()


def check_file(path: Path) -> None:
    """Refuse what cannot be a picture's or a video's file before it is decoded.

    Raises:
        InputError: it is missing, empty, a folder or no plain file.
    """
    if path.is_dir():
        raise InputError(f"{path} is a folder, where one image file is expected.")
    try:
        size = reading.check_file(path)
        with path.open("rb") as file:
            start = file.read(12)
    except MissingFileError as error:
        raise InputError(_missing(path)) from error
    except OSError as error:
        raise InputError(f"{path} cannot be opened: {error.strerror}.") from error
    if size == 0:
        raise InputError(f"{path} is empty (0 bytes); an image or a video is expected.")
    is_heif = start[4:8] == b"ftyp" and start[8:] in HEIF_BRANDS
    if is_heif and path.suffix.lower() != ".avif":
        _load_heif(path)


def _load_heif(path: Path) -> None:
    what = f"{path} is a HEIC picture, which needs"
    with extras.needed_for(what, "heic", instead="save the picture as JPEG"):
        import pillow_heif
    pillow_heif.register_heif_opener()


def _missing(path: Path) -> str:
    name = reading.shown(path)
    return f"There is no file {name}; give the path of an image, video or folder."


def check_size(path: Path, width: int, height: int) -> None:
    """Refuse a picture of no pixels or of too many.

    Raises:
        InputError: it is of such a size.
    """
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
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))


def _to_bytes(values: np.ndarray, *, is_float: bool) -> UInt8[np.ndarray, "h w"]:
    """16-bit integers lose their lower byte; floats up to 1 are stretched to 255."""
    if not is_float:
        return np.clip(values.astype(np.int64) // 257, 0, 255).astype(np.uint8)
    finite = np.nan_to_num(values)
    factor = 255.0 if finite.max(initial=0.0) <= 1.0 else 1.0
    return np.clip(np.rint(finite * factor), 0, 255).astype(np.uint8)
