"""Ways in which a file can be wrong, drawn from a seed."""

import copy
import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

ODD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**62, -(2**63), 10**400, 1e20, -1e20, 1e-320),
    *(float("nan"), float("inf"), "", "x", "手", "\0", "../../etc/passwd", "/dev/zero"),
    *([], {}, [[]], [None], [1, [2]], {"a": 1}, {"": {}}, ["a"] * 50, "y" * 10_000),
)


class Sentinel:
    """Unpickled for real, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.path),)


def wrong(path: Path, draw: Random, sentinel: Path) -> str:
    """Make a file wrong in one of many ways; says which.

    Args:
        path: of a valid file; others may be links to the same content.
        draw: decides how.
        sentinel: what appears when something in the file is run.
    """
    content = path.read_bytes()
    ways: list[Callable[..., None]] = [*BYTES] * 2 + [*KINDS]
    if path.suffix == ".json":
        ways += [mutated_json] * 24 + [absurd_json] * 4
    elif path.suffix == ".npz":
        ways += [mutated_npz] * 16 + [hostile_npz] * 6
    elif path.suffix == ".npy":
        ways += [other_array] * 8
    elif path.suffix in (".pkl", ".pt", ".pth"):
        ways += [hostile_pickle] * 8
    elif path.suffix in (".txt", ".jsonl"):
        ways += [odd_lines] * 8
    way = draw.choice(ways)
    path.unlink()
    way(path, content, draw, sentinel)
    return way.__name__


def empty(path: Path, *_: Any) -> None:
    path.write_bytes(b"")


def cut(path: Path, content: bytes, draw: Random, *_: Any) -> None:
    path.write_bytes(content[: draw.randrange(max(len(content), 1))])


def flipped(path: Path, content: bytes, draw: Random, *_: Any) -> None:
    data = bytearray(content or b"\0")
    for _ in range(draw.choice((1, 1, 3, 20))):
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    path.write_bytes(data)


def noise(path: Path, content: bytes, draw: Random, *_: Any) -> None:
    path.write_bytes(draw.randbytes(draw.choice((1, 20, 3000))))


def longer(path: Path, content: bytes, draw: Random, *_: Any) -> None:
    path.write_bytes(content + draw.randbytes(200))


def swapped(path: Path, content: bytes, draw: Random, *_: Any) -> None:
    """A stretch of zeros, as a power cut leaves it."""
    start = draw.randrange(max(len(content), 1))
    path.write_bytes(content[:start] + bytes(4096) + content[start + 4096 :])


def marked(path: Path, content: bytes, *_: Any) -> None:
    path.write_bytes(b"\xef\xbb\xbf" + content)


def missing(path: Path, *_: Any) -> None:
    pass


def folder(path: Path, *_: Any) -> None:
    path.mkdir()


def pipe(path: Path, *_: Any) -> None:
    os.mkfifo(path)


def device(path: Path, *_: Any) -> None:
    path.symlink_to("/dev/zero")


def ring(path: Path, *_: Any) -> None:
    path.symlink_to(path.name)


def nowhere(path: Path, *_: Any) -> None:
    path.symlink_to("nowhere")


def giant(path: Path, *_: Any) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 42)


BYTES = (empty, cut, flipped, noise, longer, swapped, marked)
KINDS = (missing, folder, pipe, device, ring, nowhere, giant)


def mutated_json(path: Path, content: bytes, draw: Random, *_: Any) -> None:
    """Some values in place of others, keys and entries gone or doubled."""
    value = json.loads(content)
    for _ in range(draw.choice((1, 1, 1, 3))):
        value = _replaced(value, draw)
    path.write_text(json.dumps(value))


def _replaced(value: Any, draw: Random) -> Any:
    if not isinstance(value, dict | list) or not value or draw.random() < 0.1:
        return copy.deepcopy(draw.choice(ODD))  # which a further change may change
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    key = draw.choice(keys)
    how = draw.random()
    if how < 0.12:
        del value[key]
    elif how < 0.18 and isinstance(value, dict):
        value[draw.choice(("", "x", f"{key}_"))] = value.pop(key)
    elif how < 0.18:
        value.append(value[key])
    else:
        value[key] = _replaced(value[key], draw)
    return value


def absurd_json(path: Path, content: bytes, draw: Random, *_: Any) -> None:
    deep = draw.choice(("[", '{"a":', '[{"b":'))
    path.write_text(
        draw.choice(
            (deep * 100_000, "9" * 400, "9" * 10_000, '"' + "\\" * 99_999, "[1,,]")
        )
    )


def mutated_npz(path: Path, content: bytes, draw: Random, *_: Any) -> None:
    """An array of another shape or type, gone, or one more."""
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    name = draw.choice(list(arrays))
    how = draw.randrange(6)
    if how == 0:
        del arrays[name]
    elif how == 1:
        arrays[f"{name}x"] = arrays[name]
    elif how == 2:
        arrays[name] = arrays[name].astype("U8")
    elif how == 3 and arrays[name].dtype.kind == "f":
        arrays[name] = np.full_like(arrays[name], draw.choice((np.nan, np.inf, 1e30)))
    else:
        arrays[name] = draw.choice(
            (arrays[name][None], np.zeros(0), np.array("{"), np.zeros((2, 1), complex))
        )
    with path.open("wb") as out:
        np.savez(out, **arrays)


def hostile_npz(path: Path, content: bytes, draw: Random, sentinel: Path) -> None:
    """A member that is a bomb, lies about its size, is encrypted or a pickle."""
    buffer = io.BytesIO()
    shape = draw.choice(((1 << 62, 4), (-3,), (1 << 40,), (1 << 20, 1 << 20)))
    fields = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(buffer, fields)
    members = {
        "shape": buffer.getvalue() + bytes(64),
        "bomb": _bomb(),
        "pickle": _object_array(sentinel),
        "words": b"words",
    }
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = archive.namelist()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(draw.choice(names), members[draw.choice(list(members))])
    if draw.random() < 0.3:  # the directory says that it is encrypted
        data = bytearray(path.read_bytes())
        data[data.rfind(b"PK\x01\x02") + 8] |= 1
        path.write_bytes(data)


def _bomb() -> bytes:
    buffer = io.BytesIO()
    fields = {"descr": "<f4", "fortran_order": False, "shape": (1 << 22,)}
    np.lib.format.write_array_header_1_0(buffer, fields)
    return buffer.getvalue() + bytes(4 << 22)


def _object_array(sentinel: Path) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array([Sentinel(sentinel)], dtype=object), allow_pickle=True)
    return buffer.getvalue()


def other_array(path: Path, content: bytes, draw: Random, sentinel: Path) -> None:
    if draw.random() < 0.3:
        path.write_bytes(_object_array(sentinel))
        return
    odd = (np.zeros(3), np.array("a"), np.full(64, np.nan), np.zeros((9, 9), "M8[s]"))
    with path.open("wb") as file:
        np.save(file, draw.choice(odd))


def hostile_pickle(path: Path, content: bytes, draw: Random, sentinel: Path) -> None:
    run: Any = Sentinel(sentinel)
    odd = draw.choice((run, {"v_template": run}, [run], {"a": [[]] * 9}, 7, {}))
    path.write_bytes(pickle.dumps(odd, draw.choice((0, 2, 5))))


def odd_lines(path: Path, content: bytes, draw: Random, *_: Any) -> None:
    lines = content.decode(errors="replace").splitlines() or [""]
    odd = ("", "x", "手", "1" * 500, "../..", "a/b/c", "nan", "{", lines[0])
    lines.insert(draw.randrange(len(lines) + 1), draw.choice(odd))
    path.write_text("\n".join(lines))
