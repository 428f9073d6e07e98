"""The source archive and the wheel of it: what they hold, and that it is enough.

The wheel has library, pipelines, configs and assets, and neither tests nor peers.
"""

import os
import re
import runpy
import shutil
import struct
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest
import setuptools  # noqa: F401 - before a test says that Python is old

from tests.train.runs import SMALL_REGRESSOR

ROOT = Path(__file__).parents[2]
FOLDERS = {  # of the repository, and where they are in the wheel
    "twohand_jax": "twohand_jax",
    "data_pipelines": "twohand_jax/pipelines",
    "configs": "twohand_jax/configs",
}
FILES = (
    *("setup.cfg", "setup.py", "pyproject.toml", "MANIFEST.in"),
    *("README.md", "LICENSE", "NOTICE"),
)
PEER = re.compile(r"benchmarks/peers|torch_(refine|regressor|sapiens)|numpy_metrics")
BUILD = """
import sys
from setuptools import build_meta
{make}
"""


def build(source: Path, kind: str, out: Path) -> Path:
    """What the build backend makes of a folder: an sdist or a wheel."""
    make = f"build_meta.build_{kind}(sys.argv[1])"
    words = [sys.executable, "-c", BUILD.format(make=make), str(out)]
    done = subprocess.run(words, cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (built,) = out.iterdir()
    return built


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source archive, built from a copy, where no older build lies about."""
    source = tmp_path_factory.mktemp("source")
    ignore = shutil.ignore_patterns("__pycache__")
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, source / folder, symlinks=True, ignore=ignore)
    for file in FILES:
        shutil.copy(ROOT / file, source)
    return build(source, "sdist", tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that whoever has the source archive builds."""
    unpacked = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(sdist) as archive:
        archive.extractall(unpacked, filter="data")
    (source,) = unpacked.iterdir()
    return build(source, "wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    """Files of the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.mark.slow
def test_modules_and_assets_are_in_the_wheel_and_peers_and_tests_are_not(names):
    there = {
        f"{place}/{path.relative_to(ROOT / folder)}"
        for folder, place in FOLDERS.items()
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    peers = {name for name in there if PEER.search(name)}
    assert len(peers) == 7  # the package and six peers
    assert {name for name in names if ".dist-info/" not in name} == there - peers
    assert any(name.endswith("licenses/NOTICE") for name in names)


@pytest.mark.slow
def test_the_metadata_are_complete(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (place,) = (n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        found = Parser().parsestr(archive.read(place).decode())
    assert found["Author"] == "The twohand_jax authors"
    assert found["License"] == "Apache-2.0"
    assert found["Requires-Python"] == ">=3.11"
    assert found["Summary"] and found.get_payload().startswith("# twohand_jax")
    assert "MANO" in found["Keywords"]
    assert {"3.11", "3.12", "3.13"} <= {
        line.rpartition(" ")[2] for line in found.get_all("Classifier")
    }


def test_what_cannot_run_it_is_refused_with_a_sentence(monkeypatch):
    with monkeypatch.context() as old:
        old.setattr(sys, "version_info", (3, 10, 13, "final", 0))
        with pytest.raises(SystemExit, match=r"needs Python 3\.11 or newer"):
            runpy.run_path(str(ROOT / "setup.py"))
    with monkeypatch.context() as small:
        small.setattr(struct, "calcsize", lambda _: 4)
        with pytest.raises(SystemExit, match="needs a 64-bit Python"):
            runpy.run_path(str(ROOT / "setup.py"))
        small.setattr(sys, "maxsize", 2**31 - 1)
        with pytest.raises(ImportError, match="needs a 64-bit Python"):
            runpy.run_path(str(ROOT / "twohand_jax" / "__init__.py"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel; other packages are this one's, by a path.

    A path that a .pth file adds has its own .pth files left alone, so the checkout,
    should it be installed there, is not found.
    """
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    place = Path(sysconfig.get_path("purelib", vars={"base": str(folder)}))
    (place / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    python = folder / "bin" / "python"
    words = [sys.executable, "-m", "pip", "--python", python, "install", "-q"]
    words += ["--no-deps", "--no-index", "--no-compile", "--ignore-installed", wheel]
    subprocess.run(words, check=True, capture_output=True)
    return folder


# The shipped weights, a training of two steps by a config's name, an evaluation and a
# photograph. What is computed is for other tests: the large networks are not compiled.
PROGRAM = """
from pathlib import Path
import twohand_jax
from twohand_jax import assets
from twohand_jax.cli import main
from twohand_jax.inference import predict
from twohand_jax.pipelines.interhand26m import fixture

assert Path(twohand_jax.__file__).is_relative_to(sys.argv[1]), twohand_jax.__file__

def twohand(line, *words):
    assert main.main([*line.split(), *words]) == 0, line

predict.load_network(None)
twohand_jax.Prior.load()
fixture.write(Path("raw"), count=4, splits=("train", "test"))
twohand("data build interhand26m --source raw --out built --workers 0 "
        "--splits train test")
twohand("data cues built --out records --cues labels")
twohand("train --config tiny --workdir run --set data.train=records "
        "--set data.test=records --set train.total_steps=2 --set train.batch_size=2 "
        "--set train.evaluate_every=0 --set train.best_metric='' " + sys.argv[2])
twohand("evaluate --model run/model --dataset records --protocol wrist --no-plots "
        "--worst 0 --batch 2 --out results")
twohand("reconstruct --checkpoint run/model --fit off --refine never --out hands",
        str(assets.DEMO))
"""


@pytest.mark.slow
def test_an_installed_wheel_reconstructs_trains_and_evaluates(installed, tmp_path):
    surroundings = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    surroundings["XDG_CACHE_HOME"] = str(tmp_path / "cache")
    small = " ".join(
        f"--set {name}={value!r}".replace(" ", "").replace("--set", "--set ")
        for name, value in SMALL_REGRESSOR.items()
    )
    words = [installed / "bin" / "python", "-c", "import sys" + PROGRAM]
    words += [str(installed), small]
    options = {"cwd": tmp_path, "env": surroundings, "text": True}
    done = subprocess.run(words, capture_output=True, **options)
    assert done.returncode == 0, done.stderr
    made = ("hands/demo_overlay.png", "hands/demo.glb", "results/wrist.json")
    assert all((tmp_path / name).is_file() for name in made)
    assert (tmp_path / "run" / "model").is_dir()
    said = subprocess.check_output(
        [installed / "bin" / "twohand", "train", "--list-configs"], **options
    )
    assert "\nopen " in said
