"""Paths that name local files, ``file://`` ones, and objects of stores (``gs://``).

One design for all commands:

*Layer.* fsspec with gcsfs (extra ``gcs``), s3fs (extra ``s3``) or adlfs. TensorFlow,
OpenCV, trimesh, SQLite and memory maps want files, so a store's path stands for a place
in a *mirror*, a folder of this machine that is made when it is first needed and removed
when the command ends. Everything below the command line sees ordinary local paths.

*Down.* ``attach`` lists a store's folder once and copies its files, but for the large
ones that are read one by one (shards of records, parts of checkpoints): these come with
``fetch`` when they are read, and the oldest leave when the disk gets short.

*Up.* ``files`` copies each file up when it is complete (``push``), and a command that
ends well copies what others wrote (``flush``), in the order in which it was written. An
object appears whole or not at all, and every format has a file that is written last
and without which nobody reads the others: a shard its receipt, a record set
``dataset_info.json``, a model ``config.json``, a checkpoint its ``COMPLETE.json``.

*Alone.* Stores know no locks; ``leases`` has objects with an owner and a sign of life.

*Failure.* What a store refuses or delays is tried again, and then it is one sentence.
"""

import argparse
import atexit
import contextlib
import os
import re
import secrets
import shutil
import threading
import urllib.parse
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from twohand_jax import mirror, stores
from twohand_jax.errors import FailedError, InputError, UnreadableError, did_you_mean
from twohand_jax.mirror import ROOT as MIRROR
from twohand_jax.mirror import is_mirrored as is_mirrored
from twohand_jax.mirror import told as told
from twohand_jax.mirror import url as url
from twohand_jax.stores import STORES, Entry

TRANSFERS = 8  # at a time
SHARE = 0.5  # of the free disk, for what can be fetched again
PARTIAL = ".partial-"
# One by one, when they are read; not with all that lies in a folder.
LAZY = re.compile(r"\.tfrecord-\d+-of-\d+$|/checkpoints/.+\.npz$")
OWN = re.compile(r"\.lock$|\.lease$")  # of this machine, or of nobody's results
# Two letters at least: C: is a drive. One slash is what pathlib leaves of two.
URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]+):/(?P<rest>.*)", re.DOTALL)
T = TypeVar("T")

_lock = threading.RLock()
_attached: set[Path] = set()
_fetched: dict[Path, int] = {}  # sizes of lazy files, the oldest use first
_room: float | None = None


def given(text: str) -> Path:
    """The path that a word of a command line names; reads and writes nothing.

    Returns:
        A local path; for a store's URL its place in the mirror.
    """
    try:
        return _place(text)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def given_text(text: str) -> str:
    """As ``given``, for words that need not be paths; those are left as they are."""
    match = URL.fullmatch(text)
    known = match is not None and match["scheme"].lower() in (*STORES, "file")
    return str(given(text)) if known else text


def local(path: str | Path) -> Path:
    """A local path of what a config or a caller names, with a store's files in it.

    Raises:
        InputError: the scheme is unknown, or its package is not installed.
        FailedError: the store does not answer.
    """
    place = _place(path)
    attach(place)
    return place


def _place(path: str | Path) -> Path:
    match = URL.fullmatch(str(path))
    if match is None:
        return Path(path)
    scheme, rest = match["scheme"].lower(), match["rest"].lstrip("/")
    if scheme == "file":
        return _of_file(str(path), match["rest"])
    if scheme not in STORES:
        raise InputError(
            f"{path} is in a store of the unknown kind {scheme}://"
            f"{did_you_mean(scheme, STORES)}: give a local path, file://, gs:// or "
            "s3:// (./ before the name for a local folder of that name)."
        )
    store, parts = STORES[scheme], rest.rstrip("/").split("/")
    if not _is_plain(parts):
        raise InputError(
            f"{path} names no bucket and no object in it; write "
            f"{store.scheme}://BUCKET/NAME, without empty names, . and .. in it."
        )
    stores.check_package(store)
    return mirror.place(store.scheme, "/".join(parts))


def _of_file(whole: str, rest: str) -> Path:
    host, slash, path = rest.removeprefix("/").partition("/")
    if not rest.startswith("/"):  # what pathlib made of file:///a
        host, slash, path = "", "/", rest
    if host not in ("", "localhost") or not slash or not path:
        raise InputError(
            f"{whole} names no file of this machine: write file:///PATH with the whole "
            "path."
        )
    return Path("/" + urllib.parse.unquote(path).lstrip("/"))


