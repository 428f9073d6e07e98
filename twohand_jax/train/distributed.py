"""Several processes as one run, and stopping them without losing what was done."""

import atexit
import signal
import subprocess
import sys
from types import FrameType
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from twohand_jax.errors import InputError

# Windows has no SIGUSR1.
SIGNALS = [
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGUSR1")
    if hasattr(signal, name)
]
HEARTBEAT_S = 10  # without a sign of life after which a process counts as dead


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
    _watch_over()
    try:
        jax.distributed.initialize(
            coordinator, processes, process, heartbeat_timeout_seconds=HEARTBEAT_S
        )
    except (RuntimeError, ValueError) as error:
        raise InputError(
            f"The processes do not find each other: {str(error).splitlines()[0]}. "
            "Check --coordinator, that its port is free, and that all processes were "
            "started."
        ) from error


LOST = (
    "this process of the run ends, as one of the others has died or cannot be reached; "
    "what was saved is whole. Start all of them again with the same command, which "
    "goes on from the newest checkpoint."
)


def _watch_over() -> None:
    """Have a small process say what to do when JAX's runtime ends this one.

    That runtime aborts when another process has died, which Python cannot see, also
    while it says good-bye to the others. So this comes before it is started: what is
    registered first is called last.
    """
    code = f"import sys\nif not sys.stdin.read(): print({LOST!r}, file=sys.stderr)"
    words = [sys.executable, "-S", "-c", code]
    watcher = subprocess.Popen(words, stdin=subprocess.PIPE, start_new_session=True)

    def dismiss() -> None:
        if getattr(sys, "last_value", None) is None:  # no exception ends the process
            watcher.communicate(b"done")

    atexit.register(dismiss)


def is_first() -> bool:
    """Whether this process writes what is written once."""
    return jax.process_index() == 0


class StopRequest:
    """Turns SIGINT, SIGTERM or SIGUSR1 into a wish; the same again interrupts.

    Machines that are taken away send SIGTERM, and Slurm what ``--signal`` names, often
    SIGUSR1, some time before it. Ctrl-C after another signal interrupts as well.

    Make it after ``jax.distributed.initialize``, whose runtime takes SIGTERM.

    Attributes:
        signal: that came to this process; None for none.
    """

    def __init__(self) -> None:
        """Install the handlers, if this is the main thread."""
        self.signal: int | None = None
        self._requested = False
        self._before: dict[int, Any] = {}
        try:
            for number in SIGNALS:
                self._before[number] = signal.signal(number, self._ask)
        except ValueError:  # not in the main thread: signals stay as they are
            pass

    def agreed(self, *, ask_others: bool) -> bool:
        """Whether to stop now; all processes give the same answer.

        Args:
            ask_others: whether this is a step at which processes ask each other (all
                of them must); alone, a process always knows.
        """
        if jax.process_count() == 1:
            return self._requested
        if not ask_others:
            return False
        return bool(multihost_utils.process_allgather(np.array(self._requested)).any())

    def restore(self) -> None:
        """Put the handlers back that were there before."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self._requested and number in (self.signal, signal.SIGINT):
            raise KeyboardInterrupt
        if not self._requested:
            self._requested, self.signal = True, number
