"""Stopping a run from outside without losing what was done."""

import signal
from types import FrameType
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils


class StopRequest:
    """Turns the first SIGINT or SIGTERM into a wish; the second one interrupts.

    Make it after ``jax.distributed.initialize``, whose runtime takes SIGTERM.
    """

    def __init__(self) -> None:
        """Install the handlers, if this is the main thread."""
        self._requested = False
        self._before: dict[int, Any] = {}
        try:
            for number in (signal.SIGINT, signal.SIGTERM):
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
        if self._requested:
            raise KeyboardInterrupt
        self._requested = True
