"""Reading files that somebody else wrote, or that a crash has cut short.

A file is looked at before it is read: it must be an ordinary one (a FIFO would wait
for ever, a device never ends) and not larger than its kind can be. JSON is bounded in
depth, archives of arrays in what they unpack to. What is wrong with a file is an
``InputError``; what the system could not read is tried again, and then an
``UnreadableError``: a disk or network that stalls must never pass for bad data.
"""

import errno
import json
import math
import os
import re
import stat
import time
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from twohand_jax import paths
from twohand_jax.errors import (
    FailedError,
    InputError,
    MissingFileError,
    UnreadableError,
)

MIB = 1 << 20
SETTINGS_BYTES = MIB  # of files that say what something is, such as config.json
TEXT_BYTES = 16 * MIB
FILE_BYTES = 1024 * MIB
ARRAY_BYTES = 1024 * MIB
JSON_DEPTH = 100
WAITS_S = (0.2, 1.0, 5.0)  # before each further try
ABSENT = (FileNotFoundError, NotADirectoryError)
NAMES = (errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL)  # not the reading's fault
T = TypeVar("T")


def read_bytes(path: str | Path, *, limit: int = FILE_BYTES) -> bytes:
    """A file whole.

    Args:
        path: of an ordinary file, or a link to one.
        limit: most bytes that it may have.

    Raises:
        MissingFileError: it is not there.
        InputError: it is not an ordinary file, or larger than ``limit``.
        UnreadableError: the system could not read it, also not when asked again.
    """

    def read() -> bytes:
        check_file(path, limit=limit)
        with open(path, "rb") as file:
            return file.read()

    return retried(read, path)


def check_file(path: str | Path, *, limit: int | None = None) -> int:
    """The size of an ordinary file, in bytes.

    Raises:
        MissingFileError: it is not there.
        InputError: it is not an ordinary file, or larger than ``limit``.
        OSError: the system could not tell.
    """
    if paths.is_mirrored(path):
        paths.fetch(path)
    try:
        status = os.stat(path)
    except ABSENT as error:
        raise MissingFileError(f"{shown(path)} is missing.") from error
    except ValueError as error:  # a name with a zero byte
        raise InputError(f"{shown(path)} is not a name of a file: {error}.") from error
    if not stat.S_ISREG(status.st_mode):
        kind = "a folder" if stat.S_ISDIR(status.st_mode) else "a pipe or device"
        raise InputError(f"{shown(path)} is {kind}; a file is needed.")
    if limit is not None and status.st_size > limit:
        raise InputError(
            f"{shown(path)} has {status.st_size / MIB:,.0f} MiB, but files of its kind "
            f"are smaller than {limit / MIB:,.0f} MiB."
        )
    return status.st_size


def retried(read: Callable[[], T], path: str | Path) -> T:
    """What ``read`` returns, tried again after ``WAITS_S`` when the system fails.

    Raises:
        MissingFileError: the file is not there.
        UnreadableError: it still fails; the message names ``path``.
    """
    for wait in (*WAITS_S, None):
        try:
            return read()
        except ABSENT as error:
            raise MissingFileError(f"{shown(path)} is missing.") from error
        except OSError as error:
            reason = f"{shown(path)} could not be read: {error.strerror or error}."
            if error.errno in NAMES:
                raise InputError(reason) from error
            if wait is None or isinstance(error, PermissionError):
                raise UnreadableError(reason) from error
            time.sleep(wait)
    raise AssertionError


def read_text(path: str | Path, *, limit: int = TEXT_BYTES) -> str:
    """A text in UTF-8, with or without a byte order mark; raises as ``read_bytes``."""
    try:
        return read_bytes(path, limit=limit).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{shown(path)} is not text in UTF-8: {error}.") from error


def read_json(path: str | Path, *, limit: int = TEXT_BYTES) -> Any:
    """The value of a JSON file.

    Raises:
        MissingFileError, UnreadableError: as ``read_bytes`` does.
        InputError: as ``read_bytes`` does; or it is not JSON, or absurdly nested.
    """
    text = read_text(path, limit=limit)
    try:
        return parse_json(text)
    except ValueError as error:
        raise InputError(
            f"{shown(path)} is not readable as JSON ({error}): it is empty, cut short "
            "or of another kind."
        ) from error


