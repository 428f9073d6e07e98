"""What the wheel holds: library, pipelines, configs and assets; no tests or peers."""

import re
import shutil
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = {  # of the repository, and where they are in the wheel
    "twohand_jax": "twohand_jax",
    "data_pipelines": "twohand_jax/pipelines",
    "configs": "twohand_jax/configs",
}
FILES = ("setup.cfg", "pyproject.toml", "README.md", "LICENSE", "NOTICE")
PEER = re.compile(r"benchmarks/peers|torch_(refine|regressor|sapiens)|numpy_metrics")


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Files of a wheel built from a copy, where no older build lies about."""
    source = tmp_path_factory.mktemp("source")
    ignore = shutil.ignore_patterns("__pycache__")
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, source / folder, symlinks=True, ignore=ignore)
    for file in FILES:
        shutil.copy(ROOT / file, source)
    wheels = tmp_path_factory.mktemp("wheels")
    words = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", wheels]
    if new_setuptools():
        words.append("--no-build-isolation")  # needs no network
    subprocess.run([*words, source], check=True, capture_output=True)
    (wheel,) = wheels.glob("twohand_jax-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def new_setuptools() -> bool:
    """Whether the one that is installed can build (pyproject.toml)."""
    try:
        return int(metadata.version("setuptools").split(".")[0]) >= 77
    except metadata.PackageNotFoundError:
        return False


@pytest.mark.slow
def test_modules_and_assets_are_in_the_wheel_and_peers_and_tests_are_not(names):
    there = {
        f"{place}/{path.relative_to(ROOT / folder)}"
        for folder, place in FOLDERS.items()
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    peers = {name for name in there if PEER.search(name)}
    assert len(peers) == 6  # the package and five peers
    assert {name for name in names if ".dist-info/" not in name} == there - peers
    assert any(name.endswith("licenses/NOTICE") for name in names)
