"""What ``make demo`` installs is enough for what it runs."""

import subprocess
import sys

import pytest

from twohand_jax import assets

# Makes every package that the core requirements do not bring look absent.
CORE_ONLY = """
import importlib.metadata as metadata, sys
from packaging.requirements import Requirement

def needed(name, extras, seen):
    if (name, extras) in seen:
        return
    seen.add((name, extras))
    for line in metadata.requires(name) or ():
        one = Requirement(line)
        if one.marker and not any(
            one.marker.evaluate({"extra": extra}) for extra in ("", *extras)
        ):
            continue
        needed(one.name.lower().replace("_", "-"), tuple(sorted(one.extras)), seen)

seen = set()
needed("twohand-jax", (), seen)
core = {name for name, _ in seen}
absent = {
    module
    for module, owners in metadata.packages_distributions().items()
    if not core & {owner.lower().replace("_", "-") for owner in owners}
} - {"twohand_jax"}

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in absent:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

for name in [name for name in sys.modules if name.split(".")[0] in absent]:
    del sys.modules[name]
sys.meta_path.insert(0, Absent())
"""


def run_core(code: str) -> subprocess.CompletedProcess:
    words = [sys.executable, "-c", CORE_ONLY + code]
    return subprocess.run(words, capture_output=True, text=True)


def test_other_packages_look_absent():
    done = run_core("import jax, cv2, trimesh, google_crc32c, torch")
    assert "No module named 'torch'" in done.stderr


@pytest.mark.slow
def test_the_demo_needs_no_extra(tmp_path):
    words = ["reconstruct", str(assets.DEMO), "--out", str(tmp_path)]
    done = run_core(f"from twohand_jax.cli import main; sys.exit(main.main({words}))")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "demo_overlay.png").exists()
