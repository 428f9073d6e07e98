"""Where the files of stores lie on this machine, and when they are the same as theirs.

``ROOT/files/SCHEME/BUCKET/NAME`` is the place of an object, ``ROOT/known`` has a record
for each that was the same as its object once. A command's workers find the root in the
environment.
"""

import os
import re
import shutil
import tempfile
import threading
from pathlib import Path

ROOT = "TWOHAND_MIRROR"  # of the environment
FILES, KNOWN = "files", "known"
_lock = threading.Lock()
_root: Path | None = None


def root() -> Path:
    """Of the mirror, which is made when it is first asked for."""
    global _root
    found = os.environ.get(ROOT)  # without the lock, which waits for transfers
    if found:
        return Path(found)
    with _lock:
        if ROOT in os.environ:
            return Path(os.environ[ROOT])
        _root = Path(tempfile.mkdtemp(prefix="twohand-mirror-")).resolve()
        os.environ[ROOT] = str(_root)
        return _root


def is_own() -> bool:
    """Whether this process has made the mirror."""
    return _root is not None


def remove() -> None:
    """Remove the mirror, if this process has made it."""
    global _root
    with _lock:
        if _root is not None:
            shutil.rmtree(_root, ignore_errors=True)
            os.environ.pop(ROOT, None)
        _root = None


def is_mirrored(path: str | Path) -> bool:
    """Whether a local path stands for one of a store."""
    base = os.environ.get(ROOT)
    return base is not None and str(path).startswith(f"{base}{os.sep}{FILES}{os.sep}")


def url(path: str | Path) -> str:
    """The URL of a place in the mirror; any other path as it is."""
    if not is_mirrored(path):
        return str(path)
    return told(str(path))


def told(text: str) -> str:
    """A message with URLs in place of the mirror's paths."""
    base = os.environ.get(ROOT)
    if base is None or base not in text:
        return text
    return re.sub(re.escape(f"{base}/{FILES}/") + r"(\w+)/", r"\1://", text)


def place(scheme: str, name: str) -> Path:
    """Of an object, by its bucket and name."""
    return root() / FILES / scheme / name


def scheme(path: Path) -> str:
    """Of the store of a place."""
    return path.parts[len(root().parts) + 1]


def key(path: Path) -> str:
    """Bucket and name of an object."""
    return "/".join(path.parts[len(root().parts) + 2 :])


def state(path: Path) -> str | None:
    """Size and time of a file; None where there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return f"{status.st_size} {status.st_mtime_ns}"


def record(path: Path) -> Path:
    """Where it is noted in which state a file is the same as its store's."""
    return root() / KNOWN / path.relative_to(root() / FILES)


def place_of(known: Path) -> Path:
    """The place that a record is of."""
    return root() / FILES / known.relative_to(root() / KNOWN)


def records(path: Path) -> list[Path]:
    """Of a file, or of all files in a folder."""
    base = record(path)
    if base.is_file():
        return [base]
    return [one for one in base.rglob("*") if one.is_file()]


def known(place: Path) -> tuple[str, str] | None:
    """Size and time of a file that was the same as its store's, and the tag of that."""
    try:
        state, _, tag = record(place).read_text().partition("\n")
    except OSError:
        return None
    return state, tag


def note(place: Path, state: str | None, tag: str) -> None:
    """Record that a file in this state is the same as the object with this tag."""
    path = record(place)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{state}\n{tag}")
