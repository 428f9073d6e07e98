"""Names of modules, functions and files that docstrings and messages cite exist."""

import ast
import functools
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("twohand_jax", "data_pipelines")
SOURCES = sorted(
    path for package in PACKAGES for path in (ROOT / package).rglob("*.py")
)
REFERENCE = re.compile(r"``([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+)(?:\([^`]*)?``")
WHOLE = re.compile(r"\b(twohand_jax(?:\.[A-Za-z_]\w*)+)")
PLACE = re.compile(
    r"\b((?:twohand_jax|data_pipelines|configs|docs)/[\w/]+\.(?:py|md))\b"
)
FILE = re.compile(r"\.(json|jsonl|md|npy|npz|txt|py|jpg|png|stablehlo|html|pkl)$")
# Packages that are not ours, by the names that code and documentation use.
OUTSIDE = set(
    "Dataset chumpy copyreg jax np numpy scipy smplx sys tfds time torch".split(),
)


class Defined(ast.NodeVisitor):
    """Names that a module defines or imports, members of its classes included."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.arguments: set[str] = {"self"}
        self._owner: list[str] = []

    def _add(self, name: str) -> None:
        self.names.add(".".join([*self._owner, name]))

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._add(node.name)
        self._owner.append(node.name)
        self.generic_visit(node)
        self._owner.pop()

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._add(node.name)
        every = (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
        self.arguments.update(argument.arg for argument in every)
        for inner in ast.walk(node):  # attributes that methods set
            if isinstance(inner, ast.Attribute) and isinstance(inner.ctx, ast.Store):
                self._add(inner.attr)

    def visit_Assign(self, node: ast.Assign) -> None:
        for target in node.targets:
            for inner in ast.walk(target):
                if isinstance(inner, ast.Name):
                    self._add(inner.id)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if isinstance(node.target, ast.Name):
            self._add(node.target.id)
            self.arguments.add(node.target.id)

    def visit_Import(self, node: ast.Import | ast.ImportFrom) -> None:
        for alias in node.names:
            self._add(alias.asname or alias.name)

    visit_ImportFrom = visit_Import


@functools.cache
def defined(path: Path) -> Defined:
    found = Defined()
    found.visit(ast.parse(path.read_text()))
    return found


@functools.cache
def modules() -> dict[str, Path]:
    """Every module and package by its dotted name."""
    found = {}
    for path in SOURCES:
        parts = dotted_parts(path.with_suffix(""))
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    for path in list(found.values()):  # packages without an __init__ of their own
        found.setdefault(".".join(dotted_parts(path.parent)), path.parent)
    return found


def dotted_parts(path: Path) -> tuple[str, ...]:
    """The name of a module, by its file; the pipelines' folder is linked."""
    parts = path.relative_to(ROOT).parts
    linked = parts[0] == "data_pipelines"
    return ("twohand_jax", "pipelines", *parts[1:]) if linked else parts


@functools.cache
def resolves(reference: str) -> bool:
    """Whether some module of ours ends in the name's beginning and has its end.

    A class may stand without its module.
    """
    if any(reference in defined(p).names for p in modules().values() if p.is_file()):
        return True
    parts = reference.split(".")
    for count in range(1, len(parts) + 1):
        head, tail = ".".join(parts[:count]), ".".join(parts[count:])
        for dotted, path in modules().items():
            if f".{dotted}".endswith(f".{head}"):
                if not tail:
                    return True
                if path.is_file() and tail in defined(path).names:
                    return True
    return False


@pytest.mark.parametrize(
    ("reference", "exists"),
    [
        ("twohand_jax.types.Prediction", True),
        ("types.Prediction.score", True),
        ("Prediction.score", True),
        ("mano.joints.FINGERTIPS", True),
        ("collision.energy", True),
        ("twohand_jax.pipelines.labelled", True),
        ("selective.refine", False),
        ("types.NoSuchRecord", False),
    ],
)
@pytest.mark.slow
def test_references_are_looked_up_in_files(reference, exists):
    assert resolves(reference) is exists


def test_references_in_docstrings_and_comments_exist():
    wrong = []
    for path in SOURCES:
        for reference in REFERENCE.findall(path.read_text()):
            first = reference.split(".")[0]
            known = first in OUTSIDE or first in defined(path).arguments
            if known or FILE.search(reference) or resolves(reference):
                continue
            wrong.append(f"{path.relative_to(ROOT)}: {reference}")
    assert not wrong, "\n".join(wrong)


def test_modules_and_files_that_messages_name_exist():
    wrong = []
    for path in SOURCES:
        text = path.read_text()
        missing = [name for name in WHOLE.findall(text) if not resolves(name)]
        missing += [name for name in PLACE.findall(text) if not (ROOT / name).exists()]
        wrong += [f"{path.relative_to(ROOT)}: {name}" for name in missing]
    assert not wrong, "\n".join(wrong)
