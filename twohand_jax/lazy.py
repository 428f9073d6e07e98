"""Names of a package that are imported when they are first used (PEP 562).

A package's ``__init__`` says twice what it gives: to type checkers by imports under
``TYPE_CHECKING``, and to Python by ``attach``. A test compares the two.
"""

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence

Attached = tuple[Callable[[str], object], Callable[[], list[str]]]


def attach(package: str, modules: Mapping[str, Sequence[str]]) -> Attached:
    """``__getattr__`` and ``__dir__`` of a package.

    Args:
        package: its ``__name__``.
        modules: public names by the module below the package that has them; a module
            without names is public itself.
    """
    where = {name: module for module, names in modules.items() for name in names}
    whole = {module for module, names in modules.items() if not names}

    def load(name: str) -> object:
        if name in whole:
            return importlib.import_module(f"{package}.{name}")
        if name not in where:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(f"{package}.{where[name]}"), name)
        setattr(sys.modules[package], name, value)
        return value

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *where, *whole})

    return load, names
