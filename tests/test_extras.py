"""Extras: which packages they bring, and the sentences where one is missing."""

import json
import sys
from pathlib import Path

import pytest

from tests.architecture import test_requirements
from twohand_jax import extras
from twohand_jax.errors import MissingDependencyError

ROOT = Path(__file__).parents[1]


def distributions(modules: tuple[str, ...]) -> set[str]:
    names = test_requirements.DISTRIBUTIONS
    tops = (module.split(".")[0] for module in modules)
    return {test_requirements.normal(names.get(top, top)) for top in tops}


def test_every_extra_of_the_library_is_known_with_its_packages():
    assert extras.EXTRAS.keys() == {*test_requirements.LIBRARY_EXTRAS, "notebooks"}
    for name, extra in extras.EXTRAS.items():
        wanted = test_requirements.required(name) - {"tensorflow-cpu"}
        found = distributions(extra.modules)
        assert found == wanted or (name == "notebooks" and found < wanted)


@pytest.mark.parametrize("name", extras.EXTRAS)
def test_a_package_that_is_missing_is_named_with_its_extra(name, monkeypatch):
    module = extras.EXTRAS[name].modules[0].split(".")[0]
    monkeypatch.setitem(sys.modules, module, None)
    told = rf"This needs the package {module}, which is not installed: install it with "
    told += rf"`python -m pip install 'twohand_jax\[{name}\]'`, or wait\."
    with pytest.raises(MissingDependencyError, match=told):
        with extras.needed_for("This needs", name, instead="wait"):
            __import__(module)
    with pytest.raises(MissingDependencyError, match=rf"twohand_jax\[{name}\]'`\.$"):
        extras.require(name)


def test_only_what_is_missing_is_to_be_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "viser", None)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingDependencyError, match=r"twohand_jax\[onnx,view\]"):
        extras.require("data", "onnx", "view")
    with pytest.raises(MissingDependencyError, match=r"twohand_jax\[view\]"):
        with extras.needed_for("This needs", "data", "view"):
            __import__("viser")
    extras.require("data")


def test_a_package_that_does_not_load_is_not_called_absent():
    with pytest.raises(MissingDependencyError, match=r"does not load here \(libX.so"):
        with extras.needed_for("This needs", "view"):
            raise ImportError("libX.so: no such file", name="viser")


def test_every_notebook_asks_for_the_extras_of_what_it_imports():
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        cells = json.loads(path.read_text())["cells"]
        code = ["".join(c["source"]) for c in cells if c["cell_type"] == "code"]
        asked = next(c for c in code if "extras.require(" in c)
        assert '"notebooks"' in asked, path
        for sign in ("twohand_jax.pipelines", "data build", "tfrecord", "tiny"):
            assert '"data"' in asked or not any(sign in c for c in code), path
