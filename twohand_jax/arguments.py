"""Numbers on a command line, refused where they lie out of range."""

import argparse
import math
from collections.abc import Callable

MOST = 10**9
MAX_SEED = 2**32 - 1


def whole(low: int, high: int = MOST) -> Callable[[str], int]:
    """A reader of whole numbers from ``low`` to ``high``, for ``add_argument``."""

    def read(text: str) -> int:
        try:
            value = int(text) if len(text) < 20 else high + 1
        except ValueError:
            value = low - 1
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(
                f"{text[:40]} is not a whole number from {low} to {high}"
            )
        return value

    return read


positive = whole(1)
not_negative = whole(0)
seed = whole(0, MAX_SEED)
processes = whole(1, 4096)
processes_or_none = whole(0, 4096)  # 0: in this process


def above_zero(text: str) -> float:
    """A finite number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text[:40]} is not a finite number above 0")
    return value


def share(text: str) -> float:
    """A share from 0 to 1, given as 1% or 0.01."""
    number, percent, rest = text.partition("%")
    try:
        value = float(number) / (100 if percent else 1)
    except ValueError:
        value = math.nan
    if rest or not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text[:40]} is not a share like 1% or 0.01")
    return value
