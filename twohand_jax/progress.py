"""How far long work has come: a bar on a terminal, a plain line now and then elsewhere.

A bar redraws itself, so a log file would fill with its copies. Where stderr is no
terminal, a line is written instead: no sooner than ``PAUSE_S`` after the last one, and
then at every tenth of the work, but at least every ``LONGEST_S``. Short work says
nothing.
"""

import contextlib
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from twohand_jax import markdown, paths

T = TypeVar("T")
PAUSE_S, LONGEST_S, SHARE = 30.0, 300.0, 0.1
MIB = 1 << 20
BYTES = "B"  # a unit that is shown in multiples

_is_quiet = False


@contextlib.contextmanager
def quiet(is_quiet: bool = True) -> Iterator[None]:
    """Show no progress inside of this context, and let ``say`` say nothing."""
    global _is_quiet
    before, _is_quiet = _is_quiet, is_quiet or _is_quiet
    try:
        yield
    finally:
        _is_quiet = before


class Bar:
    """Counts work that is done; a context manager.

    Attributes:
        done: how much of it, with what an earlier run did.
        total: how much there is; None where nobody knows. May change.
    """

    def __init__(
        self,
        *,
        total: int | None,
        unit: str,
        name: str = "",
        done: int = 0,
        is_shown: bool = True,
        delay_s: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin; nothing is shown of work that is not.

        Args:
            total: how much there is; None where nobody knows.
            unit: of what is counted, such as "img"; ``BYTES`` for bytes.
            name: of the work.
            done: what an earlier run did.
            is_shown: whether to show anything.
            delay_s: a terminal shows nothing of work that is done sooner.
            clock: seconds.
        """
        self.done, self.total = done, total
        self._unit, self._name, self._clock = unit, name, clock
        self._note, self._begin, self._start = "", done, clock()
        self._last, self._lines = (self._start, done), 0
        is_shown = is_shown and not _is_quiet and sys.stderr is not None
        self._has_lines = is_shown and not sys.stderr.isatty()
        self._drawn = (
            _drawn(self, delay_s) if is_shown and not self._has_lines else None
        )

    def __enter__(self) -> "Bar":
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def update(self, count: int = 1) -> None:
        """Count work that was done."""
        self.done += count
        if self._drawn is not None:
            self._drawn.total = self.total
            self._drawn.update(count)
        elif self._has_lines and self._is_due():
            self._write()

    def note(self, text: str) -> None:
        """Show a word behind the counts from now on, such as the loss."""
        self._note = text
        if self._drawn is not None:
            self._drawn.set_postfix_str(text, refresh=False)

    def close(self) -> None:
        """End; a log that has lines gets a last one."""
        if self._drawn is not None:
            self._drawn.close()
        elif self._lines and self._last[1] != self.done:
            self._write()
        self._has_lines, self._drawn = False, None

    def count(self, items: Iterable[T]) -> Iterator[T]:
        """Hand out items and count each when the next one is asked for."""
        with self:
            for item in items:
                yield item
                self.update()

    def _is_due(self) -> bool:
        when, done = self._last
        waited = self._clock() - when
        step = SHARE * (self.total or done)
        return waited >= PAUSE_S and (waited >= LONGEST_S or self.done - done >= step)

    def _write(self) -> None:
        self._last, self._lines = (self._clock(), self.done), self._lines + 1
        print(self.line(), file=sys.stderr, flush=True)

    def line(self) -> str:
        """The counts in a line: how much of how much, how fast, how long still."""
        seconds = max(self._clock() - self._start, 1e-9)
        rate = (self.done - self._begin) / seconds
        counts = self._amount(self.done)
        if self.total is not None:
            share = self.done / max(self.total, 1)
            counts += f" of {self._amount(self.total)} ({share:.0%})"
        unit = "MiB" if self._unit == BYTES else self._unit
        parts = [f"{counts} {unit}", f"{self._speed(rate)} {unit}/s"]
        if self.total is not None and rate > 0 and self.done < self.total:
            parts.append(f"{duration((self.total - self.done) / rate)} left")
        parts += [self._note] if self._note else []
        return f"{self._name}{': ' if self._name else ''}{', '.join(parts)}"

    def _amount(self, count: int) -> str:
        return f"{count / MIB:,.0f}" if self._unit == BYTES else f"{count:,}"

    def _speed(self, rate: float) -> str:
        return f"{rate / MIB if self._unit == BYTES else rate:,.1f}"


def _drawn(bar: Bar, delay_s: float) -> Any:
    from tqdm import tqdm

    return tqdm(
        total=bar.total,
        initial=bar.done,
        unit=bar._unit,
        desc=bar._name or None,
        unit_scale=bar._unit == BYTES,
        delay=delay_s,
        leave=delay_s == 0,
    )


def duration(seconds: float) -> str:
    """Seconds as minutes and seconds, or hours, minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    start = f"{hours}:{minutes:02}" if hours else f"{minutes}"
    return f"{start}:{rest:02}"


def draws_bars() -> bool:
    """Whether stderr is a terminal, on which bars are drawn."""
    return sys.stderr is not None and sys.stderr.isatty()


def note(line: str) -> None:
    """Write a line of progress to stderr; nothing where it is quiet."""
    if not _is_quiet and sys.stderr is not None:
        print(paths.told(line), file=sys.stderr, flush=True)


def say(message: str) -> None:
    """Print a note to stdout without breaking a bar; nothing where it is quiet."""
    if not _is_quiet:
        show(message)


def show(message: str) -> None:
    """Print a result to stdout without breaking a bar; tables as it can show them."""
    from tqdm import tqdm

    message = paths.told(message)
    if sys.stdout.isatty():
        message = markdown.for_terminal(message, shutil.get_terminal_size().columns)
    tqdm.write(message, file=sys.stdout)