def _is_plain(parts: list[str]) -> bool:
    return all(part not in ("", ".", "..") and "\0" not in part for part in parts)


def forget() -> None:
    """Remove the mirror, if this process made it; what was not pushed is lost."""
    global _room
    with _lock:
        mirror.remove()
        _room = None
        _attached.clear()
        _fetched.clear()


atexit.register(forget)


@contextlib.contextmanager
def session() -> Iterator[None]:
    """One command: what it wrote goes up if it does not raise; the mirror goes.

    In a worker, whose mirror is another process's, nothing happens.
    """

    def end() -> None:
        if mirror.is_own():
            flush()

    try:
        yield
        end()
    except SystemExit:  # its code says something of the result, which is there
        end()
        raise
    finally:
        forget()


def attached() -> list[Path]:
    """What this process has copied down with ``attach``, sorted."""
    with _lock:
        return sorted(_attached)


def attach_all(values: Iterable[Any]) -> None:
    """``attach`` every path of a store among the values of a command's flags."""
    for value in values:
        if isinstance(value, list | tuple):
            attach_all(value)
        elif isinstance(value, str | Path) and is_mirrored(value):
            attach(Path(value))


def attach(path: Path, *, again: bool = False) -> None:
    """Copy a file or folder of a store to its place; nothing for other paths.

    Args:
        path: in the mirror; nothing need be there.
        again: also if it was done before: for what others may have changed since.

    Raises:
        FailedError: the store does not answer.
    """
    if not is_mirrored(path):
        return
    with _lock:
        done = any(path == p or p in path.parents for p in _attached)
        if done and not again:
            return
        listing = _listing(path)
        wanted = []
        for place, entry in listing.items():
            place.parent.mkdir(parents=True, exist_ok=True)
            if OWN.search(place.name):
                continue
            state = mirror.state(place)
            is_same = state is not None and mirror.known(place) == (state, entry.tag)
            if not is_same and (state is not None or not _is_lazy(place)):
                wanted.append(place)
        _drop_vanished(path, set(listing))
        with ThreadPoolExecutor(TRANSFERS) as pool:
            list(pool.map(lambda place: _pull(place, listing[place]), wanted))
        _attached.add(path)


def _drop_vanished(path: Path, listed: set[Path]) -> None:
    """Remove copies of what a store no longer has."""
    for record in mirror.records(path):
        place = mirror.place_of(record)
        if place not in listed:
            place.unlink(missing_ok=True)
            record.unlink()


def _is_lazy(place: Path) -> bool:
    return LAZY.search(place.as_posix()) is not None


def fetch(path: str | Path) -> bool:
    """See that a file is at its place; returns whether it is.

    Raises:
        UnreadableError: the store does not answer.
    """
    place = Path(path)
    if place.exists() or not is_mirrored(place):
        return place.exists()
    return fetch_all([place])


def fetch_all(paths: Iterable[str | Path]) -> bool:
    """``fetch`` many at a time; the oldest lazy ones leave where the disk gets short.

    Returns:
        Whether all are there.
    """
    places = [Path(path) for path in paths]
    wanted = [p for p in places if is_mirrored(p) and not p.exists()]
    with ThreadPoolExecutor(TRANSFERS) as pool:
        found = list(pool.map(lambda place: _pull(place, _entry(place)), wanted))
    with _lock:
        for place in places:
            if is_mirrored(place) and _is_lazy(place) and place.exists():
                _fetched.pop(place, None)
                _fetched[place] = place.stat().st_size
        _make_room(set(places))
    return all(found)


def _make_room(needed: set[Path]) -> None:
    global _room
    if _room is None:
        _room = SHARE * shutil.disk_usage(mirror.root()).free
    for place in [p for p in _fetched if p not in needed]:
        if sum(_fetched.values()) <= _room:
            return
        del _fetched[place]
        leave(place)


def names(folder: Path) -> set[str]:
    """Names of what lies in a folder, here or in its store."""
    here = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if not is_mirrored(folder):
        return here
    deep = len(folder.parts)
    return here | {place.parts[deep] for place in _listing(folder) if place != folder}


def size(path: Path) -> int | None:
    """Bytes of a file, here or in its store; None if it is in neither."""
    if path.exists():
        return path.stat().st_size
    entry = _entry(path) if is_mirrored(path) else None
    return None if entry is None else entry.size


