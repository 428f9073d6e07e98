"""Files of others: what is wrong is said, what cannot be read is tried again."""

import errno
import io
import os
import resource
import zipfile
from pathlib import Path

import numpy as np
import pytest

from twohand_jax import reading
from twohand_jax.errors import InputError, MissingFileError, UnreadableError


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(reading, "WAITS_S", (0.0, 0.0))


class Failing:
    """Stands in for ``open`` and fails some times before it reads."""

    def __init__(self, times: int, number: int) -> None:
        self.left, self.number, self.calls = times, number, 0

    def __call__(self, path: object, *rest: object):
        self.calls += 1
        if self.left:
            self.left -= 1
            raise OSError(self.number, os.strerror(self.number), str(path))
        return open(path, *rest)


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.EMFILE])
def test_a_passing_error_is_survived_and_a_lasting_one_told(
    tmp_path, monkeypatch, number
):
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    monkeypatch.setattr(reading, "open", Failing(2, number), raising=False)
    assert reading.read_bytes(path) == b"abc"
    monkeypatch.setattr(reading, "open", Failing(99, number), raising=False)
    for read in (reading.read_bytes, reading.read_npz, reading.read_npy):
        with pytest.raises(UnreadableError, match=f"{path} could not be read: "):
            read(path)


def test_what_is_wrong_is_not_tried_again(tmp_path, monkeypatch):
    stand_in = Failing(9, errno.ENOENT)
    monkeypatch.setattr(reading, "open", stand_in, raising=False)
    (tmp_path / "a").touch()
    with pytest.raises(MissingFileError, match="is missing"):
        reading.read_bytes(tmp_path / "a")
    assert stand_in.calls == 1


def test_pipes_devices_folders_and_giants_are_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with (tmp_path / "giant").open("wb") as file:
        file.truncate(1 << 40)
    cases = {
        tmp_path / "pipe": "pipe or device",
        Path("/dev/zero"): "pipe or device",
        tmp_path: "is a folder",
        tmp_path / "giant": "1,048,576 MiB",
        tmp_path / ("a" * 5000): "could not be read: File name too long",
        tmp_path / "a\0b": "not a name of a file",
    }
    for path, words in cases.items():
        for read in (reading.read_json, reading.read_npz, reading.read_npy):
            with pytest.raises(InputError, match=words) as error:
                read(path)
            assert len(str(error.value)) < 700


@pytest.mark.parametrize(
    "text",
    ["", "{", "[" * 100_000, '{"a":' * 5000, '"' + r"\"" * 100_000, "\x00", "nul"],
    ids=lambda text: text[:6],
)
def test_broken_json_is_one_sentence(tmp_path, text):
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(InputError, match="not readable as JSON") as error:
        reading.read_json(path)
    assert "\n" not in str(error.value) and len(str(error.value)) < 400


def test_json_with_a_byte_order_mark_and_brackets_in_texts_is_read(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('{"a": "' + "[{" * 200 + r"\"[" + '"}', encoding="utf-8-sig")
    assert reading.read_object(path) == {"a": "[{" * 200 + '"['}
    path.write_text("[" * 90 + "]" * 90)
    assert len(reading.read_json(path)) == 1
    path.write_bytes(b"\xff\xfe{\x00}\x00")
    with pytest.raises(InputError, match="not text in UTF-8"):
        reading.read_json(path)


def archive(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(f"{name}.npy", content)
    return path


def header(shape: tuple[int, ...], dtype: str = "<f4") -> bytes:
    buffer = io.BytesIO()
    fields = {"descr": dtype, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(buffer, fields)
    return buffer.getvalue()


def lying(path: Path) -> Path:
    """An archive whose directory says 4 GiB where there are 200 bytes."""
    archive(path, a=header((50,)) + bytes(200))
    data = bytearray(path.read_bytes())
    place = data.rfind(b"PK\x01\x02")
    data[place + 24 : place + 28] = (0xFFFFFFF0).to_bytes(4, "little")
    path.write_bytes(data)
    return path


HOSTILE = {
    "empty": lambda path: path.write_bytes(b""),
    "words": lambda path: path.write_bytes(b"words"),
    "npy": lambda path: np.save(path.open("wb"), np.zeros(3)),
    "huge shape": lambda path: archive(path, a=header((1 << 62, 4))),
    "negative shape": lambda path: archive(path, a=header((-1,))),
    "objects": lambda path: archive(path, a=header((1,), "|O") + bytes(8)),
    "short": lambda path: archive(path, a=header((100,))),
    "no array": lambda path: archive(path, a=b"words"),
    "lying": lying,
}


@pytest.mark.parametrize("make", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_archive_is_one_sentence_in_little_memory(tmp_path, make):
    path = tmp_path / "a.npz"
    make(path)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputError, match=r"a\.npz") as error:
        reading.read_npz(path)
    assert "\n" not in str(error.value)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000


def test_a_bomb_is_not_unpacked(tmp_path):
    member = header((1 << 24,)) + bytes(4 << 24)
    path = archive(tmp_path / "a.npz", a=member, b=member)
    assert path.stat().st_size < 200_000
    with pytest.raises(InputError, match="unpack to more than 100 MiB"):
        reading.read_npz(path, limit=100 << 20)
    assert reading.read_npz(path, ["b"], limit=100 << 20)["b"].shape == (1 << 24,)


def test_arrays_of_every_kind_come_back(tmp_path):
    arrays = {
        "text": np.array("word"),
        "texts": np.array(["a", "", "ä"]),
        "none": np.zeros((0, 3)),
        "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "flags": np.array([True, False]),
        "empty": np.array(""),
    }
    np.savez(tmp_path / "a.npz", **arrays)
    np.savez_compressed(tmp_path / "b.npz", **arrays)
    for name in ("a.npz", "b.npz"):
        found = reading.read_npz(tmp_path / name)
        for key, value in arrays.items():
            np.testing.assert_array_equal(found[key], value)
            assert found[key].dtype == value.dtype
    with pytest.raises(InputError, match="no array 'other'"):
        reading.read_npz(tmp_path / "a.npz", ["other"])
