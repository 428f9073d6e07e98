"""What is in a record set, and which of its records cannot be right."""

from typing import TYPE_CHECKING

from twohand_jax import lazy

if TYPE_CHECKING:
    from twohand_jax.inspection.check import CheckConfig, Checker
    from twohand_jax.inspection.report import InspectConfig, inspect
    from twohand_jax.inspection.summary import Summary

__all__ = [
    "CheckConfig",
    "Checker",
    "InspectConfig",
    "Summary",
    "inspect",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy.attach(
        __name__,
        {
            "check": ("CheckConfig", "Checker"),
            "report": ("InspectConfig", "inspect"),
            "summary": ("Summary",),
        },
    )
