"""Every notebook runs from top to bottom, opens on Colab, and has no outputs in it."""

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
REPOSITORY = "twohand-jax/twohand_jax"  # on GitHub; the notebooks name no other
BADGE = f"colab.research.google.com/github/{REPOSITORY}/blob/main/notebooks/"


def test_there_are_notebooks():
    assert NOTEBOOKS


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebook_runs(path, tmp_path):
    notebook = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=300, resources=resources).execute()
    outputs = [o for cell in notebook.cells for o in cell.get("outputs", [])]
    assert any("image/png" in output.get("data", {}) for output in outputs)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebook_is_stored_without_outputs(path):
    cells = nbformat.read(path, as_version=4).cells
    assert not any(cell.get("outputs") for cell in cells)
    assert not any(cell.get("execution_count") for cell in cells)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebook_opens_on_colab_and_installs_what_it_asks_for(path):
    title, setup, *others = nbformat.read(path, as_version=4).cells
    assert title.source.startswith("# ") and f"{BADGE}{path.name})" in title.source
    first, _, install = setup.source.partition("except ImportError:")
    assert "import twohand_jax" in first
    (extras,) = re.findall(r"twohand_jax\[([\w,]+)\] @ git\+https://", install)
    assert f"https://github.com/{REPOSITORY}" in install
    asked = re.findall(
        r"extras\.require\(([^)]*)\)", "\n".join(c.source for c in others)
    )
    for names in asked:
        assert set(re.findall(r"\w+", names)) <= set(extras.split(","))
    assert "notebooks" in extras.split(",")
