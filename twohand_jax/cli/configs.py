"""Reading a config file and the changes to it that a command line asks for."""

import runpy
from pathlib import Path

from ml_collections import ConfigDict

from twohand_jax.errors import InputError


def load(path: str, changes: list[str]) -> ConfigDict:
    """The config of a Python file, with ``section.field=value`` changes applied.

    Args:
        path: ``FILE.py`` or ``FILE.py:ARGUMENT``; the file defines ``get_config``,
            which takes the argument when one is given.
        changes: values are read as Python literals where they are some.

    Raises:
        InputError: no such file or field, or a value of another type.
    """
    file, _, argument = path.partition(":")
    if not Path(file).is_file():
        raise InputError(f"There is no config file {file}; try configs/open.py.")
    namespace = runpy.run_path(file)
    if "get_config" not in namespace:
        raise InputError(f"{file} defines no function get_config, so it is no config.")
    config = namespace["get_config"](*([argument] if argument else []))
    for change in changes:
        _apply(config, change)
    return config


def _apply(config: ConfigDict, change: str) -> None:
    name, equals, text = change.partition("=")
    *sections, field = name.split(".")
    if not equals or not sections:
        raise InputError(f"--set {change} must read section.field=value.")
    node = config
    for section in sections:
        if section not in node or not isinstance(node[section], ConfigDict):
            raise InputError(f"--set {change}: the config has no section {section!r}.")
        node = node[section]
    with node.unlocked(), node.ignore_type():
        node[field] = _literal(text)


def _literal(text: str) -> object:
    import ast

    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
