"""Pages of the site that are made from the repository's own files.

Markdown outside of ``docs/`` (README, model cards, CONTRIBUTING ...) and notebooks
become pages. So do source files that a page links to, since there is no place on the
web to point at that is certain to hold the same version. Each public package gets a
page of the reference, and the command line one of what ``--help`` says.
"""

import argparse
import ast
import json
import os
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from latex2mathml import converter
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
LIBRARY = ROOT / "twohand_jax"
WHOLE_MODULES = ("types", "errors", "losses", "metrics")
PROJECT = ("CONTRIBUTING", "CHANGELOG", "CODE_OF_CONDUCT", "SECURITY")
WHOLE = """\
    options:
      show_root_heading: false
      show_root_toc_entry: false
"""
LINK = re.compile(r"(!?\[[^\]]*\]\()([^)\s]+)(\))")
FENCE = re.compile(r"^( *)```.*?^\1```", re.MULTILINE | re.DOTALL)
MATH = re.compile(
    r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.DOTALL
)
SCRIPT = re.compile(r'<mi mathvariant="script">([A-Z])</mi>')
BADGE = re.compile(r"\[!\[([^\]]*)\]\([^)]*\)\]\(([^)]*)\)")
DOWNLOAD = "<!-- a link to the notebook itself -->"
LANGUAGES = {".py": "python", ".json": "json", ".cfg": "ini", ".toml": "toml"}


class Public(NamedTuple):
    """A name of a package's face, and where it is defined."""

    name: str
    module: str
    is_module: bool

    @property
    def path(self) -> str:
        """The dotted path under which the reference has it."""
        return f"{self.module}.{self.name}"


def on_config(config: MkDocsConfig) -> None:
    """Fill the empty entries of the navigation."""
    made = {
        "Notebooks": [_uri(path) for path in _notebooks()],
        "Model cards": [{_card_name(path): _uri(path)} for path in _cards()],
        "Reference": [
            "reference/index.md",
            {"Command line": "reference/command_line.md"},
            *({_short(name): _reference_uri(name)} for name in _reference_names()),
        ],
    }
    _fill(config.nav, made)


def _fill(entries: list[Any], made: dict[str, list[Any]]) -> None:
    for entry in entries:
        for title, inside in entry.items() if isinstance(entry, dict) else ():
            if inside == [] and title in made:
                inside.extend(made[title])
            elif isinstance(inside, list):
                _fill(inside, made)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made, and those of the sources that others link to."""
    for path in _notebooks():
        files.append(File.generated(config, _uri(path), content=_notebook(path)))
        files.append(File.generated(config, _raw(path), abs_src_path=str(path)))
    home = "---\nhide: [navigation]\n---\n\n" + README.read_text()
    files.append(File.generated(config, _uri(README), content=home))
    for path in (*_cards(), *_project()):
        files.append(File.generated(config, _uri(path), content=path.read_text()))
    for name, text in _reference().items():
        files.append(File.generated(config, name, content=text))
    pages = [
        (file, file.content_string) for file in files if file.is_documentation_page()
    ]
    for file, text in pages:
        if file.src_uri.endswith(".md"):
            for place in _linked(text, _origin(file.src_uri)):
                uri = _uri(place)
                if uri.startswith("source/") and not files.get_file_from_path(uri):
                    made = File.generated(config, uri, content=_source(place))
                    files.append(made)
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Lead links that leave ``docs/`` to the pages made for their targets."""
    uri = page.file.src_uri
    if uri.startswith(("source/", "reference/")):  # made with links of the site
        return markdown
    origin = _origin(uri)

    def lead(match: re.Match[str]) -> str:
        before, target, after = match.groups()
        place = _place(target, origin)
        if place is None:
            return match[0]
        _, hash_sign, anchor = target.partition("#")
        there = os.path.relpath(_uri(place), os.path.dirname(uri) or ".")
        return f"{before}{there}{hash_sign}{anchor}{after}"

    text = _outside_fences(markdown, lead)
    return text.replace(DOWNLOAD, f"[Download this notebook]({origin.name})")


def on_page_content(html: str, **_: Any) -> str:
    """Formulas as MathML, which browsers show without a script."""

    def formula(match: re.Match[str]) -> str:
        display = "block" if match[2] == "[" else "inline"
        text = match[3].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
        markup = SCRIPT.sub(script, converter.convert(text, display=display))
        return f"<{match[1]}>{markup}</{match[1]}>"

    def script(match: re.Match[str]) -> str:
        # Browsers have no script letters but Unicode's.
        return (
            f"<mi>{unicodedata.lookup(f'MATHEMATICAL SCRIPT CAPITAL {match[1]}')}</mi>"
        )

    return MATH.sub(formula, html)


