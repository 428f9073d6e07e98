"""The distribution of a stream of numbers, in memory that does not grow with it."""

import dataclasses
import math

import numpy as np
from jaxtyping import Float, Int

TAIL = 0.001


@dataclasses.dataclass
class Histogram:
    """Counts in fixed bins, the smallest and the largest number.

    Numbers beyond the edges count in the outer bins. Quantiles are exact to a bin.

    Attributes:
        title: what is counted, with its unit.
        edges: of the bins, ascending; ``linear`` and ``logarithmic`` make them.
        is_log: whether each edge is a multiple of the one before.
    """

    title: str
    edges: Float[np.ndarray, "n+1"]
    is_log: bool = False
    low: float = math.inf
    high: float = -math.inf

    def __post_init__(self) -> None:
        self.counts: Int[np.ndarray, n] = np.zeros(len(self.edges) - 1, np.int64)

    @property
    def total(self) -> int:
        """How many numbers were added."""
        return int(self.counts.sum())

    def add(self, values: Float[np.ndarray, "*b"]) -> None:
        """Count finite numbers; NaN and infinities are passed over."""
        values = values[np.isfinite(values)]
        if values.size:
            inside = np.clip(values, self.edges[0], self.edges[-1])
            self.counts += np.histogram(inside, self.edges)[0]
            self.low = min(self.low, float(values.min()))
            self.high = max(self.high, float(values.max()))

    def quantile(self, share: float) -> float:
        """The number below which this share lies; NaN when there are none."""
        if not self.total:
            return math.nan
        below = np.concatenate([[0], np.cumsum(self.counts)])
        found = float(np.interp(share * self.total, below, self.edges))
        return min(max(found, self.low), self.high)

    def bars(
        self, count: int = 40
    ) -> tuple[Float[np.ndarray, "m+1"], Int[np.ndarray, "m"]]:
        """At most ``count`` equal bars over all but the outermost numbers.

        A thousandth at each end does not stretch the axis: it is added to the first
        and the last bar.

        Returns:
            The bars' edges and counts; none when nothing was added.
        """
        if not self.total:
            return self.edges[:1], self.counts[:0]
        below = np.cumsum(self.counts) / self.total
        first = int(np.searchsorted(below, TAIL, side="right"))
        last = int(np.searchsorted(below, 1 - TAIL)) + 1
        step = math.ceil((last - first) / count)
        starts = np.arange(first, last, step)
        counts = np.add.reduceat(self.counts[first:last], starts - first)
        counts[0] += self.counts[:first].sum()
        counts[-1] += self.counts[last:].sum()
        ends = np.append(starts, min(starts[-1] + step, len(self.counts)))
        return self.edges[ends], counts

    def text(self) -> str:
        """Quantiles in words."""
        if not self.total:
            return "none"
        low, middle, high = (self.quantile(share) for share in (0.05, 0.5, 0.95))
        return (
            f"5 % {low:.3g}, median {middle:.3g}, 95 % {high:.3g}, "
            f"largest {self.high:.3g}"
        )


def linear(title: str, low: float, high: float, bins: int) -> Histogram:
    """Equal bins."""
    return Histogram(title, np.linspace(low, high, bins + 1))


def logarithmic(title: str, low: float, high: float, bins: int = 800) -> Histogram:
    """Bins that grow with the number, for errors over many orders of magnitude."""
    return Histogram(title, np.geomspace(low, high, bins + 1), is_log=True)