def listed(folder: Path) -> list[Path]:
    """Places of all objects below a folder of a store, sorted."""
    return sorted(_listing(folder))


def leave(path: Path) -> None:
    """Remove a file of the mirror; its store keeps it."""
    mirror.record(path).unlink(missing_ok=True)
    path.unlink(missing_ok=True)


def push(path: Path) -> None:
    """Copy a complete file up to its store; nothing for other paths.

    Raises:
        FailedError: the store does not take it.
    """
    if not is_mirrored(path):
        return
    state = mirror.state(path)
    key = mirror.key(path)
    _tried(lambda fs: fs.put_file(str(path), key), path, "written", FailedError)
    mirror.note(path, state, "")


def drop(path: Path) -> None:
    """Remove a file here and in its store, or a folder with all that it holds.

    Raises:
        FailedError: the store does not do it.
    """
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
    if not is_mirrored(path):
        return
    for place in sorted(_listing(path)):
        _remove_object(place)
    for record in mirror.records(path):
        record.unlink()


def _remove_object(place: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        _tried(lambda fs: fs.rm_file(mirror.key(place)), place, "removed", FailedError)
    mirror.record(place).unlink(missing_ok=True)


def flush() -> None:
    """Copy up what was written and not pushed, and remove what was removed here.

    Raises:
        FailedError: a store does not take it.
    """
    if MIRROR not in os.environ:
        return
    base, changed = mirror.root() / mirror.FILES, []
    for folder, folders, names_in in os.walk(base):
        folders[:] = [name for name in folders if PARTIAL not in name]
        for place in (Path(folder, name) for name in names_in):
            state, known = mirror.state(place), mirror.known(place)
            is_new = state is not None and (known is None or known[0] != state)
            if is_new and not OWN.search(place.name) and PARTIAL not in place.name:
                changed.append((int(str(state).split()[1]), place))
    for _, place in sorted(changed):
        if place.exists():
            push(place)
    for record in mirror.records(base):
        place = mirror.place_of(record)
        if not place.exists():
            _remove_object(place)


def _listing(path: Path) -> dict[Path, Entry]:
    """All files at or below a path in its store."""
    try:
        found = _tried(
            lambda fs: fs.find(mirror.key(path), detail=True),
            path,
            "listed",
            UnreadableError,
        )
    except FileNotFoundError:
        return {}
    scheme = mirror.scheme(path)
    places = {}
    for key, info in found.items():
        if info.get("type") == "file" and _is_plain(key.split("/")):
            place = mirror.place(scheme, key)
            if place == path or path in place.parents:
                places[place] = stores.entry_of(info)
    return places


def _entry(place: Path) -> Entry | None:
    try:
        info = _tried(
            lambda fs: fs.info(mirror.key(place)), place, "read", UnreadableError
        )
    except FileNotFoundError:
        return None
    return stores.entry_of(info) if info.get("type") == "file" else None


def _pull(place: Path, entry: Entry | None) -> bool:
    """Copy one file down, whole; False where the store has none."""
    if entry is None:
        return False
    place.parent.mkdir(parents=True, exist_ok=True)
    beside = place.with_name(f".{place.name}{PARTIAL}{secrets.token_hex(4)}")

    def get(fs: Any) -> None:
        fs.get_file(mirror.key(place), str(beside))
        got = beside.stat().st_size
        if got != entry.size:
            raise OSError(f"{got} of {entry.size} bytes came")

    try:
        _tried(get, place, "read", UnreadableError)
        if entry.modified:  # what depends on a file's time does not on this machine
            os.utime(beside, (entry.modified, entry.modified))
        beside.replace(place)
    except FileNotFoundError:
        return False
    finally:
        beside.unlink(missing_ok=True)
    mirror.note(place, mirror.state(place), entry.tag)
    return True


def tried(path: Path, do: Callable[[Any, str], T], what: str) -> T:
    """What ``do`` returns for a store's filesystem and the key of a path in it.

    Raises:
        FileNotFoundError, FileExistsError: as ``do``.
        FailedError: it still fails after some waiting.
    """
    return _tried(lambda fs: do(fs, mirror.key(path)), path, what, FailedError)


def _tried(do: Callable[[Any], T], path: Path, what: str, kind: type[FailedError]) -> T:
    return stores.tried(do, mirror.scheme(path), url(path), what, kind)
