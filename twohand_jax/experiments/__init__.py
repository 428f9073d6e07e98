"""Kinds of experiments, one file for each: config, network, loss and data."""

from twohand_jax.experiments.base import (
    Experiment,
    Run,
    check_runnable,
    network,
    outline,
    parse,
    parse_as,
    run,
)

__all__ = [
    "Experiment",
    "Run",
    "check_runnable",
    "network",
    "outline",
    "parse",
    "parse_as",
    "run",
]
