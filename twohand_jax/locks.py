"""One command in a directory at a time, on network file systems as well.

The lock is a file that says who holds it. The system's own lock on that file
(``flock``) ends with the process, so what a killed one left is known at once. Where a
network file system keeps such locks to each host, or has none, the file's time tells:
the holder renews it every few seconds, and whoever comes watches whether it changes.
Windows locks a byte of the file (``msvcrt``), which ends with the process as well.
Folders of stores have leases instead.
"""

import contextlib
import errno
import importlib.util
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from twohand_jax import leases, paths
from twohand_jax.errors import FailedError, InputError, of_writing

# Windows has none.
fcntl: Any = (
    importlib.import_module("fcntl") if importlib.util.find_spec("fcntl") else None
)

LOCK = ".lock"
BEAT_S = 5.0
WATCH_S = 4 * BEAT_S
BYTE = 1 << 30  # Windows keeps others from what is locked: beyond what is read
NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)


class Holder(NamedTuple):
    """Who holds a lock: command, host, process and local time of its start."""

    what: str
    host: str
    pid: int
    since: str


@contextlib.contextmanager
def held(directory: Path, what: str) -> Iterator[None]:
    """The directory for this process alone; it is made, and removed again if empty.

    Args:
        directory: to work in.
        what: the command, for the message that another one gets.

    Raises:
        InputError: another process holds it, or it cannot be written.
        FailedError: the disk is full.
    """
    if paths.is_mirrored(directory):
        with leases.held(directory, what):
            paths.attach(directory, again=True)
            yield
        return
    made = _make(directory)
    try:
        descriptor = _take(directory, what)
    except BaseException:
        _remove_empty(made)
        raise
    done = threading.Event()
    path = directory / LOCK
    beat = threading.Thread(target=_renew, args=(descriptor, path, done), daemon=True)
    beat.start()
    try:
        yield
    finally:
        done.set()
        beat.join()
        _release(descriptor, path)
        _remove_empty(made)


def _release(descriptor: int, path: Path) -> None:
    if fcntl is not None:
        path.unlink(missing_ok=True)
        os.close(descriptor)
        return
    os.close(descriptor)  # Windows removes no file that is open, here or by the next
    with contextlib.suppress(OSError):
        path.unlink()


def _make(directory: Path) -> list[Path]:
    """Make a directory and those above it; which were missing, the lowest first."""
    try:
        missing = [
            path for path in (directory, *directory.parents) if not path.exists()
        ]
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _cannot_write(directory, error) from error
    return missing


def _remove_empty(folders: list[Path]) -> None:
    with contextlib.suppress(OSError):
        for folder in folders:
            folder.rmdir()


def _cannot_write(directory: Path, error: OSError) -> InputError | FailedError:
    return of_writing(error)(
        f"The folder {directory} cannot be written: {error.strerror}; choose another."
    )


def _take(directory: Path, what: str) -> int:
    """Open the lock's file, lock it and write who holds it."""
    path = directory / LOCK
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise _cannot_write(directory, error) from error
        try:
            has_locks = _flock(descriptor, directory)
            if not _is_same(descriptor, path):  # its holder has just removed it
                os.close(descriptor)
                continue
            holder = _read(descriptor)
            if holder is not None and _is_alive(holder, descriptor, has_locks):
                raise _in_use(directory, holder)
            _write(descriptor, what)
            return descriptor
        except OSError as error:
            os.close(descriptor)
            raise _cannot_write(directory, error) from error
        except InputError:
            os.close(descriptor)
            raise


def _flock(descriptor: int, directory: Path) -> bool:
    """Take the system's lock; False where the file system has none."""
    try:
        if fcntl is not None:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            _lock_byte(descriptor)
    except BlockingIOError as error:
        raise _in_use(directory, _read(descriptor)) from error
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        return False
    return True


def _lock_byte(descriptor: int) -> None:
    """What ``flock`` does, on Windows."""
    msvcrt: Any = importlib.import_module("msvcrt")
    os.lseek(descriptor, BYTE, os.SEEK_SET)
    try:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    except PermissionError as error:
        raise BlockingIOError(error.errno, error.strerror) from error


def _is_same(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _is_alive(holder: Holder, descriptor: int, has_locks: bool) -> bool:
    """Whether the process that wrote into a lock's file still holds it."""
    if holder.host == socket.gethostname():
        return not has_locks and holder.pid != os.getpid() and _runs(holder.pid)
    print(
        f"{_told(holder)} may be at work here: looking for a sign of life for "
        f"{WATCH_S:.0f} s.",
        file=sys.stderr,
    )
    before, end = os.fstat(descriptor).st_mtime_ns, time.monotonic() + WATCH_S
    while time.monotonic() < end:
        time.sleep(min(BEAT_S, 1.0))
        if os.fstat(descriptor).st_mtime_ns != before:
            return True
    return False


def _runs(pid: int) -> bool:
    if os.name == "nt":  # where os.kill sends Ctrl-C instead of asking
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _read(descriptor: int) -> Holder | None:
    """What a lock's file says; None where it says nothing."""
    try:
        os.lseek(descriptor, 0, os.SEEK_SET)
        content = json.loads(os.read(descriptor, 4096))
        what, host, pid, since = (content[name] for name in Holder._fields)
        return Holder(str(what), str(host), int(pid), str(since))
    except (ValueError, KeyError, TypeError):
        return None


def _write(descriptor: int, what: str) -> None:
    now = time.strftime("%Y-%m-%d %H:%M:%S")
    holder = Holder(what, socket.gethostname(), os.getpid(), now)
    os.ftruncate(descriptor, 0)
    os.lseek(descriptor, 0, os.SEEK_SET)
    os.write(descriptor, json.dumps(holder._asdict()).encode())


def _renew(descriptor: int, path: Path, done: threading.Event) -> None:
    """Give the lock's file a new time again and again."""
    file = descriptor if os.utime in os.supports_fd else path
    while not done.wait(BEAT_S):
        with contextlib.suppress(OSError):
            os.utime(file)


def _told(holder: Holder) -> str:
    return f"{holder.what} (process {holder.pid} on {holder.host} since {holder.since})"


def _in_use(directory: Path, holder: Holder | None) -> InputError:
    who = "another process" if holder is None else _told(holder)
    return InputError(
        f"{directory} is in use by {who}: wait for it, end it, or choose another "
        "directory."
    )
