"""Machines that lack something: a home, a name for the user, an encoding, /tmp."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.train import runs
from twohand_jax.cli import common

SEES = """
import sys
from twohand_jax.cli import common, main
print(common.cache_folder())
sys.exit(main.main(["weights", "convert", "sapiens", "\\u624b1.pt", "--out", "x"]))
"""
BARE = {"PATH": os.environ["PATH"], "PYTHONPATH": str(runs.ROOT)}
SURROUNDINGS = {
    "cp1252": {"PYTHONIOENCODING": "cp1252", "HOME": "/nowhere"},
    "ascii": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "no temporary folder": {"TMPDIR": "/nowhere/at/all"},
}


def run(environment: dict[str, str], **options: object) -> subprocess.CompletedProcess:
    words = [sys.executable, "-X", "utf8=0", "-c", SEES]
    return subprocess.run(
        words, env=BARE | environment, capture_output=True, cwd="/", **options
    )


@pytest.mark.parametrize("name", SURROUNDINGS)
@pytest.mark.slow
def test_a_command_is_refused_in_a_sentence_wherever_it_runs(name):
    done = run(SURROUNDINGS[name])
    assert done.returncode == 2, done.stderr
    assert b"There is no weights file" in done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
def test_a_user_without_name_and_home_keeps_no_programs():
    try:
        done = run({}, user=54321, group=54321)
    except PermissionError:
        pytest.skip("the interpreter cannot be run by other users")
    assert done.returncode == 2, done.stderr
    assert done.stdout.strip() == b"None"


def test_the_users_own_cache_of_programs_is_kept(monkeypatch, tmp_path):
    import jax

    before = jax.config.values["jax_compilation_cache_dir"]
    assert before is not None  # the tests' own
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    common.enable_compilation_cache()
    assert jax.config.values["jax_compilation_cache_dir"] == before
    assert not list(Path(tmp_path).iterdir())


def test_without_a_home_there_is_no_cache(monkeypatch):
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    assert common.cache_folder() is not None  # where the tests keep theirs
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert common.cache_folder() is None
