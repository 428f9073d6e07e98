"""What the benchmarks' peers need."""

import importlib.util

from twohand_jax.errors import MissingDependencyError


def require(*packages: str) -> None:
    """Refuse a comparison whose packages are not installed.

    Raises:
        MissingDependencyError: one of them is absent.
    """
    for package in packages:
        if importlib.util.find_spec(package) is None:
            raise MissingDependencyError(
                f"The comparison needs the package {package}: pip install {package}, "
                "or pass --peers none."
            )