def parse_json(text: str) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError: it is not JSON, or nested more than ``JSON_DEPTH`` deep.
    """
    if depth(text) > JSON_DEPTH:
        raise ValueError(f"it is nested more than {JSON_DEPTH} deep")
    return json.loads(text)


def read_object(path: str | Path, *, limit: int = TEXT_BYTES) -> dict[str, Any]:
    """The object of a JSON file; raises as ``read_json``, also for another value."""
    value = read_json(path, limit=limit)
    if not isinstance(value, dict):
        raise InputError(
            f"{shown(path)} must hold a JSON object, not {type(value).__name__}."
        )
    return value


# Strings are jumped over: a bracket in a text nests nothing.
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+(?:"|\Z)|[\[\]{}]', re.DOTALL)


def depth(text: str) -> int:
    """How deep the brackets of a JSON text nest; stops when it is too deep."""
    if text.count("[") + text.count("{") <= JSON_DEPTH:
        return 0
    now = deepest = 0
    for match in _TOKEN.finditer(text):
        token = match.group()
        now += (token in "[{") - (token in "]}")
        deepest = max(deepest, now)
        if deepest > JSON_DEPTH:
            break
    return deepest


def read_npz(
    path: str | Path,
    names: Collection[str] | None = None,
    *,
    limit: int = ARRAY_BYTES,
) -> dict[str, np.ndarray]:
    """Arrays of an archive, without pickles.

    Names, types and shapes are looked at before anything is unpacked.

    Args:
        path: of the archive.
        names: of the arrays; all by default.
        limit: most bytes of all arrays together.

    Raises:
        MissingFileError, UnreadableError: as ``read_bytes`` does.
        InputError: it is not an archive of arrays, lacks one, or is too large.
    """

    def read() -> dict[str, np.ndarray]:
        check_file(path, limit=limit)
        with open(path, "rb") as file, zipfile.ZipFile(file) as archive:
            held = {
                info.filename.removesuffix(".npy"): info for info in archive.infolist()
            }
            wanted = held if names is None else {name: held[name] for name in names}
            if sum(info.file_size for info in wanted.values()) > limit:
                raise InputError(
                    f"{shown(path)} would unpack to more than {limit / MIB:,.0f} MiB; "
                    "files of its kind are smaller."
                )
            return {name: _member(archive, info) for name, info in wanted.items()}

    try:
        return retried(read, path)
    except (InputError, FailedError):
        raise
    except KeyError as error:
        raise InputError(f"{shown(path)} holds no array {error}.") from error
    except MALFORMED_ARRAYS as error:
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise InputError(
            f"{shown(path)} is not a readable .npz archive of arrays ({reason}): it is "
            "empty, cut short, damaged or of another kind."
        ) from error


MALFORMED_ARRAYS = (
    zipfile.BadZipFile,
    zlib.error,
    ValueError,
    TypeError,
    EOFError,
    RuntimeError,  # an encrypted member
    NotImplementedError,  # another compression
    SyntaxError,  # a header that is not a literal
    tokenize.TokenError,
    OverflowError,
    MemoryError,
    RecursionError,
)


def read_npy(path: str | Path, *, limit: int = ARRAY_BYTES) -> np.ndarray:
    """One array of a ``.npy`` file, without pickles; raises as ``read_npz``."""

    def read() -> np.ndarray:
        size = check_file(path, limit=limit)
        with open(path, "rb") as file:
            _check_header(file, size)
            file.seek(0)
            return np.lib.format.read_array(file, allow_pickle=False)

    try:
        return retried(read, path)
    except (InputError, FailedError):
        raise
    except MALFORMED_ARRAYS as error:
        raise InputError(f"{shown(path)} is not a readable array: {error}.") from error


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> np.ndarray:
    if not info.filename.endswith(".npy"):
        raise ValueError(f"member {info.filename!r} is not an array")
    with archive.open(info) as file:
        _check_header(file, info.file_size)
    with archive.open(info) as file:
        return np.lib.format.read_array(file, allow_pickle=False)


def _check_header(file: Any, size: int) -> None:
    """See that the array of an open file fits into its ``size`` bytes.

    Raises:
        ValueError: it does not, or its form is unknown.
    """
    version = np.lib.format.read_magic(file)
    if version not in HEADERS:
        raise ValueError(f"it holds an array of the unknown format {version}")
    shape, _, dtype = HEADERS[version](file)
    if dtype.hasobject:
        raise ValueError("it holds Python objects")
    needed = math.prod(shape) * max(dtype.itemsize, 1)
    if min(shape, default=0) < 0 or needed > max(size, 1):
        raise ValueError(f"an array of shape {shape} does not fit its {size} bytes")


HEADERS: dict[tuple[int, int], Callable[[Any], Any]] = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def shown(path: str | Path, most: int = 300) -> str:
    """A path for a message; the middle of an absurdly long one is left out."""
    text = str(path)
    return text if len(text) <= most else f"{text[: most // 2]}…{text[-most // 2 :]}"
