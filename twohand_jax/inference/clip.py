"""Frames of a video file: upright, with their times, from one second to another.

A video that breaks off gives the frames until there, and a sentence that says so. Where
its size changes, OpenCV's FFmpeg brings the frames to the first one's size.
"""

import dataclasses
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import UInt8

from twohand_jax.errors import InputError
from twohand_jax.inference.images import check_file, check_size

# A header's count of frames may be an estimate; fewer than this share of it, and some,
# is a video that breaks off.
WHOLE_SHARE, WHOLE_FRAMES = 0.95, 3
USUAL_RATE = 30.0  # frames a second where a file says none that can be true
MOST_RATE = 1000.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClipConfig:
    """Which frames of a video are taken.

    Attributes:
        stride: every how many of them.
        start: first second, or None for the beginning.
        end: last second, or None for the end.
    """

    stride: int = 1
    start: float | None = None
    end: float | None = None

    def check(self) -> None:
        """Refuse what takes no frame.

        Raises:
            InputError: a number is out of range.
        """
        if self.stride < 1:
            raise InputError(f"--stride must be 1 or more, not {self.stride}.")
        for name, value in (("--start", self.start), ("--end", self.end)):
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise InputError(f"{name} must be seconds from 0 on, not {value}.")
        if self.end is not None and self.end <= (self.start or 0.0):
            raise InputError(
                f"--end {self.end:g} must lie after --start {self.start or 0.0:g}."
            )


WHOLE = ClipConfig()


class Frame(NamedTuple):
    """A frame of a video.

    Attributes:
        number: in the video, from 0.
        time_s: when it is shown, seconds.
        image: uint8 RGB, upright.
    """

    number: int
    time_s: float
    image: UInt8[np.ndarray, "h w 3"]


class Clip:
    """A video and which of its frames are taken.

    Attributes:
        path: of the file.
        config: which frames.
        rate: frames a second of the file, all of them counted.
        total: frames of the file by its header, 0 where it says nothing.
        note: a sentence on frames that are missing, once all were read; or None.
    """

    def __init__(self, path: str | Path, config: ClipConfig = WHOLE) -> None:
        """Read the header and the first frame.

        Args:
            path: of the video.
            config: which frames are taken.

        Raises:
            InputError: there is no such file, or it has no frame that can be decoded.
        """
        config.check()
        self.path, self.config = Path(path), config
        self.note: str | None = None
        video = open_video(self.path)
        try:
            rate, total = (video.get(prop) for prop in _RATE_AND_COUNT)
            is_there, first = video.read()
        finally:
            video.release()
        if not is_there:
            raise InputError(
                f"{path} is not a video that can be read: no frame could be decoded."
            )
        check_size(self.path, first.shape[1], first.shape[0])
        self._shape = first.shape
        self.rate = float(rate) if 0 < rate <= MOST_RATE else USUAL_RATE
        self.total = int(total) if 0 < total < 2**31 else 0

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the upright frames, pixels."""
        return self._shape[0], self._shape[1]

    @property
    def interval(self) -> float:
        """Seconds between two frames that are taken."""
        return self.config.stride / self.rate

    def expected(self) -> int | None:
        """How many frames will be taken, as far as the header tells; None if not."""
        if not self.total:
            return None
        first = math.ceil((self.config.start or 0.0) * self.rate - 1e-6)
        last = self.total
        if self.config.end is not None:
            last = min(last, math.floor(self.config.end * self.rate + 1e-6) + 1)
        return max(0, -(-(last - first) // self.config.stride))

    def frames(self, *, after: int = -1, last: int | None = None) -> Iterator[Frame]:
        """The frames that are taken, in order; ``note`` tells what came in the way.

        Args:
            after: only those with a greater number, for going on.
            last: only those up to this number.

        Raises:
            InputError: no frame lies between start and end.
        """
        import cv2

        config, self.note = self.config, None
        start, end = config.start or 0.0, config.end
        number, first, time_s = -1, None, -math.inf
        video = open_video(self.path)
        try:
            while (last is None or number < last) and video.grab():
                number += 1
                told = video.get(cv2.CAP_PROP_POS_MSEC) / 1000
                # Some files tell no times, or the same ones again.
                is_later = math.isfinite(told) and told > max(time_s, -1e-9)
                time_s = told if is_later else number / self.rate
                if time_s < start - 1e-6:
                    continue
                if end is not None and time_s > end + 1e-6:
                    break
                first = number if first is None else first
                if (number - first) % config.stride or number <= after:
                    continue
                is_there, image = video.retrieve()
                if not is_there:
                    number -= 1
                    self._check_whole(number, time_s)
                    break
                if image.shape != self._shape:
                    self.note = self._changed(image.shape, number)
                    break
                yield Frame(number, time_s, cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
            else:
                if last is None:
                    self._check_whole(number, time_s)
        finally:
            video.release()
        if first is None:
            raise InputError(
                f"{self.path} has no frame after {start:g} s: it is "
                f"{(number + 1) / self.rate:.1f} s long; give a smaller --start."
            )

    def _check_whole(self, last: int, time_s: float) -> None:
        read = last + 1
        if read < WHOLE_SHARE * self.total - WHOLE_FRAMES:
            self.note = (
                f"{self.path} breaks off after {max(time_s, 0.0):.1f} s: {read} of "
                f"{self.total} frames could be read, and the result is of these."
            )

    def _changed(self, shape: tuple[int, ...], number: int) -> str:
        (height, width), (other, wide) = self.size, shape[:2]
        return (
            f"{self.path} changes its size at frame {number}, from {width} x {height} "
            f"to {wide} x {other} pixels; the result is of the frames before."
        )


# Numbers of OpenCV (cv2.CAP_PROP_FPS and so on), which is imported where it is needed.
_RATE_AND_COUNT = (5, 7)


def open_video(path: Path) -> Any:
    """OpenCV's reader of a video, whose frames come upright.

    Some releases of OpenCV obey a rotation tag only when they are told to.

    Raises:
        InputError: there is no such file.
    """
    import cv2

    check_file(path)
    video = cv2.VideoCapture(str(path))
    video.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)
    return video


def read_frame(path: Path, number: int) -> UInt8[np.ndarray, "h w 3"]:
    """One frame of a video, from 0, as ``Clip.frames`` gives it.

    Raises:
        InputError: the video cannot be read, or has no such frame.
    """
    import cv2

    video = open_video(path)
    try:
        video.set(cv2.CAP_PROP_POS_FRAMES, number)
        is_there, frame = video.read()
    finally:
        video.release()
    if not is_there:
        raise InputError(f"Frame {number} of {path} cannot be read.")
    check_size(path, frame.shape[1], frame.shape[0])
    return cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
