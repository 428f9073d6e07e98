"""One command in a folder of a store at a time, where there are no locks.

An object ``.lease`` in the folder says who is at work there, with a token and a count
that the owner raises every few seconds. Whoever comes and finds one watches whether the
count changes; an object that stays the same for ``WATCH_S`` is of somebody who died,
and is replaced. Where a store can, an object is created only if there is none; where
it cannot, who of two wins is seen a moment later, as both read which token is there.
No clocks are compared.
"""

import contextlib
import json
import os
import secrets
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from twohand_jax import paths
from twohand_jax.errors import FailedError, InputError

LEASE = ".lease"
BEAT_S = 5.0
WATCH_S = 4 * BEAT_S
SETTLE_S = 1.0  # in which two who come at once have both written


class Lease(NamedTuple):
    """Who holds a folder, since when, and the sign of life."""

    what: str
    host: str
    pid: int
    since: str
    token: str
    beats: int


@contextlib.contextmanager
def held(directory: Path, what: str) -> Iterator[None]:
    """A folder of a store for this process alone.

    Args:
        directory: in the mirror.
        what: the command, for the message that another one gets.

    Raises:
        InputError: somebody else is at work there.
        FailedError: the store does not answer; or, when the body ends, the lease was
            somebody else's meanwhile.
    """
    path = directory / LEASE
    now = time.strftime("%Y-%m-%d %H:%M:%S")
    own = Lease(what, socket.gethostname(), os.getpid(), now, secrets.token_hex(8), 0)
    _take(path, own)
    done, lost = threading.Event(), threading.Event()
    beat = threading.Thread(target=_renew, args=(path, own, done, lost), daemon=True)
    beat.start()
    try:
        yield
    finally:
        done.set()
        beat.join()
        if not lost.is_set() and _token(_read(path)) == own.token:
            with contextlib.suppress(FileNotFoundError):
                paths.tried(path, lambda fs, key: fs.rm_file(key), "removed")
    if lost.is_set():
        raise FailedError(
            f"{paths.url(directory)} was taken over by another process while this one "
            "could not be seen: what both wrote may be mixed. Run the same command "
            "again when the other one has ended."
        )


def _take(path: Path, own: Lease) -> None:
    found = _read(path)
    if found is not None:
        if _is_dead_here(found) or not _beats(path, found):
            _write(path, own)
        else:
            raise _in_use(path, found)
    elif not _create(path, own):
        raise _in_use(path, _read(path))
    time.sleep(SETTLE_S)
    found = _read(path)
    if found is None or found.token != own.token:
        raise _in_use(path, found)


def _is_dead_here(found: Lease) -> bool:
    """Whether a lease is of a process of this host that has ended."""
    if found.host != socket.gethostname():
        return False
    if found.pid == os.getpid() or os.name == "nt":
        return False
    try:
        os.kill(found.pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    return False


def _beats(path: Path, found: Lease) -> bool:
    print(
        f"{_told(found)} may be at work in {paths.url(path.parent)}: looking for a "
        f"sign of life for {WATCH_S:.0f} s.",
        file=sys.stderr,
    )
    end = time.monotonic() + WATCH_S
    while time.monotonic() < end:
        time.sleep(min(BEAT_S, 1.0, WATCH_S / 4))
        now = _read(path)
        if now is None:
            return False
        if now != found:
            return True
    return False


def _renew(
    path: Path, own: Lease, done: threading.Event, lost: threading.Event
) -> None:
    """Write a new count again and again; ends when the lease is another's."""
    beats = 0
    while not done.wait(BEAT_S):
        try:
            found = _read(path)
            if found is not None and found.token != own.token:
                lost.set()
                return
            beats += 1
            _write(path, own._replace(beats=beats))
        except FailedError:  # nobody can take it over either while the store is away
            continue


def _read(path: Path) -> Lease | None:
    try:
        content = paths.tried(path, lambda fs, key: fs.cat_file(key), "read")
    except FileNotFoundError:
        return None
    try:
        values: dict[str, Any] = json.loads(content[:4096])
        words = [str(values[name]) for name in ("what", "host", "since", "token")]
        what, host, since, token = words
        pid, beats = int(values["pid"]), int(values["beats"])
        return Lease(what, host, pid, since, token, beats)
    except (ValueError, KeyError, TypeError):
        return Lease("another process", "?", 0, "?", "", 0)


def _token(lease: Lease | None) -> str | None:
    return None if lease is None else lease.token


def _write(path: Path, own: Lease) -> None:
    content = json.dumps(own._asdict()).encode()
    paths.tried(path, lambda fs, key: fs.pipe_file(key, content), "written")


def _create(path: Path, own: Lease) -> bool:
    """Write a lease where there is none; False where there is one already."""
    content = json.dumps(own._asdict()).encode()

    def create(fs: Any, key: str) -> None:
        fs.pipe_file(key, content, mode="create")

    try:
        paths.tried(path, create, "written")
    except FileExistsError:
        return _token(_read(path)) == own.token  # of a try that did not seem to work
    return True


def _told(found: Lease) -> str:
    return f"{found.what} (process {found.pid} on {found.host} since {found.since})"


def _in_use(path: Path, found: Lease | None) -> InputError:
    who = "another process" if found is None else _told(found)
    return InputError(
        f"{paths.url(path.parent)} is in use by {who}: wait for it, end it, or choose "
        "another directory."
    )
