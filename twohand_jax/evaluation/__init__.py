"""Protocols, scores of whole splits, confidence intervals and tables."""

from typing import TYPE_CHECKING

from twohand_jax import lazy

if TYPE_CHECKING:
    from twohand_jax.evaluation.bootstrap import (
        Difference,
        Interval,
        difference,
        intervals,
    )
    from twohand_jax.evaluation.methods import cue_methods, estimator, labels, refined
    from twohand_jax.evaluation.results import Result
    from twohand_jax.evaluation.run import evaluate

__all__ = [
    "Difference",
    "Interval",
    "Result",
    "cue_methods",
    "difference",
    "estimator",
    "evaluate",
    "intervals",
    "labels",
    "refined",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy.attach(
        __name__,
        {
            "bootstrap": ("Difference", "Interval", "difference", "intervals"),
            "methods": ("cue_methods", "estimator", "labels", "refined"),
            "results": ("Result",),
            "run": ("evaluate",),
        },
    )
