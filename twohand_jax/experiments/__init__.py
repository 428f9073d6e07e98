"""What can be trained, a file each: config, network, loss, data (see ``base``)."""

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
