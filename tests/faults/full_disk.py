"""Disks too small for a command's results: a small tmpfs, which root mounts."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.faults import commands
from tests.faults.commands import Command

ROOM = "remount,size=64m"
PAGE = 4096


class Tried(NamedTuple):
    """A row of a table, and what should not have been."""

    row: str
    faults: list[str]


def mount(place: Path, options: str) -> bool:
    """Mount a tmpfs, or change its options; whether that is allowed."""
    place.mkdir(parents=True, exist_ok=True)
    words = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
    try:
        return subprocess.run(words, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


def unmount(place: Path) -> None:
    """Unmount it, however busy it is."""
    subprocess.run(["umount", "-l", str(place)], capture_output=True)


@contextlib.contextmanager
def disk(place: Path, size: int) -> Iterator[Path | None]:
    """A disk of some bytes; None where this user may not mount one."""
    allowed = os.geteuid() == 0 and mount(place, f"size={size}")
    try:
        yield place if allowed else None
    finally:
        if allowed:
            unmount(place)


def used(folder: Path) -> int:
    """Bytes that the files of a folder take on such a disk."""
    sizes = (path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return sum(-(-size // PAGE) * PAGE for size in sizes)


def tries(command: Command, folder: Path, count: int) -> Iterator[Tried]:
    """Run a command on disks that hold a part of its results, then with room.

    Args:
        command: that has left its undisturbed results in ``folder/whole``.
        folder: to work in.
        count: of disks.
    """
    whole = folder / "whole"
    expected, bytes_needed = commands.contents(whole, command.results), used(whole)
    for number in range(count):
        size = int(bytes_needed * (number + 0.5) / count)
        with disk(folder / "disk", max(size, PAGE)) as place:
            if place is None:
                return
            yield _try(command, place, expected, size)


def _try(command: Command, place: Path, expected: dict[str, bytes], size: int) -> Tried:
    faults: list[str] = []
    out = place / "out"
    process = commands.start(command.words(out))
    _, told = process.communicate()
    code = process.returncode
    sentences = [line for line in told.splitlines() if line.startswith("twohand")]
    if code != 1:
        faults.append(f"exit code {code}")
    if len(sentences) != 1 or "Traceback" in told:
        faults.append(f"said: {told[-500:]}")
    kept = commands.contents(out, command.results)
    faults += [f"half: {name}" for name in kept if kept[name] != expected.get(name)]
    mount(place, ROOM)
    commands.finish(command.words(out))
    found = commands.contents(out, command.results)
    faults += [f"differs: {name}" for name in commands.different(expected, found)]
    faults += [f"left over: {path}" for path in commands.leftovers(out)]
    cells = (f"{size // 1024} KiB", code, f"{len(kept)} of {len(expected)}")
    return Tried(f"{' | '.join(map(str, cells))} | {len(faults)} |", faults)