# Where a file of the repository is in the site, and back.


def _uri(path: Path) -> str:
    """The page or file of the site that shows a file of the repository."""
    place = path.relative_to(ROOT)
    if place.parts[0] == "docs":
        inside = Path(*place.parts[1:])
        return str(inside) if path.is_file() else f"source/{place}.md"
    if path == README:
        return "index.md"
    if path in _project():
        return path.name
    if path.name == "card.md":
        return f"cards/{path.parent.name}.md"
    if path.suffix == ".ipynb":
        return f"notebooks/{path.stem}.md"
    return f"source/{place}.md"


def _origin(uri: str) -> Path:
    """The file of the repository that a page was made from."""
    for path in (README, *_cards(), *_project(), *_notebooks()):
        if _uri(path) == uri:
            return path
    return ROOT / "docs" / uri


def _linked(text: str, origin: Path) -> Iterator[Path]:
    for _, target, _ in LINK.findall(FENCE.sub("", text)):
        place = _place(target, origin)
        if place is not None:
            yield place


def _place(target: str, origin: Path) -> Path | None:
    """What a link of a file leads to, if it is in the repository."""
    name = target.partition("#")[0]
    if not name or re.match(r"[a-z]+:", name):
        return None
    place = Path(os.path.normpath(origin.parent / name))
    return place if place.is_relative_to(ROOT) and place.exists() else None


def _outside_fences(text: str, replace: Any) -> str:
    pieces, start = [], 0
    for fence in FENCE.finditer(text):
        pieces += [LINK.sub(replace, text[start : fence.start()]), fence[0]]
        start = fence.end()
    return "".join([*pieces, LINK.sub(replace, text[start:])])


def _notebooks() -> list[Path]:
    return sorted((ROOT / "notebooks").glob("*.ipynb"))


def _raw(path: Path) -> str:
    """Where the site keeps a notebook's own file."""
    return f"notebooks/{path.name}"


def _notebook(path: Path) -> str:
    """A notebook as Markdown, with the outputs that are stored in it."""
    pieces = []
    for cell in json.loads(path.read_text())["cells"]:
        text = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            # The badge is a picture from elsewhere; its link stays.
            pieces.append(BADGE.sub(r"[\1](\2)", text))
        elif text:
            pieces.append(f"````python\n{text}\n````")
        pieces += map(_output, cell.get("outputs", ()))
    title, *others = pieces
    return "\n\n".join([title, DOWNLOAD, *others]) + "\n"


def _output(output: dict[str, Any]) -> str:
    """A picture or a text that a cell has printed or returned."""
    data = output.get("data", {"text/plain": output.get("text", "")})
    if "image/png" in data:
        return f'<img alt="" src="data:image/png;base64,{data["image/png"].strip()}">'
    return f"````text\n{''.join(data['text/plain'])}\n````"


def _cards() -> list[Path]:
    return sorted((LIBRARY / "assets").glob("*/card.md"))


def _card_name(path: Path) -> str:
    return path.parent.name.replace("_", " ").capitalize()


def _project() -> list[Path]:
    return [path for name in PROJECT if (path := ROOT / f"{name}.md").exists()]


def _source(path: Path) -> str:
    """The page of a source file, or of a folder's files."""
    name = path.relative_to(ROOT)
    front = f"---\ntitle: {name}\nsearch:\n  exclude: true\nhide: [toc]\n---\n\n"
    if path.is_dir():
        rows = [f"| `{file.name}` | {_summary(file)} |" for file in _files(path)]
        return front + f"# {name}/\n\n| file | |\n|---|---|\n" + "\n".join(rows)
    language = LANGUAGES.get(path.suffix, "text")
    return front + f"# {name}\n\n````{language}\n{path.read_text()}\n````\n"


def _files(folder: Path) -> list[Path]:
    hidden = (".", "_")
    return [p for p in sorted(folder.iterdir()) if not p.name.startswith(hidden)]


def _summary(path: Path) -> str:
    if path.is_dir() and (path / "__init__.py").exists():
        path = path / "__init__.py"
    if path.suffix != ".py":
        return ""
    return _first_line(ast.parse(path.read_text()))


# The reference.


def _reference() -> dict[str, str]:
    """Pages of the reference, by their places."""
    pages = {"reference/index.md": _overview()}
    pages["reference/command_line.md"] = _command_line()
    for name in _reference_names():
        whole = name.split(".")[-1] in WHOLE_MODULES and name.count(".") == 1
        text = _module_page(name) if whole else _package_page(name)
        pages[_reference_uri(name)] = text
    return pages


