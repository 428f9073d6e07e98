"""The documentation site builds without a warning and has what it is to have."""

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import twohand_jax as th
from tests.docs.pages import ROOT

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site; mkdocs.yml makes each warning an error."""
    out = tmp_path_factory.mktemp("site")
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "-d", str(out)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return out


def test_everything_public_is_in_the_reference(site):
    pages = [path.read_text() for path in (site / "reference").rglob("*.html")]
    anchors = set(re.findall(r'id="(twohand_jax\.[\w.]+)"', "".join(pages)))
    functions = [name for name in th.__all__ if callable(getattr(th, name))]
    places = {f"{getattr(th, name).__module__}.{name}" for name in functions}
    assert places <= anchors
    for package in ROOT.glob("twohand_jax/*/__init__.py"):
        if "__all__" in package.read_text():
            assert (site / "reference" / package.parent.name / "index.html").exists()


def test_records_list_all_fields_with_their_shapes(site):
    page = (site / "reference" / "types" / "index.html").read_text()
    text = re.sub(r"<[^>]+>", "", page.split('id="twohand_jax.types.Inputs"')[1])
    for field in th.types.Inputs._fields:
        assert field in text
    assert "*b 2 s s 3" in text


def test_notebooks_cards_and_commands_are_pages(site):
    for path in ROOT.glob("notebooks/*.ipynb"):
        assert (site / "notebooks" / path.stem / "index.html").exists()
        assert (site / "notebooks" / path.name).read_bytes() == path.read_bytes()
    for path in ROOT.glob("twohand_jax/assets/*/card.md"):
        assert (site / "cards" / path.parent.name / "index.html").exists()
    commands = (site / "reference" / "command_line" / "index.html").read_text()
    assert "--max-hands" in commands


def test_formulas_are_markup(site):
    page = (site / "method" / "index.html").read_text()
    assert "<math" in page and "\\mathcal" not in page


def test_the_search_knows_the_manuals_and_the_reference(site):
    index = json.loads((site / "search" / "search_index.json").read_text())
    places = {entry["location"].partition("#")[0] for entry in index["docs"]}
    assert {"training/", "reference/mano/", "notebooks/01_hand_model/"} <= places
    assert not any(place.startswith("source/") for place in places)


def test_pages_load_nothing_from_elsewhere(site):
    loaded = re.compile(r'(?:src|<link[^>]*href)="(https?:[^"]+)"')
    for path in site.rglob("*.html"):
        assert not loaded.findall(path.read_text()), path


def hooks():
    spec = importlib.util.spec_from_file_location("hooks", ROOT / "docs/_site/hooks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_links_that_leave_the_manuals_lead_to_pages():
    made = hooks()
    page = ROOT / "docs" / "method.md"
    for target, uri in {
        "../twohand_jax/types.py": "source/twohand_jax/types.py.md",
        "../README.md#licence": "index.md",
        "../notebooks/04_data.ipynb": "notebooks/04_data.md",
        "data.md": "data.md",
    }.items():
        assert made._uri(made._place(target, page)) == uri
    assert made._place("https://example.org/", page) is None
    assert made._place("nowhere.md", page) is None
