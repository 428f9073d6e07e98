"""Prediction files of many pictures, in pieces: one ``.npz``, several, or a Parquet.

``FILE.npz`` is one archive, or ``FILE-00000-of-00012.npz`` and so on, where a set has
more than ``SHARD`` pictures; a Parquet has a row group for each such piece.
Vertices, 19 kB a picture, are read piece by piece; the rest is kept.
"""

import functools
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from twohand_jax import extras, files, paths, reading
from twohand_jax.errors import InputError

SHARD = 2048  # pictures in a piece
KEPT = 8  # pieces of vertices in memory
NPZ, PARQUET = ".npz", ".parquet"
MAX_BYTES = 16 << 30
Arrays = dict[str, np.ndarray]
Piece = Callable[[], Arrays]
# Of a picture; what has none of these shapes is text or a number.
TAILS: Mapping[str, tuple[int, ...]] = {
    "joints": (2, 21, 3),
    "vertices": (2, 778, 3),
    "rel_trans": (3,),
    "found": (2,),
}


class ShardedVertices:
    """Vertices of n pictures that are read when they are asked for.

    Attributes:
        sizes: pictures of each piece.
    """

    def __init__(self, sizes: Sequence[int], load: Callable[[int], np.ndarray]) -> None:
        """Reads nothing yet.

        Args:
            sizes: pictures of each piece.
            load: the vertices of a piece.
        """
        self.sizes = tuple(sizes)
        self._starts = np.cumsum([0, *sizes])
        self._load = functools.lru_cache(maxsize=KEPT)(load)

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        """Those of some pictures; negative numbers count from the end."""
        rows = np.asarray(rows) % self._starts[-1]
        out = np.zeros((len(rows), *TAILS["vertices"]), np.float32)
        where = np.searchsorted(self._starts, rows, side="right") - 1
        for number in np.unique(where).tolist():
            own = where == number
            out[own] = self._load(number)[rows[own] - self._starts[number]]
        return out

    def tobytes(self) -> bytes:
        """A digest stands for the bytes, which are too many."""
        import hashlib

        digest = hashlib.sha256()
        for number in range(len(self.sizes)):
            digest.update(np.ascontiguousarray(self._load(number)).tobytes())
        return digest.digest()


def pieces(path: Path) -> list[Piece]:
    """What reads each piece of a prediction file.

    Raises:
        InputError: there is no such file, or a piece of it is missing.
    """
    if path.suffix == PARQUET:
        return _row_groups(path)
    return [functools.partial(_archive, one) for one in shard_paths(path)]


def shard_paths(path: Path) -> list[Path]:
    """The files that ``path`` stands for: itself, or its pieces.

    Raises:
        InputError: some pieces are missing, or belong to two writings.
    """
    if path.exists() or not path.parent.is_dir():
        return [path]
    form = re.compile(re.escape(path.stem) + r"-(\d{5})-of-(\d{5})" + path.suffix)
    found = [m for name in paths.names(path.parent) if (m := form.fullmatch(name))]
    if not found:
        return [path]
    counts = {int(match[2]) for match in found}
    total = max(counts)
    if len(counts) > 1 or len(found) != total:
        raise InputError(
            f"{path} is in pieces, of which {len(found)} of {total} are there: write "
            "it again."
        )
    return [_shard_path(path, number, total) for number in range(total)]


def _shard_path(path: Path, number: int, total: int) -> Path:
    return path.with_name(f"{path.stem}-{number:05d}-of-{total:05d}{path.suffix}")


def _archive(path: Path) -> Arrays:
    return reading.read_npz(path, limit=MAX_BYTES)


def _row_groups(path: Path) -> list[Piece]:
    parquet = _pyarrow()
    reading.check_file(path)
    try:
        file = parquet.ParquetFile(path)
        count = file.num_row_groups
        file.close()
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is not a readable Parquet file: {error}.") from error
    return [functools.partial(_row_group, path, number) for number in range(count)]


def _row_group(path: Path, number: int) -> Arrays:
    try:
        with _pyarrow().ParquetFile(path) as file:
            table = file.read_row_group(number)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is not a readable Parquet file: {error}.") from error
    return {name: _column(path, table, name) for name in table.column_names}


def _column(path: Path, table: Any, name: str) -> np.ndarray:
    column = table.column(name).combine_chunks()
    if name not in TAILS:
        if name == "image_id":
            return np.array(column.to_pylist(), str)
        return column.to_numpy(zero_copy_only=False)
    flat = column.flatten().to_numpy(zero_copy_only=False)
    if flat.size != len(column) * math.prod(TAILS[name]):
        raise InputError(
            f"{name!r} of {path} holds {flat.size} values for {len(column)} pictures; "
            f"{math.prod(TAILS[name])} for each are expected."
        )
    return flat.reshape(len(column), *TAILS[name])


def _pyarrow() -> Any:
    with extras.needed_for("Parquet files need", "parquet"):
        import pyarrow.parquet

    return pyarrow.parquet


def check_path(path: Path) -> None:
    """Refuse another ending, and Parquet where its package is missing.

    Raises:
        InputError: the ending is neither .npz nor .parquet.
        MissingDependencyError: the package is missing.
    """
    if path.suffix == PARQUET:
        _pyarrow()
    elif path.suffix != NPZ:
        raise InputError(
            f"{path} must end in .npz or .parquet: these are the forms that "
            "predictions are written in."
        )


def write(path: Path, parts: Iterable[Arrays], total: int) -> list[Path]:
    """Write predictions in pieces of ``SHARD`` pictures, each whole or not at all.

    Args:
        path: ends in .npz or .parquet.
        parts: arrays of some pictures at a time, as ``prediction_file`` has them.
        total: pictures of all parts.

    Returns:
        The files; several where an .npz has more than one piece.
    """
    cut = _regrouped(parts)
    if path.suffix == PARQUET:
        _write_parquet(path, cut)
        return [path]
    count = max(1, -(-total // SHARD))
    where = [path]
    if count > 1:
        where = [_shard_path(path, number, count) for number in range(count)]
        files.remove(path)
    for one, arrays in zip(where, cut, strict=True):
        files.write_npz(one, arrays, compressed=False)
    return where


def _regrouped(parts: Iterable[Arrays]) -> Iterator[Arrays]:
    """The same pictures, ``SHARD`` at a time."""
    held: list[Arrays] = []
    size = 0
    for part in parts:
        held.append(part)
        size += len(part["image_id"])
        while size >= SHARD:
            whole = _joined(held)
            yield {name: array[:SHARD] for name, array in whole.items()}
            held = [{name: array[SHARD:] for name, array in whole.items()}]
            size -= SHARD
    if size:
        yield _joined(held)


def _joined(parts: Sequence[Arrays]) -> Arrays:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _write_parquet(path: Path, parts: Iterable[Arrays]) -> None:
    parquet = _pyarrow()
    import pyarrow

    def table(arrays: Arrays) -> Any:
        columns = {}
        for name, array in arrays.items():
            if name in TAILS:
                flat = pyarrow.array(np.ascontiguousarray(array).ravel())
                size = math.prod(TAILS[name])
                columns[name] = pyarrow.FixedSizeListArray.from_arrays(flat, size)
            else:
                columns[name] = pyarrow.array(array.tolist())
        return pyarrow.table(columns)

    with files.replacing(path) as beside:
        writer = None
        for arrays in parts:
            rows = table(arrays)
            if writer is None:
                writer = parquet.ParquetWriter(beside, rows.schema)
            writer.write_table(rows, row_group_size=SHARD)
        if writer is not None:
            writer.close()
