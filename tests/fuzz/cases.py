"""One case: valid files, one made wrong, a reader, and what must hold of it."""

import os
import resource
import shutil
import signal
import time
from pathlib import Path
from random import Random
from types import FrameType
from typing import NamedTuple

from tests.fuzz import damage
from tests.fuzz.subjects import SUBJECTS, captured
from twohand_jax import reading
from twohand_jax.cli import main
from twohand_jax.errors import FailedError, InputError

SECONDS, ALARM, MEGABYTES, CHARACTERS = 10.0, 60.0, 600.0, 5000
CODES = {0: "done", 1: "failed", 2: "refused", 130: "interrupted", 143: "ended"}


class Found(NamedTuple):
    """How a case ended.

    Attributes:
        end: a value of ``CODES``.
        faults: what should not have been, "" for nothing.
        where: the case in words, to run it again.
    """

    end: str
    faults: str
    where: str


class Hang(BaseException):
    """The time is over; no handler of the library catches it."""


def _ring(number: int, frame: FrameType | None) -> None:
    raise Hang


def run(name: str, seed: int, valid: Path, place: Path) -> Found:
    """Run one case.

    Args:
        name: of the subject.
        seed: decides what becomes wrong.
        valid: the subject's files.
        place: an empty folder for this case.
    """
    draw = Random(f"{name} {seed}")
    work, out, sentinel = place / "work", place / "out", place / "sentinel"
    shutil.copytree(valid, work, copy_function=os.link, symlinks=True)
    if name == "flags":
        way, target = "flags", Path("seed.txt")
        (work / target).unlink()
        (work / target).write_text(str(seed))
    else:
        files = sorted(p for p in work.rglob("*") if p.is_file())
        target = draw.choice(files)
        way = damage.wrong(target, draw, sentinel)
    before, start = _memory(), time.process_time()
    end, faults = _read(name, work, out)
    seconds, grown = time.process_time() - start, _memory() - before
    if seconds > SECONDS:
        faults.append(f"slow: {seconds:.0f} s")
    if grown > MEGABYTES:
        faults.append(f"memory: {grown:.0f} MB")
    if sentinel.exists():
        faults.append("executed")
    if end not in ("done", "failed") and _results(out):
        faults.append(f"half-written: {_results(out)[0].name}")
    where = f"{name}, seed {seed}: {way} {target.name}"
    return Found(end, "; ".join(faults), where)


def _read(name: str, work: Path, out: Path) -> tuple[str, list[str]]:
    """How the reader ends, and what is wrong with how it says so."""
    faults: list[str] = []
    said = ""
    before = signal.signal(signal.SIGALRM, _ring)
    signal.setitimer(signal.ITIMER_REAL, ALARM)
    try:
        with captured() as told:
            code = SUBJECTS[name].read(work, out) or 0
        said = told.getvalue()
    except (InputError, FailedError) as error:
        code = 1 if isinstance(error, FailedError) else 2
        said = reading.shown(str(error), main.LONGEST)  # as the command line shows it
        if "\n" in said.strip():
            faults.append("more than a line")
    except Hang:
        code = 2
        faults.append("hang")
    except BaseException as error:  # whatever a user would see as a traceback
        code = 2
        faults.append(f"traceback: {type(error).__name__}: {str(error)[:120]}")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    if code not in CODES:
        faults.append(f"exit code {code}")
    if main.MISTAKE in said:
        faults.append(f"unexpected: {said.strip()[:160]}")
    if "Traceback" in said:
        faults.append("a traceback is printed")
    if code and not said.strip() and not faults:
        faults.append("nothing is said")
    if len(said) > CHARACTERS:
        faults.append(f"{len(said)} characters are said")
    return CODES.get(code, "other"), faults


def _results(out: Path) -> list[Path]:
    """What lies in the folder of the results, receipts of finished shards aside."""
    return [p for p in out.rglob("*") if p.is_file()] if out.is_dir() else []


def _memory() -> float:
    """The most that this process has held, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def valid_files(folder: Path, names: list[str]) -> dict[str, Path]:
    """Write the valid files of some subjects, a folder for each."""
    made = {}
    for number, name in enumerate(names):
        made[name] = folder / f"valid-{number}"
        made[name].mkdir(parents=True)
        SUBJECTS[name].make(made[name])
    return made


def draw_cases(count: int, seed: int) -> list[tuple[str, int]]:
    """Subjects and seeds; every subject is there when there are enough."""
    draw = Random(seed)
    names = list(SUBJECTS)
    weights = [SUBJECTS[name].weight for name in names]
    drawn = names[: count // 10] + draw.choices(names, weights, k=count)
    return [(name, draw.randrange(1 << 30)) for name in drawn[:count]]


def quickly() -> None:
    """Do not wait between tries: nothing here gets better by itself."""
    reading.WAITS_S = (0.0,)
