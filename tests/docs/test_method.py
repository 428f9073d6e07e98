"""What documentation and code cite exists: sections of the method, links, paths."""

import re
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT, name

METHOD = ROOT / "docs" / "method.md"
CODE = sorted(
    path
    for folder in ("twohand_jax", "data_pipelines", "configs")
    for path in (ROOT / folder).rglob("*.py")
)
FOLDERS = "twohand_jax|data_pipelines|configs|tests|notebooks|docs"
SECTION = re.compile(r"^## §(\d) ", re.MULTILINE)
CITATION = re.compile(r"METHOD(?:'s)? §§?(\d)(?:-(\d))?((?:,? (?:and )?§\d)*)")
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
PATH = re.compile(rf"`((?:{FOLDERS})/[\w./-]*\.(?:py|md|ipynb|npz|jpg))`")
MODULE = re.compile(r"\b((?:twohand_jax|tests)(?:\.\w+)+)")


def prose(path: Path) -> str:
    """The text without fenced blocks, whose brackets are not links."""
    return re.sub(r"^```.*?^```", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)


def cited(text: str) -> set[int]:
    """Numbers of the sections that a text cites."""
    numbers: set[int] = set()
    for first, last, more in CITATION.findall(text):
        numbers.update(range(int(first), int(last or first) + 1))
        numbers.update(int(number) for number in re.findall(r"§(\d)", more))
    return numbers


def anchors(path: Path) -> set[str]:
    """The anchors that GitHub gives a page's headings."""
    headings = re.findall(r"^#+ (.+)$", prose(path), re.MULTILINE)
    plain = (re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", one) for one in headings)
    return {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in plain}


def has_module(dotted: str) -> bool:
    """Whether a dotted name is a module, or a name that one defines."""
    path = ROOT / Path(*dotted.split("."))
    if path.is_dir() or path.with_suffix(".py").is_file():
        return True
    module, last = path.parent.with_suffix(".py"), path.name
    if not module.is_file():
        module = path.parent / "__init__.py"
    return module.is_file() and bool(re.search(rf"\b{last}\b", module.read_text()))


def test_the_method_has_sections_zero_to_eight():
    assert SECTION.findall(METHOD.read_text()) == [str(n) for n in range(9)]


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("METHOD §5, §6", {5, 6}),
        ("METHOD §§2-3", {2, 3}),
        ("METHOD §4's recipe", {4}),
        ("METHOD §1 and §7", {1, 7}),
        ("the method of §9", set()),
    ],
)
def test_citations_are_recognised(text, numbers):
    assert cited(text) == numbers


def test_cited_sections_of_the_method_exist():
    sections = {int(number) for number in SECTION.findall(METHOD.read_text())}
    found = {path: cited(path.read_text()) for path in (*CODE, *PAGES)}
    assert set().union(*found.values()), "Nothing cites the method."
    wrong = {name(path): sorted(n - sections) for path, n in found.items()}
    assert not {path: n for path, n in wrong.items() if n}


def test_code_cites_the_method_by_section():
    bare = re.compile(r"METHOD(?!(?:'s)? §)")
    assert not [name(path) for path in CODE if bare.search(path.read_text())]


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_relative_links_lead_somewhere(path):
    broken = []
    for target in LINK.findall(prose(path)):
        if re.match(r"[a-z]+:", target):
            continue
        place, _, anchor = target.partition("#")
        page = (path.parent / place).resolve() if place else path
        if not page.exists() or (anchor and anchor not in anchors(page)):
            broken.append(target)
    assert not broken


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_named_files_and_modules_exist(path):
    # A change that a reader is to make may name what is not there yet.
    text = re.sub(r"```diff\n.*?```", "", path.read_text(), flags=re.DOTALL)
    missing = [place for place in PATH.findall(text) if not (ROOT / place).exists()]
    missing += [dotted for dotted in MODULE.findall(text) if not has_module(dotted)]
    assert not missing
