"""The packages that the core requirements bring, among those installed here.

    python -m tests.architecture.core

prints how large they are.
"""

import functools
import sys
from importlib import metadata

from packaging.requirements import Requirement

from tests.architecture import wheels

LIMIT_MB = 900


def normal(name: str) -> str:
    """A distribution's name as the index spells it."""
    return name.lower().replace("_", "-").replace(".", "-")


@functools.cache
def packages() -> frozenset[str]:
    """Names of all distributions that an installation without extras has."""
    seen: set[tuple[str, tuple[str, ...]]] = set()

    def need(line: str, extras: tuple[str, ...]) -> None:
        one = Requirement(line)
        marker = one.marker
        if marker and not any(marker.evaluate({"extra": e}) for e in ("", *extras)):
            return
        key = normal(one.name), tuple(sorted(one.extras))
        if key not in seen:
            seen.add(key)
            for further in metadata.requires(one.name) or ():
                need(further, key[1])

    for line in wheels.requirements():
        need(line, ())
    return frozenset(name for name, _ in seen)


def sizes() -> dict[str, float]:
    """Megabytes of each package's files, without the byte code that pip makes."""
    found = {}
    for name in packages():
        package = metadata.distribution(name)
        paths = [package.locate_file(f) for f in package.files or ()]
        kept = (path for path in paths if path.suffix != ".pyc" and path.is_file())
        found[name] = sum(path.stat().st_size for path in kept) / 1e6
    return found


class Hidden:
    """Finds what another finder does, but for some modules."""

    def __init__(self, finder, absent: set[str]) -> None:
        """Take the other finder."""
        self._finder, self._absent = finder, absent

    def find_spec(self, name, path=None, target=None):
        """As importlib asks; None for what is absent."""
        if name.split(".")[0] in self._absent:
            return None
        return self._finder.find_spec(name, path, target)

    def __getattr__(self, name):
        return getattr(self._finder, name)


def hide_others() -> None:
    """Let every package look absent that the core requirements do not bring."""
    owners = metadata.packages_distributions()
    absent = {
        module
        for module, names in owners.items()
        if not packages() & {normal(name) for name in names}
    } - {"twohand_jax", "tests"}
    for name in [name for name in sys.modules if name.split(".")[0] in absent]:
        del sys.modules[name]
    sys.meta_path[:] = [Hidden(finder, absent) for finder in sys.meta_path]


if __name__ == "__main__":
    found = sizes()
    for name, size in sorted(found.items(), key=lambda pair: -pair[1]):
        print(f"{size:8.1f} MB  {name} {metadata.version(name)}")
    print(f"{sum(found.values()):8.1f} MB  in all")
