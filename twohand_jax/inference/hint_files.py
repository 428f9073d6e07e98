"""Boxes and keypoints of pictures, in files that people write.

Both forms are one JSON object with the keys ``right`` and ``left``, either of which may
be null or left out; for several pictures an object of such objects under the pictures'
names:

    boxes       {"right": [x0, y0, x1, y1], "left": null}
    keypoints   {"right": [[x, y, score], … 21 rows], "left": [[x, y], … 21 rows]}
    several     {"photo_1": {"right": …}, "photo_2": {"left": …}}

If a picture shows several people, its entry is a list of such objects, one for each
person. If there are boxes and keypoints of a picture, both are of the same people in
the same order. Pixels, centres at integers; joints in the canonical order; a
missing score is 1. An entry of a picture that is not there is refused.
"""

import difflib
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from twohand_jax import reading
from twohand_jax.errors import InputError, MissingFileError
from twohand_jax.inference.images import FailedImage
from twohand_jax.inference.output_folder import FRAME, video_of
from twohand_jax.types import SIDES

SHOWN = 5


class HintFile:
    """A file of boxes or keypoints, and which of its entries were used."""

    def __init__(
        self, path: Path | None, names: Collection[str], videos: Collection[str] = ()
    ) -> None:
        """Read a file and compare its entries with the pictures.

        Args:
            path: of the file; None for no hints.
            names: of the pictures.
            videos: stems of the videos, whose frames are not counted yet.

        Raises:
            InputError: it is not of the documented form, or of other pictures.
        """
        self._path, self._used = path, set[str]()
        self._content = None if path is None else read_file(path)
        if self._content is not None:
            check_names(self._content, str(path), names, videos)

    @property
    def most_people(self) -> int:
        """Of how many people a picture's entry is at most."""
        content = self._content
        entries = content.values() if isinstance(content, dict) else [content]
        return max((len(one) for one in entries if isinstance(one, list)), default=1)

    def of(self, name: str) -> Any:
        """What the file says of a picture (``for_picture``); None if nothing."""
        self._used.add(name)
        return for_picture(self._content, name, str(self._path))

    def unused(self) -> Iterator[FailedImage]:
        """To ask at the end: entries of frames that the videos turned out not to have.

        A failure that names them, or nothing.
        """
        names = set() if isinstance(self._content, list) else set(self._content or {})
        left = sorted(names - self._used - set(SIDES))
        if self._path is not None and left:
            more = f" and {len(left) - SHOWN} more" if len(left) > SHOWN else ""
            yield FailedImage(
                self._path,
                f"{self._path} has entries of frames that the videos do not have: "
                f"{', '.join(left[:SHOWN])}{more}.",
            )


def read_file(path: str | Path) -> dict[str, Any] | list[Any]:
    """Read a boxes or keypoints file.

    Raises:
        InputError: it is missing, or not of the documented form.
    """
    path = Path(path)
    try:
        content = reading.read_json(path)
    except MissingFileError as error:
        raise InputError(f"There is no file {path} with boxes or keypoints.") from error
    is_list = isinstance(content, list) and all(isinstance(v, dict) for v in content)
    if not content or not (is_list or isinstance(content, dict)):
        raise InputError(
            f"{path} must hold a JSON object with the keys 'right' and 'left', or one "
            "such object under each picture's name; for several people a list of them."
        )
    if isinstance(content, list):
        return content
    if isinstance(content.get("people"), list) or {"image", "hands"} <= set(content):
        raise InputError(
            f"{path} is a result file of twohand, not one of boxes or keypoints: it "
            "must hold an object with the keys 'right' and 'left' alone; the lists "
            "'box' and 'joints_px' of a result's hands can stand there."
        )
    return content


def check_names(
    content: dict[str, Any] | list[Any],
    where: str,
    names: Collection[str],
    videos: Collection[str] = (),
) -> None:
    """Refuse a file with entries of pictures that are not there.

    Args:
        content: from ``read_file``.
        where: the file's name for messages.
        names: of the pictures.
        videos: stems of the videos, whose frames are not counted yet.
    """
    if isinstance(content, list) or set(content) <= set(SIDES):
        return
    unknown = [
        key for key in content if key not in names and video_of(key) not in videos
    ]
    if unknown:
        known = [*names, *(FRAME.format(stem=v, number=0) for v in videos)]
        told = ", ".join(_with_advice(key, known) for key in unknown[:SHOWN])
        more = f" and {len(unknown) - SHOWN} more" if len(unknown) > SHOWN else ""
        raise InputError(
            f"{where} has entries that belong to none of the pictures: {told}{more}; a "
            "picture's name is its file's without the ending, and the names here are "
            f"{', '.join(known[:SHOWN])}{' …' if len(known) > SHOWN else ''}."
        )


def _with_advice(key: str, known: Sequence[str]) -> str:
    """A name that nothing has, with the one that may be meant."""
    candidates = [*SIDES, *known]
    near = [name for name in (key.lower(), Path(key).stem) if name in candidates]
    near += [name for name in candidates if name.startswith(f"{key}_")]
    near += difflib.get_close_matches(key, candidates, n=1)
    return f"{key!r} (is {near[0]!r} meant?)" if near else repr(key)


def for_picture(
    content: dict[str, Any] | list[Any] | None, name: str, where: str
) -> Any:
    """What a file's content says of a picture; None if nothing.

    The (right, left) pair of one person, or a list of those of several people, None for
    one of whom it says nothing.

    Args:
        content: from ``read_file``, or None.
        name: the picture's name, the stem of its results.
        where: the file's name for messages.
    """
    if content is None:
        return None
    is_of_all = isinstance(content, list) or set(content) <= set(SIDES)
    entry = content if isinstance(content, list) or is_of_all else content.get(name)
    if entry is None:
        return None
    people = entry if isinstance(entry, list) else [entry]
    for one in people:
        if not isinstance(one, dict) or not set(one) <= set(SIDES):
            raise InputError(
                f"{where}: the entry of {name!r} must be an object with the keys "
                "'right' and 'left', or a list of such objects, one for each person."
            )
    pairs = [[one.get(side) for side in SIDES] for one in people]
    if not isinstance(entry, list):
        return pairs[0]
    known = [one if any(hand is not None for hand in one) else None for one in pairs]
    return known if any(known) else [None] * len(SIDES)
