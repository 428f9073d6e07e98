"""Timing several programs against each other on one machine."""

import statistics
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple


class Timing(NamedTuple):
    """Time of one call in milliseconds."""

    minimum_ms: float
    median_ms: float


def interleaved(
    programs: Mapping[str, Callable[[], object]],
    *,
    repetitions: int,
    warmup: int = 2,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Timing]:
    """Time programs in turns, so that a busy moment of the machine hits all of them.

    Args:
        programs: functions that return when their work is done.
        repetitions: timed calls of each.
        warmup: untimed calls of each, for compilation and caches.
        clock: seconds; ``time.process_time`` counts the work of all threads, which a
            busy machine changes little.
    """
    for program in programs.values():
        for _ in range(warmup):
            program()
    seconds: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(repetitions):
        for name, program in programs.items():
            start = clock()
            program()
            seconds[name].append(clock() - start)
    return {
        name: Timing(1e3 * min(taken), 1e3 * statistics.median(taken))
        for name, taken in seconds.items()
    }
