"""The walks of docs/extending.md are walked: changes applied, commands run."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import jax.numpy as jnp
import numpy as np
import pytest

from tests.inference import networks, priors
from twohand_jax import mano

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "extending.md").read_text()
DIFFS = re.findall(r"```diff\n(.*?)```", PAGE, re.DOTALL)
PYTHON = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
LOSS, BACKBONE, DATASET = DIFFS
COMMAND = ("-m", "twohand_jax.cli.main")


def changed_files(diff: str) -> list[str]:
    return re.findall(r"^diff --git a/(\S+)", diff, re.MULTILINE)


@pytest.mark.parametrize(("diff", "most"), [(LOSS, 1), (BACKBONE, 3), (DATASET, 4)])
def test_a_walk_touches_few_files(diff, most):
    named = [name for name in changed_files(diff) if not name.endswith("__init__.py")]
    assert 0 < len(named) <= most
    check = ["git", "apply", "--check", "-"]
    done = subprocess.run(check, cwd=ROOT, input=diff, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sources with all walks in them."""
    root = tmp_path_factory.mktemp("extended")
    for name in ("twohand_jax", "data_pipelines", "configs"):
        shutil.copytree(ROOT / name, root / name, symlinks=True)
    for diff in DIFFS:
        words = ["git", "apply", "-"]
        subprocess.run(words, cwd=root, input=diff, text=True, check=True)
    return root


# As in the tests' own process: compiled without LLVM's passes, and kept.
FAST = {
    name: value for name, value in os.environ.items() if name[:4] in ("XLA_", "JAX_")
}


def run(root: Path, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, *words],
        cwd=root,
        env=FAST
        | {"PYTHONPATH": str(root), "PATH": "/usr/bin:/bin", "HOME": str(root)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_loss_is_trained_with_the_new_backbone(extended):
    config = (extended / "configs" / "tiny.py").read_text()
    own = '    config.model["image"] = {"patch": 16, "width": 32}\n    return config\n'
    path = extended / "configs" / "own.py"
    path.write_text(config.replace("    return config\n", own))
    words = ("train", "--config", str(path), "--dry-run", "--set", "loss.bone=1")
    assert run(extended, *COMMAND, *words).startswith("Parameters: ")


@pytest.mark.slow
def test_the_dataset_is_built_and_evaluated(extended, tmp_path):
    params = mano.zeros()._replace(
        global_orient=jnp.array([[1.5, 0.0, 0.0], [1.5, 0.0, 0.0]]),
        transl=jnp.array([[-0.1, 0.0, 0.6], [0.1, 0.0, 0.6]]),
    )
    joints = np.asarray(mano.forward(mano.load(), params).joints).tolist()
    source, records = tmp_path / "source", tmp_path / "records"
    source.mkdir()
    entries = []
    for name in ("0.jpg", "1.jpg"):
        cv2.imwrite(str(source / name), np.full((240, 320, 3), 128, np.uint8))
        place = {"focal": [300, 300], "center": [160, 120]}
        entries.append({"image": name, "joints": joints} | place)
    (source / "labels.json").write_text(json.dumps(entries))
    build = ("data", "build", "plain", "--source", str(source), "--out", str(records))
    run(extended, *COMMAND, *build, "--workers", "0")
    model = networks.save(tmp_path / "model", networks.config())
    words = ("evaluate", "--dataset", str(records), "--protocol", "plain")
    words += ("--model", str(model), "--batch", "2", "--no-plots", "--worst", "0")
    out = run(extended, *COMMAND, *words, "--out", str(tmp_path / "results"))
    assert "MPJPE" in out


@pytest.mark.slow
def test_the_energy_pulls_fingertips_together(tmp_path):
    (code,) = PYTHON
    small = priors.write_prior(tmp_path / "prior")
    assert code.count("th.Prior.load()") == 1
    code = code.replace("load()", f"load({str(small)!r})")
    shown = (
        "before = tips_together(prior.model, th.mano.forward(prior.model, pairs))\n"
        "after = tips_together(prior.model, refined.prediction.geometry)\n"
        "print(refined.status, before, after)\n"
    )
    assert run(ROOT, "-c", code + shown)
