"""Windows of serialised records, and groups cut from them across their borders.

Payloads stay in TensorFlow's memory; nothing here looks into them.
"""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np


class Group(NamedTuple):
    """Serialised records, their numbers, and which are whole."""

    payloads: Any
    records: np.ndarray
    usable: np.ndarray


class Piece(NamedTuple):
    """Records of a window: all of its payloads, and which of them, in what order.

    ``problems`` tells by their numbers what is wrong with damaged records.
    """

    payloads: Any
    order: np.ndarray
    records: np.ndarray
    problems: dict[int, str]

    def cut(self, part: slice) -> "Piece":
        """Some of the records."""
        return self._replace(order=self.order[part], records=self.records[part])


def regroup(
    windows: Iterator[Piece], sizes: Iterable[int]
) -> Iterator[tuple[Piece, ...]]:
    """Pieces that hold as many records as each size, while there are any."""
    rest: Piece | None = None
    for size in sizes:
        pieces: list[Piece] = []
        while size:
            rest = rest if rest is not None and len(rest.order) else next(windows, None)
            if rest is None:
                break
            pieces.append(rest.cut(slice(size)))
            rest = rest.cut(slice(size, None))
            size -= len(pieces[-1].order)
        yield tuple(pieces)
