"""Names of records as bytes of one width, which processes can hand to each other."""

import numpy as np
from jaxtyping import Float, Int, UInt8

from twohand_jax.data.decode import Rows

WIDTH = {"image_id": 256, "subset": 64}


class Names:
    """Collects the names of the records that a reader goes through."""

    def __init__(self) -> None:
        self._known: dict[int, dict[str, bytes]] = {}

    def watch(self, rows: Rows) -> None:
        """Remember the names of a batch (``Reader.once``)."""
        for row in np.flatnonzero(rows.usable):
            self._known[int(rows.records[row])] = {
                field: rows.fields[field][row] for field in WIDTH
            }

    def texts(
        self, record: Int[np.ndarray, "n"], weight: Float[np.ndarray, "n"]
    ) -> dict[str, UInt8[np.ndarray, "n width"]]:
        """Names of these records, and forget them; zeros for padding."""
        found = {
            field: np.zeros((len(record), width), np.uint8)
            for field, width in WIDTH.items()
        }
        for row in np.flatnonzero(weight > 0):
            for field, text in self._known.pop(int(record[row]), {}).items():
                code = np.frombuffer(text, np.uint8)[: WIDTH[field]]
                found[field][row, : len(code)] = code
        return found


def decode(codes: UInt8[np.ndarray, "n width"]) -> np.ndarray:
    """Bytes as an array of strings."""
    return np.array([bytes(code).rstrip(b"\0").decode() for code in codes], np.str_)
