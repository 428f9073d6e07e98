"""Reconstruction of two interacting hands from one image, in JAX.

The public face is ``mano``, ``collision``, ``geometry``, ``Reconstructor``, ``Prior``
and ``refine``; each is imported when it is first used, so that ``import twohand_jax``
costs nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from twohand_jax import collision, geometry, mano
    from twohand_jax.inference.prior import Prior
    from twohand_jax.inference.reconstruct import Reconstructor
    from twohand_jax.inference.refinement import refine

__version__ = "0.1.0"
__all__ = ["Prior", "Reconstructor", "collision", "geometry", "mano", "refine"]

_MEMBERS = {
    "Prior": "inference.prior",
    "Reconstructor": "inference.reconstruct",
    "refine": "inference.refinement",
}


def __getattr__(name: str) -> Any:
    """Import a public package or class on first use (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_MEMBERS.get(name, name)}")
    value = getattr(module, name) if name in _MEMBERS else module
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
