"""One command in a directory: who holds it is said, what a killed one left is known."""

import contextlib
import errno
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import types

import pytest

from twohand_jax import locks
from twohand_jax.errors import InputError

HOLD = """
import sys, time
from pathlib import Path
from twohand_jax import locks
with locks.held(Path(sys.argv[1]), "train"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_one_is_told_who_holds_it_and_a_killed_one_is_no_hindrance(tmp_path):
    words = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        told = rf"in use by train \(process {holder.pid} on .* since 2"
        with pytest.raises(InputError, match=told), locks.held(tmp_path, "train"):
            pass
        assert (tmp_path / locks.LOCK).exists()
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    assert (tmp_path / locks.LOCK).exists()
    with locks.held(tmp_path, "train"):
        pass
    assert not list(tmp_path.iterdir())


def test_the_folder_goes_if_nothing_was_written_and_stays_otherwise(tmp_path):
    with locks.held(tmp_path / "a" / "b", "evaluate"):
        pass
    with pytest.raises(KeyError), locks.held(tmp_path / "a" / "b", "evaluate"):
        raise KeyError
    assert not list(tmp_path.iterdir())
    with locks.held(tmp_path / "a" / "b", "evaluate"):
        (tmp_path / "a" / "b" / "result").touch()
    assert [p.name for p in (tmp_path / "a" / "b").iterdir()] == ["result"]


@pytest.mark.parametrize("is_alive", [True, False])
def test_a_holder_on_another_host_is_watched(tmp_path, monkeypatch, capsys, is_alive):
    monkeypatch.setattr(locks, "BEAT_S", 0.05)
    monkeypatch.setattr(locks, "WATCH_S", 0.4)
    path = tmp_path / locks.LOCK
    path.write_text(json.dumps(locks.Holder("train", "elsewhere", 7, "then")._asdict()))
    done = threading.Event()

    def renew() -> None:
        while not done.wait(0.05):
            os.utime(path)

    thread = threading.Thread(target=renew)
    if is_alive:
        thread.start()
    refused = pytest.raises(InputError, match="process 7 on elsewhere since then")
    with refused if is_alive else contextlib.nullcontext():
        with locks.held(tmp_path, "train"):
            assert not is_alive
    done.set()
    assert "sign of life" in capsys.readouterr().err
    if is_alive:
        thread.join()


@pytest.mark.parametrize("pid", [os.getppid(), 2**22 - 1])
def test_without_locks_of_the_system_a_process_of_this_host_is_looked_for(
    tmp_path, monkeypatch, pid
):
    def none(*_: object) -> None:
        raise OSError(locks.NO_LOCKS[0], "No locks available")

    monkeypatch.setattr(locks.fcntl, "flock", none)
    holder = locks.Holder("train", socket.gethostname(), pid, "then")
    (tmp_path / locks.LOCK).write_text(json.dumps(holder._asdict()))
    is_there = pid == os.getppid()
    refused = pytest.raises(InputError, match=f"process {pid} on")
    with refused if is_there else contextlib.nullcontext():
        with locks.held(tmp_path, "train"):
            assert not is_there


def test_windows_locks_a_byte_that_nobody_reads(tmp_path, monkeypatch):
    """With the system's lock of this machine in the place of Windows'."""
    system, places = locks.fcntl, []

    def locking(descriptor: int, mode: int, count: int) -> None:
        places.append((os.lseek(descriptor, 0, os.SEEK_CUR), mode, count))
        try:
            system.flock(descriptor, system.LOCK_EX | system.LOCK_NB)
        except BlockingIOError as error:  # what Windows says
            raise PermissionError(errno.EACCES, "Permission denied") from error

    msvcrt = types.SimpleNamespace(locking=locking, LK_NBLCK=2)
    monkeypatch.setitem(sys.modules, "msvcrt", msvcrt)
    monkeypatch.setattr(locks, "fcntl", None)
    with locks.held(tmp_path, "train"):
        told = rf"in use by train \(process {os.getpid()} on"
        with pytest.raises(InputError, match=told), locks.held(tmp_path, "train"):
            pass
        assert (tmp_path / locks.LOCK).stat().st_size < places[0][0]
    assert set(places) == {(locks.BYTE, 2, 1)}
    assert not list(tmp_path.iterdir())


def test_a_holder_gives_signs_of_life(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "BEAT_S", 0.02)
    with locks.held(tmp_path, "train"):
        before = (tmp_path / locks.LOCK).stat().st_mtime_ns
        end = time.monotonic() + 5
        while (tmp_path / locks.LOCK).stat().st_mtime_ns == before:
            assert time.monotonic() < end
            time.sleep(0.01)


def test_a_folder_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").touch()
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(InputError, match="cannot be written: "):
            with locks.held(place, "train"):
                pass
