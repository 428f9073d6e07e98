"""Every package that is imported is required in setup.cfg, and no other is."""

import ast
import configparser
import functools
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
OWN = {"tests", "twohand_jax"}
DISTRIBUTIONS = {  # of imports that are named otherwise
    "ai_edge_litert": "ai-edge-litert",
    "apache_beam": "apache-beam",
    "cv2": "opencv-python-headless",
    "google": "protobuf",
    "google_crc32c": "google-crc32c",
    "ml_collections": "ml-collections",
    "orbax": "orbax-checkpoint",
    "PIL": "pillow",
    "tensorflow_datasets": "tensorflow-datasets",
    "gcp_storage_emulator": "gcp-storage-emulator",
    "yaml": "pyyaml",
}
LIBRARY_EXTRAS = (
    "data",
    "beam",
    "render",
    "onnx",
    "evaluation",
    "weights",
    "heic",
    "view",
    "tensorboard",
    "wandb",
    "parquet",
    "gcs",
    "s3",
)
TOOL_EXTRAS = ("dev", "docs", "notebooks", "cuda12", "cuda13", "gpu", "tpu")
NOT_REQUIRED = {  # imported and in no requirement of the library
    "openexr": "only whoever makes the shipped environments again reads EXR files",
    "smplx": "the peer of a benchmark, which is not in the wheel; extra dev has it",
}
NOT_IMPORTED = {  # required by the library and imported nowhere
    "tensorflow-cpu": "the same package as tensorflow, under Linux on x86-64",
    "gcsfs": "fsspec imports it for gs://",
    "s3fs": "fsspec imports it for s3://",
}
TOOLS = {  # required for working on the library and imported nowhere
    "ipykernel": "runs the notebooks",
    "jax": "extras cuda12, cuda13, gpu and tpu choose its build",
    "jupytext": "writes the notebooks",
    "latex2mathml": "formulas of the site: docs/_site/hooks.py",
    "mkdocs-material": "make docs",
    "mkdocstrings": "the reference of the site",
    "mypy": "make lint",
    "pytest-timeout": "setup.cfg sets its limit",
    "pytest-xdist": "make test runs two processes",
    "rtree": "trimesh casts rays with it, in tests",
    "ruff": "make lint, and signatures of the site",
    "uv": "make wheels",
}


def third_party(*folders: str) -> set[str]:
    """Distributions that the files of some folders import, at any depth."""
    found = set().union(*map(imports, folders)) - OWN - sys.stdlib_module_names
    return {normal(DISTRIBUTIONS.get(name, name)) for name in found}


@functools.cache
def imports(folder: str) -> set[str]:
    paths = (ROOT / folder).rglob("*.py")
    return {name for path in paths for name in imported(ast.parse(path.read_text()))}


def imported(tree: ast.AST) -> Iterator[str]:
    """First parts of imported names, of ``import_module`` and ``importorskip`` too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield str(node.module).split(".")[0]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            first = node.args[0] if node.args else None
            if node.func.attr in ("import_module", "importorskip"):
                if isinstance(first, ast.Constant):
                    yield str(first.value).split(".")[0]


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def required(*extras: str) -> set[str]:
    """Distributions of some extras, "" being the core."""
    parser = configparser.ConfigParser(comment_prefixes=("#",))
    parser.read(ROOT / "setup.cfg")
    lists = {"": parser["options"]["install_requires"]}
    lists |= dict(parser["options.extras_require"])
    lines = [line for extra in extras for line in lists[extra].split("\n") if line]
    return {normal(Requirement(line).name) for line in lines}


def test_every_extra_is_looked_at():
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    assert set(parser["options.extras_require"]) == {*LIBRARY_EXTRAS, *TOOL_EXTRAS}


def test_the_library_requires_what_it_imports_and_nothing_else():
    wanted = third_party("twohand_jax", "data_pipelines") - NOT_REQUIRED.keys()
    given = required("", *LIBRARY_EXTRAS) - NOT_IMPORTED.keys()
    assert given == wanted


def test_the_tools_are_those_of_tests_and_makefile():
    used = third_party("tests", "notebooks", "twohand_jax", "data_pipelines", "configs")
    tools = required(*TOOL_EXTRAS)
    assert tools - used - NOT_IMPORTED.keys() == TOOLS.keys() - {"jax"}
    assert used - tools - required("", *LIBRARY_EXTRAS) <= {"openexr"}


def test_no_exception_outlives_its_reason():
    library = third_party("twohand_jax", "data_pipelines")
    assert NOT_REQUIRED.keys() <= library
    assert not NOT_IMPORTED.keys() & library
    assert NOT_REQUIRED.keys() & required("", *LIBRARY_EXTRAS) == set()
