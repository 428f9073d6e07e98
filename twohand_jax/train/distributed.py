"""Several processes as one run."""

import jax

from twohand_jax.errors import InputError


def initialize(
    automatic: bool,
    coordinator: str | None,
    processes: int | None,
    process: int | None,
) -> None:
    """Join the other processes; must come before anything else uses JAX.

    Args:
        automatic: let JAX find the others (Slurm, TPU pods, GKE, Open MPI).
        coordinator: HOST:PORT of process 0; without one, and not automatic, this
            process is alone.
        processes: how many there are.
        process: which this one is.

    Raises:
        InputError: the three come together or not at all; or the others cannot be
            found.
    """
    given = [coordinator is not None, processes is not None, process is not None]
    if any(given) and not all(given):
        raise InputError(
            "--coordinator, --processes and --process belong together: give all three, "
            "or --distributed on a cluster that JAX knows, or none."
        )
    if not automatic and not any(given):
        return
    if processes is not None and process is not None and not 0 <= process < processes:
        raise InputError(
            f"--process {process} must lie between 0 and {processes - 1}, one less "
            "than --processes."
        )
    try:
        jax.distributed.initialize(coordinator, processes, process)
    except (RuntimeError, ValueError) as error:
        raise InputError(
            f"The processes do not find each other: {str(error).splitlines()[0]}. "
            "Check --coordinator, that its port is free, and that all processes were "
            "started."
        ) from error


def is_first() -> bool:
    """Whether this process writes what is written once."""
    return jax.process_index() == 0
