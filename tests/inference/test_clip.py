"""Frames of videos: which ones, upright, and what is said of those that are missing."""

import struct
from pathlib import Path

import cv2
import numpy as np
import pytest

from twohand_jax.errors import InputError
from twohand_jax.inference import clip
from twohand_jax.inference.clip import Clip, ClipConfig

WIDTH, HEIGHT, RATE = 64, 48, 10.0


def video(path: Path, frames: int, codec: str = "mp4v") -> Path:
    """Frames of growing brightness, the upper left quarter white."""
    code = cv2.VideoWriter.fourcc(*codec)
    writer = cv2.VideoWriter(str(path), code, RATE, (WIDTH, HEIGHT))
    for number in range(frames):
        image = np.full((HEIGHT, WIDTH, 3), 5 * number, np.uint8)
        image[: HEIGHT // 2, : WIDTH // 2] = 255
        writer.write(image)
    writer.release()
    return path


def turned(path: Path, degrees: int) -> Path:
    """The file with a rotation tag (the matrix of its track header)."""
    content = bytearray(path.read_bytes())
    at = content.find(b"tkhd") + 44
    a, b = {90: (0, 1), 180: (-1, 0), 270: (0, -1)}[degrees]
    matrix = (a << 16, b << 16, 0, -b << 16, a << 16, 0, 0, 0, 1 << 30)
    content[at : at + 36] = struct.pack(">9i", *matrix)
    path.write_bytes(content)
    return path


def quarters(image: np.ndarray) -> list[bool]:
    """Which quarters are white: upper left, upper right, lower left, lower right."""
    height, width = image.shape[0] // 2, image.shape[1] // 2
    rows = (image[:height], image[height:])
    parts = [part for row in rows for part in (row[:, :width], row[:, width:])]
    return [bool(part.mean() > 128) for part in parts]


@pytest.mark.parametrize(("degrees", "white"), [(90, 1), (180, 3), (270, 2)])
def test_rotation_tags_are_obeyed(tmp_path: Path, degrees: int, white: int) -> None:
    path = turned(video(tmp_path / "clip.mp4", 3), degrees)
    one = Clip(path)
    assert one.size == ((HEIGHT, WIDTH) if degrees == 180 else (WIDTH, HEIGHT))
    for image in [*(frame.image for frame in one.frames()), clip.read_frame(path, 1)]:
        assert image.shape[:2] == one.size
        assert quarters(image) == [at == white for at in range(4)]


@pytest.mark.parametrize(
    ("config", "numbers"),
    [
        (ClipConfig(), range(12)),
        (ClipConfig(stride=5), [0, 5, 10]),
        (ClipConfig(start=0.35), range(4, 12)),
        (ClipConfig(start=0.2, end=0.6, stride=2), [2, 4, 6]),
        (ClipConfig(end=0.0001), [0]),
    ],
)
def test_which_frames_are_taken(tmp_path: Path, config, numbers) -> None:
    one = Clip(video(tmp_path / "clip.mp4", 12), config)
    found = list(one.frames())
    assert [frame.number for frame in found] == list(numbers)
    np.testing.assert_allclose([f.time_s for f in found], np.array(numbers) / RATE)
    assert one.expected() == len(found)
    assert one.note is None
    later = list(one.frames(after=found[0].number))
    assert [frame.number for frame in later] == list(numbers)[1:]


def test_a_video_that_breaks_off_says_so(tmp_path: Path) -> None:
    path = video(tmp_path / "clip.avi", 40, codec="MJPG")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    one = Clip(path)
    count = len(list(one.frames()))
    assert 5 < count < 35
    assert one.note is not None and "breaks off" in one.note
    assert f"{count} of 40 frames" in one.note


def test_frames_of_a_changing_size_are_brought_to_the_first_one_s(
    tmp_path: Path,
) -> None:
    # OpenCV scales them and tells nothing; with other backends Clip ends and says so.
    path = tmp_path / "clip.avi"
    sizes = [(HEIGHT, WIDTH)] * 6 + [(2 * HEIGHT, 2 * WIDTH)] * 4
    pictures = [np.full((*size, 3), 90, np.uint8) for size in sizes]
    encoded = [cv2.imencode(".jpg", picture)[1].tobytes() for picture in pictures]
    path.write_bytes(b"".join(encoded))  # a raw stream of JPEGs
    found = list(Clip(path).frames())
    assert len(found) == 10
    assert {frame.image.shape for frame in found} == {(HEIGHT, WIDTH, 3)}
    assert (np.diff([frame.time_s for frame in found]) > 0).all()


@pytest.mark.parametrize("content", [b"", b"not a video", b"\0" * 500])
def test_no_frame_at_all_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(content)
    with pytest.raises(InputError, match="empty|no frame"):
        Clip(path)


@pytest.mark.parametrize(
    ("config", "match"),
    [
        (ClipConfig(start=9.0), "no frame after 9 s: it is 1.0 s long"),
        (ClipConfig(start=0.5, end=0.2), "--end 0.2 must lie after --start 0.5"),
        (ClipConfig(stride=0), "--stride"),
        (ClipConfig(start=-1.0), "--start"),
        (ClipConfig(end=float("nan")), "--end"),
    ],
)
def test_what_takes_no_frame_is_refused(tmp_path: Path, config, match) -> None:
    path = video(tmp_path / "clip.mp4", 10)
    with pytest.raises(InputError, match=match):
        list(Clip(path, config).frames())
