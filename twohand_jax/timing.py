"""How long each stage of a run takes."""

import contextlib
import time
from collections.abc import Iterator


class Stopwatch:
    """Adds up wall time by stage, in the order in which stages first appear."""

    def __init__(self) -> None:
        """Start with no stages."""
        self.seconds: dict[str, float] = {}

    def add(self, stage: str, seconds: float) -> None:
        """Count seconds towards a stage."""
        self.seconds[stage] = self.seconds.get(stage, 0.0) + seconds

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time the body of a ``with``, also when it raises."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.add(name, time.perf_counter() - start)

    def table(self) -> str:
        """One line a stage and their sum, in seconds."""
        rows = [*self.seconds.items(), ("total", sum(self.seconds.values()))]
        width = max(len(name) for name, _ in rows)
        return "\n".join(f"  {name:<{width}}  {value:7.2f} s" for name, value in rows)
