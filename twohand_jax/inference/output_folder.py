"""A folder of results that knows its own files, and touches nobody else's.

``.twohand_manifest.jsonl`` in the folder has a line for each picture: what it was made
of, and the SHA-256 of each file. The line is on the disk before the files move to
their places, so that a run which was killed at any moment leaves files that the next
one knows. A file is the folder's own while its content is what a line says: what a
person changed is that person's.
"""

import contextlib
import functools
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from twohand_jax import files, paths
from twohand_jax.errors import InputError, of_writing

MANIFEST = ".twohand_manifest.jsonl"
SHOWN = 5
FRAME = "{stem}_{number:06d}"
_PARTIAL_FOLDER = re.compile(rf"\..+{re.escape(files.PARTIAL)}[0-9a-f]{{8}}")


class OutputFolder:
    """Where a run writes.

    Attributes:
        path: the folder.
    """

    def __init__(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Read what earlier runs wrote there; the folder need not exist.

        Args:
            path: the folder.
            overwrite: whether files that are not the folder's own may be replaced.
                They are never removed without a replacement.
        """
        self.path = Path(path)
        self._overwrite = overwrite
        self._hashes: dict[str, set[str]] = {}
        self._last: dict[tuple[str, str], dict[str, Any]] = {}
        for entry in _entries(self.path / MANIFEST):
            self._remember(entry)

    def open(
        self, stems: Sequence[str], videos: Collection[str], endings: Sequence[str]
    ) -> None:
        """Refuse files of others where results go, then prepare the folder.

        Args:
            stems: names of the pictures.
            videos: stems of the videos; how many frames they have is not known yet.
            endings: of the files of each picture or frame.

        Raises:
            InputError: there are such files, or the folder cannot be written.
            FailedError: the disk is full.
        """
        names = [stem + ending for stem in stems for ending in endings]
        if videos and self.path.is_dir():
            for there in sorted(entry.name for entry in self.path.iterdir()):
                bare = [there.removesuffix(e) for e in endings if there.endswith(e)]
                if any(video_of(name) in videos for name in bare):
                    names.append(there)
        self.refuse_others(names)
        self.prepare()

    def prepare(self) -> None:
        """Make the folder, try it for writing, clear what killed runs left half done.

        Raises:
            InputError, FailedError: it cannot be made or written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.path):
                pass
        except OSError as error:
            raise of_writing(error)(
                f"The output folder {self.path} cannot be written: {error.strerror}; "
                "choose another with --out."
            ) from error
        for entry in self.path.iterdir():
            if _PARTIAL_FOLDER.fullmatch(entry.name) and entry.is_dir():
                shutil.rmtree(entry, ignore_errors=True)

    def is_own(self, name: str) -> bool:
        """Whether a file is there and is as a run wrote it."""
        known = self._hashes.get(name)
        return known is not None and sha256_of(self.path / name) in known

    def refuse_others(self, names: Iterable[str]) -> None:
        """Refuse to write where files are that no run made, unless told to overwrite.

        Raises:
            InputError: there are some; the message names them.
        """
        others = [] if self._overwrite else self.others(names)
        if others:
            more = f" and {len(others) - SHOWN} more" if len(others) > SHOWN else ""
            raise InputError(
                f"In {self.path} {', '.join(others[:SHOWN])}{more} would be replaced, "
                "which no earlier run made (or which was changed since); choose "
                "another folder with --out, or replace them with --overwrite."
            )

    def others(self, names: Iterable[str]) -> list[str]:
        """The files among these that are there and not the folder's own."""
        present = [name for name in names if os.path.lexists(self.path / name)]
        return [name for name in present if not self.is_own(name)]

    def is_done(self, name: str, made_of: dict[str, Any], *, kind: str) -> bool:
        """Whether a picture's last files are all there and made of just this.

        Args:
            name: of the picture.
            made_of: plain values on which the files depend.
            kind: which command's files.
        """
        entry = self._last.get((kind, name))
        if entry is None or entry["made_of"] != json.loads(json.dumps(made_of)):
            return False
        written = entry["files"].items()
        return all(sha256_of(self.path / file) == value for file, value in written)

    def written(self, name: str, *, kind: str) -> list[Path]:
        """A picture's last files."""
        return [self.path / file for file in self._last[kind, name]["files"]]

    @contextlib.contextmanager
    def writing(
        self, name: str, names: Sequence[str], made_of: dict[str, Any], *, kind: str
    ) -> Iterator[Path]:
        """A place for a picture's files; they move here when all are written.

        Own files of an earlier result that the body does not write are removed, also
        those that are not among the names.

        Args:
            name: of the picture.
            names: of all files that there may be.
            made_of: plain values on which the files depend.
            kind: which command's files.

        Raises:
            InputError: a file is in the way that is not the folder's own, or the folder
                cannot be written; it then stays what it was.
        """
        self.refuse_others(names)
        others = self.others(names)
        before = self._last.get((kind, name), {"files": {}})["files"]
        gone = [file for file in before if file not in names and self.is_own(file)]
        with files.together(self.path, [*names, *gone], keep=others) as beside:
            yield beside
            hashes = {
                file: sha256_of(beside / file)
                for file in names
                if (beside / file).exists()
            }
            entry = {"kind": kind, "name": name, "made_of": made_of, "files": hashes}
            self._append(entry)

    def _append(self, entry: dict[str, Any]) -> None:
        line = json.dumps(entry)
        path = self.path / MANIFEST
        with files.named(path), path.open("a+b") as file:
            if file.tell():
                file.seek(-1, os.SEEK_END)
                line = line if file.read(1) == b"\n" else f"\n{line}"
            file.write(f"{line}\n".encode())
            file.flush()
            os.fsync(file.fileno())
        paths.push(path)
        self._remember(json.loads(line))

    def _remember(self, entry: dict[str, Any]) -> None:
        self._last[entry["kind"], entry["name"]] = entry
        for file, value in entry["files"].items():
            self._hashes.setdefault(file, set()).add(value)


def video_of(name: str) -> str | None:
    """The video's stem in a frame's name; None if it is not of a frame's form."""
    match = re.fullmatch(r"(.+)_\d{6,}", name, re.DOTALL)
    return match and match[1]


def state_of(path: Path) -> str | None:
    """Digits that change with names, sizes and times of a file or a folder's files.

    None for a path that is not there.
    """
    path = Path(path)
    if not path.exists():
        return None
    inside = sorted(path.rglob("*")) if path.is_dir() else [path]
    status = [(file.name, file.stat()) for file in inside if file.is_file()]
    told = [(name, stat.st_size, stat.st_mtime_ns) for name, stat in status]
    return hashlib.sha256(repr(told).encode()).hexdigest()[:16]


def content_of(path: Path) -> str | None:
    """The hash of a file, remembered for all frames of a video; None if not there."""
    try:
        status = path.stat()
    except OSError:
        return None
    return _hash_in_state(path, status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=1)
def _hash_in_state(path: Path, *_: int) -> str | None:
    return sha256_of(path)


def sha256_of(path: Path) -> str | None:
    """The hash of a file's content; None if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def _entries(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of a manifest; what is not a line of ours (a torn one) is left out."""
    try:
        lines = path.read_bytes().splitlines()
    except OSError:
        return
    for line in lines:
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if _is_entry(entry):
            yield entry


def _is_entry(entry: Any) -> bool:
    if not isinstance(entry, dict) or not isinstance(entry.get("files"), dict):
        return False
    words = [entry.get("kind"), entry.get("name"), *entry["files"].values()]
    return all(isinstance(word, str) for word in words) and "made_of" in entry
