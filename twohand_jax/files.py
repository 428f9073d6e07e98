"""Files that appear complete or not at all.

A file is written in a hidden folder beside its place, flushed to the disk and moved
there. Whoever looks sees the old file, none, or the whole new one, also after a crash.
What the system refuses is one sentence: "Cannot write PATH: No space left on device.",
an ``InputError`` where another place would do, a ``FailedError`` of a full disk.
Of a store, a file is there when it was copied up whole (``paths``).
"""

import contextlib
import json
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from twohand_jax import errors, paths

PARTIAL = ".partial-"


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A place for a writer that wants a path; what lies there moves to ``path``.

    The place has the same file name, for writers that look at the ending. It is removed
    when the body raises; ``path`` then stays what it was.

    Args:
        path: of the file; its folder is made if missing.

    Raises:
        InputError: the file cannot be written, by the fault of ``path``.
        FailedError: the system fails; the disk is full, for one.
    """
    path = Path(path)
    with named(path), _beside(path) as folder:
        yield folder / path.name
        with (folder / path.name).open("r+b") as file:
            os.fsync(file.fileno())
        (folder / path.name).replace(path)
    paths.push(path)


@contextlib.contextmanager
def together(
    folder: Path, names: Sequence[str], *, keep: Sequence[str] = ()
) -> Iterator[Path]:
    """A place for files of one result; they move to ``folder`` when all are written.

    Args:
        folder: made if missing.
        names: of all files that there may be, in the order in which they move. One that
            the body did not write is removed from ``folder``.
        keep: those of them that stay in ``folder`` if the body did not write them.

    Raises:
        InputError, FailedError: as ``replacing``; the folder stays what it was.
    """
    with named(folder), _beside(folder / names[0]) as beside:
        yield beside
        for name in names:
            if (beside / name).exists():
                (beside / name).replace(folder / name)
                paths.push(folder / name)
            elif name not in keep:
                remove(folder / name)


def remove(path: Path) -> None:
    """Remove a file that may be there, or a folder with what it holds, stores too."""
    if paths.is_mirrored(path):
        paths.drop(path)
    elif path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def write_bytes(path: str | Path, content: bytes | Iterable[bytes]) -> None:
    """Write a file, whole or piece by piece; errors of who makes the pieces pass.

    Raises:
        InputError, FailedError: as ``replacing`` does.
    """
    pieces = (content,) if isinstance(content, bytes) else content
    try:
        with replacing(path) as beside, beside.open("wb") as file:
            file.writelines(_apart(pieces))
    except _MakerError as error:
        assert error.__cause__ is not None
        raise error.__cause__ from None


def write_text(path: str | Path, text: str) -> None:
    """Write a text as UTF-8; raises as ``write_bytes`` does."""
    write_bytes(path, text.encode())


def write_json(path: str | Path, content: Any, *, sort_keys: bool = False) -> None:
    """Write plain values as JSON for people to read; raises as ``write_bytes`` does."""
    write_text(path, json.dumps(content, indent=1, sort_keys=sort_keys) + "\n")


def write_npz(
    path: str | Path, arrays: Mapping[str, Any], *, compressed: bool = True
) -> None:
    """Write arrays by name, without pickles.

    Raises:
        ValueError: an array holds Python objects; nothing is written.
        InputError, FailedError: as ``replacing`` does.
    """
    # NumPy 2.0 takes allow_pickle=False for one more array.
    held: dict[str, Any] = {name: np.asarray(a) for name, a in arrays.items()}
    if objects := [name for name, array in held.items() if array.dtype.hasobject]:
        raise ValueError(f"The array {objects[0]!r} holds Python objects, not numbers.")
    save = np.savez_compressed if compressed else np.savez
    with replacing(path) as beside, beside.open("wb") as file:
        save(file, **held)


def remove_partials(folder: Path, *, is_deep: bool = True) -> None:
    """Remove what writers that were killed left in a folder.

    Args:
        folder: nobody else may be writing there.
        is_deep: whether in those below it as well.
    """
    find = folder.rglob if is_deep else folder.glob
    for leftover in list(find(f"*{PARTIAL}*")):
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)


class _MakerError(Exception):
    """Carries an OSError past those of writing."""


def _apart(pieces: Iterable[bytes]) -> Iterator[bytes]:
    try:
        yield from pieces
    except OSError as error:
        raise _MakerError from error


@contextlib.contextmanager
def named(path: Path) -> Iterator[None]:
    """Name the file in what the system refuses while the body writes to it.

    Raises:
        InputError, FailedError: as ``replacing``.
    """
    try:
        yield
    except OSError as error:
        kind = errors.of_writing(error)
        raise kind(f"Cannot write {path}: {error.strerror or error}.") from error


@contextlib.contextmanager
def _beside(path: Path) -> Iterator[Path]:
    folder = path.with_name(f".{path.name}{PARTIAL}{secrets.token_hex(4)}")
    path.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
