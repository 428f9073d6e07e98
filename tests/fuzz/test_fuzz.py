"""A slice of ``python -m tests.fuzz``, and that its own checks can fail."""

from pathlib import Path

import pytest

from tests.fuzz import cases
from tests.fuzz.__main__ import run_all
from tests.fuzz.subjects import SUBJECTS, Subject
from twohand_jax import reading
from twohand_jax.errors import InputError

CASES, SEED = 130, 16


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(reading, "WAITS_S", (0.0,))


@pytest.mark.slow
def test_malformed_files_and_flags_end_as_documented(tmp_path):
    drawn = cases.draw_cases(CASES, SEED)
    found = run_all(drawn, tmp_path)
    bad = [one for ones in found.values() for one in ones if one.faults]
    assert not bad, "\n".join(f"{one.where}: {one.faults}" for one in bad)
    ends = [one.end for ones in found.values() for one in ones]
    assert ends.count("refused") > len(ends) / 2  # the cases are what they should be


def raises(error: BaseException):
    def read(folder: Path, out: Path) -> int:
        raise error

    return read


def half_written(folder: Path, out: Path) -> int:
    out.mkdir()
    (out / "half").touch()
    raise InputError("No.")


def executed(folder: Path, out: Path) -> int:
    (folder.parent / "sentinel").mkdir()
    raise InputError("No.")


def waits(folder: Path, out: Path) -> int:
    while True:
        pass


WRONG = {
    "traceback: KeyError": raises(KeyError("a")),
    "more than a line": raises(InputError("a\nb")),
    "nothing is said": lambda folder, out: 2,
    "exit code 7": lambda folder, out: 7,
    "half-written: half": half_written,
    "executed": executed,
    "hang": waits,
}


@pytest.mark.parametrize("fault", WRONG)
def test_every_fault_is_found(tmp_path, monkeypatch, fault):
    monkeypatch.setattr(cases, "ALARM", 0.2)
    subject = Subject(lambda folder: (folder / "a").write_text("a"), WRONG[fault])
    monkeypatch.setitem(SUBJECTS, "toy", subject)
    valid = cases.valid_files(tmp_path, ["toy"])["toy"]
    (tmp_path / "case").mkdir()
    found = cases.run("toy", 1, valid, tmp_path / "case")
    assert fault in found.faults and found.where.startswith("toy, seed 1: ")
