import numpy as np
import pytest

from twohand_jax.data.order import Piece, regroup


def _windows(*sizes: int) -> list[Piece]:
    """Windows of consecutive records, in reverse order inside of each."""
    ends = np.cumsum(sizes)
    return [
        Piece("window", np.arange(size)[::-1], np.arange(end - size, end)[::-1], {})
        for size, end in zip(sizes, ends, strict=True)
    ]


@pytest.mark.parametrize("sizes", [[4, 4, 4], [1, 0, 11], [12], [5, 5, 5, 5]])
def test_groups_run_across_windows(sizes: list[int]) -> None:
    windows = _windows(5, 3, 4)
    whole = np.concatenate([window.records for window in windows]).tolist()
    found = [
        [record for piece in pieces for record in piece.records.tolist()]
        for pieces in regroup(iter(windows), sizes)
    ]
    starts = np.cumsum([0, *sizes])
    assert found == [whole[a:b] for a, b in zip(starts, starts[1:], strict=False)]


def test_pieces_point_into_their_window() -> None:
    (_, second) = regroup(iter(_windows(3, 3)), [2, 3])
    assert [piece.order.tolist() for piece in second] == [[0], [2, 1]]
