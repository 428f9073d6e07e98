"""A strict reader of the vertices of PLY meshes (Turk, 1994), text or binary."""

import re
from pathlib import Path

import numpy as np
from jaxtyping import Float

from twohand_jax.errors import InputError

MAX_BYTES = 1 << 20
_ORDERS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}
_TYPES = {
    "char": "i1",
    "uchar": "u1",
    "short": "i2",
    "ushort": "u2",
    "int": "i4",
    "uint": "u4",
    "float": "f4",
    "double": "f8",
}
_TYPES |= {
    f"{name}{8 * size}": f"{code}{size}"
    for name, code, sizes in (("int", "i", "124"), ("uint", "u", "124"))
    for size in map(int, sizes)
} | {"float32": "f4", "float64": "f8"}
_END = re.compile(rb"end_header\r?\n")


def read_vertices(path: Path, count: int) -> Float[np.ndarray, "count 3"]:
    """The vertices of a mesh that must have ``count`` of them; faces are not read.

    Raises:
        InputError: the file is missing, is no PLY, or has other vertices.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{path} is larger than a hand's mesh, {MAX_BYTES} bytes.")
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error
    try:
        return _vertices(data, count)
    except (ValueError, LookupError) as error:
        raise InputError(
            f"{path} is not a PLY mesh of {count} vertices ({error}); expected a hand "
            "of MANO's topology."
        ) from error


def _vertices(data: bytes, count: int) -> Float[np.ndarray, "count 3"]:
    end = _END.search(data)
    if not data.startswith(b"ply") or end is None:
        raise ValueError("it has no PLY header")
    header = data[: end.start()].decode("ascii").splitlines()
    lines = [line.split() for line in header[1:] if line.strip()]
    order = _ORDERS[{line[0]: line for line in lines}["format"][1]]
    elements = [at for at, line in enumerate(lines) if line[0] == "element"]
    first = lines[elements[0]]
    if first[1:] != ["vertex", str(count)]:
        raise ValueError(f"its first element is {' '.join(first[1:])!r}")
    stop = elements[1] if len(elements) > 1 else len(lines)
    properties = [line for line in lines[elements[0] : stop] if line[0] == "property"]
    row = np.dtype([(name, order + _TYPES[kind]) for _, kind, name in properties])
    table = _rows(data[end.end() :], row, count, text=not order)
    return np.stack([table[axis].astype(float) for axis in "xyz"], axis=-1)


def _rows(body: bytes, row: np.dtype, count: int, *, text: bool) -> np.ndarray:
    if not text:
        return np.frombuffer(body, row, count)
    width = len(row.names or ())
    words = body.split(None, count * width)[: count * width]
    numbers = np.array(words, float).reshape(count, width)
    return np.rec.fromarrays(numbers.T, dtype=row)