def _reference_uri(name: str) -> str:
    return f"reference/{_short(name)}.md"


def _short(name: str) -> str:
    return name.removeprefix("twohand_jax.")


def _reference_names() -> list[str]:
    """Public packages, which are those with ``__all__``, and modules shown whole."""
    inits = LIBRARY.glob("*/**/__init__.py")
    packages = [path.parent for path in inits if "__all__" in path.read_text()]
    packages = [path for path in packages if "pipelines" not in path.parts]
    names = [".".join(path.relative_to(ROOT).parts) for path in packages]
    return sorted([*names, *(f"twohand_jax.{name}" for name in WHOLE_MODULES)])


def _init(package: str) -> ast.Module:
    return ast.parse((ROOT / Path(*package.split(".")) / "__init__.py").read_text())


def _face(package: str) -> list[Public]:
    """Names of ``__all__`` with the modules that they are imported from."""
    shown = {}
    for node in ast.walk(_init(package)):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                place = ROOT / Path(*node.module.split("."), alias.name)
                is_module = place.with_suffix(".py").exists() or place.is_dir()
                # A function may have the name of the module that it is in.
                public = Public(alias.name, node.module, is_module)
                shown[alias.asname or alias.name] = public
    return [shown[name] for name in _all(package) if name in shown]


def _all(package: str) -> list[str]:
    for node in _init(package).body:
        if isinstance(node, ast.Assign) and node.targets[0].id == "__all__":
            return list(ast.literal_eval(node.value))
    return []


def _overview() -> str:
    lines = ["# Reference", "", ast.get_docstring(_init("twohand_jax")) or "", ""]
    lines += ["| `import twohand_jax as th` | |", "|---|---|"]
    for public in _face("twohand_jax"):
        if public.is_module:
            there = f"{_reference_uri(public.path).removeprefix('reference/')}"
            link = f"[`th.{public.name}`]({there})"
        elif public.name.isupper():  # told in the docstring of their module
            link = f"[`th.{public.name}`]({_short(public.module)}.md)"
        else:
            link = f"[`th.{public.name}`][{public.path}]"
        lines.append(f"| {link} | {_doc(public)} |")
    lines += ["", "## Packages and modules", "", "| | |", "|---|---|"]
    for name in _reference_names():
        there = _reference_uri(name).removeprefix("reference/")
        summary = _summary(_module_file(name))
        lines.append(f"| [`{name}`]({there}) | {summary} |")
    return "\n".join(lines) + "\n"


def _package_page(name: str) -> str:
    lines = [f"# {name}", "", ast.get_docstring(_init(name)) or "", ""]
    shown = _face(name)
    at_the_top = [public for public in _face("twohand_jax") if not public.is_module]
    shown += [p for p in at_the_top if p.module.startswith(name) and p not in shown]
    for public in sorted(shown, key=lambda public: public.is_module):
        if public.module.startswith(name) or public.is_module:
            lines += [f"::: {public.path}", ""]
            if public.is_module:
                lines[-1:] = ["    options:", "      show_root_full_path: true", ""]
    return "\n".join(lines)


def _module_page(name: str) -> str:
    return f"# {name}\n\n::: {name}\n{WHOLE}"


def _module_file(name: str) -> Path:
    path = ROOT / Path(*name.split("."))
    return path if path.is_dir() else path.with_suffix(".py")


def _doc(public: Public) -> str:
    """The first line of what a name's docstring says."""
    if public.is_module:
        return _summary(_module_file(public.path))
    for node in ast.parse(_module_file(public.module).read_text()).body:
        if getattr(node, "name", None) == public.name:
            return _first_line(node)
        if isinstance(node, ast.Assign) and public.name in ast.unparse(node.targets[0]):
            return f"`{ast.unparse(node)}`"
    return ""


def _first_line(node: Any) -> str:
    text = ast.get_docstring(node) or ""
    return text.split("\n\n")[0].replace("\n", " ")


def _command_line() -> str:
    from twohand_jax.cli.main import parser

    os.environ["COLUMNS"] = "96"
    lines = ["# Command line", ""]
    for words, command in _commands("twohand", parser()):
        level = "#" * min(2 + words.count(" ") // 2, 3)
        lines += [f"{level} {words}", "", "```text", command.format_help(), "```", ""]
    return "\n".join(lines)


def _commands(
    words: str, command: argparse.ArgumentParser
) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """A command and those below it, depth first."""
    yield words, command
    for action in command._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, below in action.choices.items():
                yield from _commands(f"{words} {name}", below)
