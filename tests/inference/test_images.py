"""Every form of picture arrives as the same RGB array; the rest is refused."""

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from twohand_jax.errors import InputError
from twohand_jax.inference import clip, images


@pytest.fixture
def picture() -> np.ndarray:
    """Smooth colours, 40 x 60, which JPEG keeps nearly unchanged."""
    y, x = np.mgrid[:40, :60]
    return np.stack([x * 4, y * 6, 255 - x * 2 - y], axis=-1).astype(np.uint8)


def close(a: np.ndarray, b: np.ndarray, tolerance: float = 3.0) -> bool:
    return a.shape == b.shape and np.abs(a.astype(int) - b).mean() < tolerance


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".bmp", ".tif", ".jfif"])
def test_formats(tmp_path: Path, picture: np.ndarray, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    Image.fromarray(picture).save(path)
    assert [one.path for one in images.expand([tmp_path]).sources] == [path]
    read = images.read_image(path)
    assert read.dtype == np.uint8
    assert close(read, picture)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(
    tmp_path: Path, picture: np.ndarray, orientation: int
) -> None:
    upright = Image.fromarray(picture)
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # Transpose that stores it
    stored = upright.transpose(undo[orientation]) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(images.read_image(tmp_path / "a.png"), picture)


def test_transparency_lies_over_white(tmp_path: Path, picture: np.ndarray) -> None:
    alpha = np.full(picture.shape[:2], 255, np.uint8)
    alpha[:, :30] = 0
    Image.fromarray(np.dstack([picture, alpha])).save(tmp_path / "a.png")
    read = images.read_image(tmp_path / "a.png")
    assert (read[:, :30] == 255).all()
    np.testing.assert_array_equal(read[:, 30:], picture[:, 30:])


def test_cmyk(tmp_path: Path, picture: np.ndarray) -> None:
    Image.fromarray(picture).convert("CMYK").save(tmp_path / "a.jpg", quality=95)
    assert close(images.read_image(tmp_path / "a.jpg"), picture, 4.0)


def test_sixteen_bits(tmp_path: Path) -> None:
    grey = np.linspace(0, 65535, 40 * 60).reshape(40, 60).astype(np.uint16)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    read = images.read_image(tmp_path / "grey.png")
    np.testing.assert_array_equal(read[..., 0], grey // 257)
    colour = np.stack([grey, grey[::-1], grey // 2], axis=-1)
    cv2.imwrite(str(tmp_path / "colour.png"), colour[..., ::-1])
    assert close(images.read_image(tmp_path / "colour.png"), colour / 257, 1.0)


@pytest.mark.parametrize("mode", ["L", "P", "1", "LA", "YCbCr"])
def test_modes_become_rgb(tmp_path: Path, picture: np.ndarray, mode: str) -> None:
    path = tmp_path / ("a.jpg" if mode == "YCbCr" else "a.png")
    Image.fromarray(picture).convert(mode).save(path)
    read = images.read_image(path)
    assert read.shape == (40, 60, 3) and read.dtype == np.uint8


def _bytes(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_refusals_name_the_file_and_the_fault(
    tmp_path: Path, picture: np.ndarray
) -> None:
    Image.fromarray(picture).save(tmp_path / "whole.jpg")
    whole = (tmp_path / "whole.jpg").read_bytes()
    faults = {
        "is empty": _bytes(tmp_path / "empty.jpg", b""),
        "not an image": _bytes(tmp_path / "text.jpg", b"these are words\n"),
        "damaged or incomplete": _bytes(tmp_path / "cut.jpg", whole[: len(whole) // 2]),
        "There is no file": tmp_path / "missing.jpg",
        "is a folder": tmp_path,
    }
    for words, path in faults.items():
        with pytest.raises(InputError, match=words) as error:
            images.read_image(path)
        assert str(path) in str(error.value)
        assert str(error.value).count("\n") == 0


def test_huge_is_refused_before_decoding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("1", (12_000, 12_000)).save(tmp_path / "wide.png")
    Image.new("1", (40_000, 2)).save(tmp_path / "long.png")
    Image.new("1", (20_000, 20_000)).save(tmp_path / "bomb.png")

    def decode(*_: object) -> None:
        raise AssertionError("the image was decoded")

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", decode)
    for name in ("wide", "long", "bomb"):
        with pytest.raises(InputError, match="too large.*100 million"):
            images.read_image(tmp_path / f"{name}.png")


def test_folders_expand_sorted_and_names_are_unique(
    tmp_path: Path, picture: np.ndarray
) -> None:
    for name in ("b.png", "a.jpg", "a.png", "B.webp"):
        Image.fromarray(picture).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "more").mkdir()
    (tmp_path / ".hidden.png").write_text("no image")
    found = images.expand([tmp_path])
    assert [one.stem for one in found.sources] == ["B", "a", "a_2", "b_2"]
    assert found.skipped == [tmp_path / "more", tmp_path / "notes.txt"]
    assert all(
        one.read().image.shape == picture.shape
        for one in images.pictures(found.sources)
    )


def test_folders_in_folders(tmp_path: Path, picture: np.ndarray) -> None:
    for name in ("a.png", "one/a.png", "one/two/b.png", ".git/c.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        Image.fromarray(picture).save(tmp_path / name)
    (tmp_path / "one" / "notes.txt").write_text("no image")
    found = images.expand([tmp_path], recursive=True)
    assert [one.stem for one in found.sources] == ["a", "one_a", "one_two_b"]
    assert found.skipped == [tmp_path / "one" / "notes.txt"]


@pytest.mark.parametrize(
    ("names", "stems"),
    [
        (["clip_000001.png", "clip.mp4"], ["clip_000001", "clip_2"]),
        (["clip.mp4", "Clip_000001.png"], ["clip", "Clip_000001_2"]),
        (["clip.mp4", "clip_one.png"], ["clip", "clip_one"]),
    ],
)
def test_no_picture_has_the_name_of_a_video_s_frame(tmp_path, names, stems) -> None:
    for name in names:
        (tmp_path / name).touch()
    found = images.expand([tmp_path / name for name in names]).sources
    assert [one.stem for one in found] == stems


def test_a_url_is_told_from_a_missing_file() -> None:
    with pytest.raises(InputError, match="https://a.b/c.jpg is a URL; download"):
        images.expand(["https://a.b/c.jpg"])


def test_heic(tmp_path: Path, picture: np.ndarray, monkeypatch) -> None:
    path = _bytes(tmp_path / "a.heic", b"\0\0\0\x18ftypheic\0\0\0\0")
    monkeypatch.setitem(sys.modules, "pillow_heif", None)  # as where it is missing
    with pytest.raises(InputError, match=r"pip install 'twohand_jax\[heic\]'"):
        images.read_image(path)
    monkeypatch.undo()
    import pillow_heif

    pillow_heif.from_pillow(Image.fromarray(picture)).save(path, quality=95)
    assert close(images.read_image(path), picture, 4.0)


def exif_of(focal: object, size: tuple[int, int] | None = None) -> Image.Exif:
    exif = Image.Exif()
    inside = exif.get_ifd(0x8769)
    inside[0xA405] = focal
    if size:
        inside[0xA002], inside[0xA003] = size
    return exif


@pytest.mark.parametrize(
    ("focal", "taken", "expected"),
    [
        (28, None, 28 / 43.27 * np.hypot(40, 60)),
        (28, (600, 400), 28 / 43.27 * np.hypot(40, 60)),  # made smaller since
        (28, (400, 600), 28 / 43.27 * np.hypot(40, 60)),  # stored upright since
        (28, (600, 600), None),  # cut out of a larger one since
        (0, None, None),
        (65000, None, None),
    ],
)
def test_focal_length_from_exif(tmp_path, picture, focal, taken, expected) -> None:
    image = Image.fromarray(picture)
    image.save(tmp_path / "a.jpg", exif=exif_of(focal, taken))
    photo = images.read_photo(tmp_path / "a.jpg")
    assert photo.focal == (expected and pytest.approx(expected))
    assert images.read_photo(tmp_path / "a.jpg").image.shape == picture.shape


def test_a_damaged_exif_tells_nothing(tmp_path: Path, picture: np.ndarray) -> None:
    path = tmp_path / "a.jpg"
    Image.fromarray(picture).save(path, exif=exif_of(28))
    content = path.read_bytes()
    at = content.index(b"Exif") + 14
    path.write_bytes(content[:at] + b"\xff" * 12 + content[at + 12 :])
    assert images.read_photo(path).focal is None


class Webcam:
    """Three pictures, then none."""

    def __init__(self, number: int) -> None:
        self.left = 3 if number == 0 else 0

    def isOpened(self) -> bool:  # noqa: N802 - OpenCV's name
        return self.left > 0

    def read(self) -> tuple[bool, np.ndarray]:
        self.left -= 1
        return True, np.full((48, 64, 3), (0, 0, 200), np.uint8)

    def release(self) -> None:
        pass


def test_webcam(monkeypatch) -> None:
    monkeypatch.setattr(cv2, "VideoCapture", Webcam)
    found = list(images.webcam(0))
    assert [one.frame for one in found] == [0, 1, 2]
    assert len({one.name for one in found}) == 3
    assert found[0].read().image[0, 0].tolist() == [200, 0, 0]
    with pytest.raises(InputError, match="no picture from camera 1"):
        list(images.webcam(1))


def test_folder_without_images(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no images"):
        images.expand([tmp_path])


def test_video_frames(tmp_path: Path, picture: np.ndarray) -> None:
    path = tmp_path / "clip.avi"
    code = cv2.VideoWriter.fourcc(*"MJPG")
    video = cv2.VideoWriter(str(path), code, 5.0, (64, 48))
    for shade in (50, 100, 150):
        video.write(np.full((48, 64, 3), (0, 0, shade), np.uint8))
    video.release()
    frames = list(images.pictures(images.expand([path]).sources))
    assert [f.name for f in frames] == ["clip_000000", "clip_000001", "clip_000002"]
    assert [f.frame for f in frames] == [0, 1, 2]
    np.testing.assert_allclose([f.time_s for f in frames], [0, 0.2, 0.4])
    shades = [f.read().image[..., 0].mean() for f in frames]
    np.testing.assert_allclose(shades, [50, 100, 150], atol=6)


def test_broken_video(tmp_path: Path) -> None:
    path = _bytes(tmp_path / "clip.mp4", b"not a video")
    (picture,) = images.pictures([images.Source(path, "clip")])
    with pytest.raises(InputError, match="no frame"):
        picture.read()


def test_missing_path(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There is no file"):
        images.expand([tmp_path / "nowhere"])


def test_one_frame_of_a_video_is_that_of_all(tmp_path):
    path = tmp_path / "clip.avi"
    kind = cv2.VideoWriter.fourcc(*"MJPG")
    video = cv2.VideoWriter(str(path), kind, 10.0, (32, 24))
    for shade in range(0, 250, 50):
        video.write(np.full((24, 32, 3), shade, np.uint8))
    video.release()
    every = [one.read().image for one in images.pictures([images.Source(path, "a")])]
    for number in (3, 0, 4):
        np.testing.assert_array_equal(clip.read_frame(path, number), every[number])
    with pytest.raises(InputError, match="Frame 9"):
        clip.read_frame(path, 9)
