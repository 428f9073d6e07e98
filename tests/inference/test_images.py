"""Every form of picture arrives as the same RGB array; the rest is refused."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from twohand_jax.errors import InputError
from twohand_jax.inference import images


@pytest.fixture
def picture() -> np.ndarray:
    """Smooth colours, 40 x 60, which JPEG keeps nearly unchanged."""
    y, x = np.mgrid[:40, :60]
    return np.stack([x * 4, y * 6, 255 - x * 2 - y], axis=-1).astype(np.uint8)


def close(a: np.ndarray, b: np.ndarray, tolerance: float = 3.0) -> bool:
    return a.shape == b.shape and np.abs(a.astype(int) - b).mean() < tolerance


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".bmp", ".tif"])
def test_formats(tmp_path: Path, picture: np.ndarray, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    Image.fromarray(picture).save(path)
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
    for name in ("b.png", "a.jpg", "a.png"):
        Image.fromarray(picture).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no image")
    found = list(images.pictures(images.expand([tmp_path])))
    assert [p.name for p in found] == ["a", "a_2", "b"]
    assert all(p.read().shape == picture.shape for p in found)


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
    frames = list(images.pictures([path]))
    assert [f.name for f in frames] == ["clip_000000", "clip_000001", "clip_000002"]
    shades = [f.read()[..., 0].mean() for f in frames]
    np.testing.assert_allclose(shades, [50, 100, 150], atol=6)


def test_broken_video(tmp_path: Path) -> None:
    path = _bytes(tmp_path / "clip.mp4", b"not a video")
    (picture,) = images.pictures([path])
    with pytest.raises(InputError, match="no frame"):
        picture.read()


def test_missing_path(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There is no file"):
        images.expand([tmp_path / "nowhere"])
