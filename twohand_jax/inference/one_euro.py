"""The One-Euro filter (Casiez, Roussel, Vogel, CHI 2012), for streams.

A low-pass filter whose cut-off rises with speed: what hardly moves is steadied, what
moves fast hardly lags. It knows no later values; clips have ``smoothing`` instead.
"""

import dataclasses

import numpy as np
from jaxtyping import Float


@dataclasses.dataclass(frozen=True, kw_only=True)
class OneEuroConfig:
    """How much is filtered.

    Attributes:
        min_cutoff: cut-off of what does not move, hertz.
        beta: how much the cut-off rises with speed, hertz a unit of speed.
        speed_cutoff: cut-off of the speed itself, hertz.
    """

    min_cutoff: float = 1.0
    beta: float = 0.0
    speed_cutoff: float = 1.0


class OneEuro:
    """A filter of arrays of one shape; each number has a cut-off of its own."""

    def __init__(self, config: OneEuroConfig) -> None:
        """Start without any value."""
        self._config = config
        self._time: float | None = None
        self._value = self._speed = np.zeros(())

    def __call__(
        self, value: Float[np.ndarray, "*s"], time_s: float
    ) -> Float[np.ndarray, "*s"]:
        """The filtered value; the first one, and one of no later time, is as given.

        Args:
            value: of now.
            time_s: now, seconds.
        """
        value = np.asarray(value, np.float64)
        if self._time is None or time_s <= self._time:
            self._value, self._speed = value, np.zeros(value.shape)
            self._time = time_s
            return value
        config, interval = self._config, time_s - self._time
        speed = (value - self._value) / interval
        share = _share(np.asarray(config.speed_cutoff), interval)
        self._speed = share * speed + (1 - share) * self._speed
        cutoff = config.min_cutoff + config.beta * np.abs(self._speed)
        share = _share(cutoff, interval)
        self._value = share * value + (1 - share) * self._value
        self._time = time_s
        return self._value


def _share(cutoff: np.ndarray, interval: float) -> np.ndarray:
    """The share of a new value in an exponential mean with this cut-off."""
    return 1.0 / (1.0 + 1.0 / (2 * np.pi * cutoff * interval))
