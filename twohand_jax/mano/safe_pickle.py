"""Reading the official MANO pickles without chumpy and without running their code."""

import io
import math
import pickle
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from twohand_jax import reading
from twohand_jax.errors import InputError

MAX_BYTES = 64 << 20
FORMS = ("csc", "csr", "coo")  # of scipy's sparse matrices and arrays

_NAMES_BY_MODULE = {
    ("numpy",): ("ndarray", "dtype", "matrix"),
    ("numpy.matrixlib.defmatrix",): ("matrix",),
    ("numpy.core.multiarray", "numpy._core.multiarray"): ("_reconstruct", "scalar"),
    ("numpy.core.numeric", "numpy._core.numeric"): ("_frombuffer",),
    ("copy_reg", "copyreg"): ("_reconstructor",),
    ("__builtin__", "builtins"): ("object", "set", "bytes"),
    ("_codecs",): ("encode",),
}
_GLOBALS = frozenset(
    (module, name)
    for modules, names in _NAMES_BY_MODULE.items()
    for module in modules
    for name in names
)
# Opcodes that reach outside the file: persistent ids, copyreg's extension registry and
# out-of-band buffers.
_FORBIDDEN = frozenset(
    pickle.PERSID
    + pickle.BINPERSID
    + pickle.EXT1
    + pickle.EXT2
    + pickle.EXT4
    + pickle.NEXT_BUFFER
    + pickle.READONLY_BUFFER
)
_OPCODES = pickle._Unpickler.dispatch
_MALFORMED = (
    pickle.UnpicklingError,
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    RecursionError,
    TypeError,
    ValueError,
)


def load_arrays(
    path: str | Path, fields: Iterable[str], *, what: str = "MANO model"
) -> dict[str, np.ndarray]:
    """The wanted fields of a MANO pickle as plain numeric arrays.

    Args:
        path: ``MANO_RIGHT.pkl``, ``MANO_LEFT.pkl`` or another pickled dict like it.
        fields: names to read; fields that are missing or None are left out.
        what: the kind of file, for error messages.

    Raises:
        InputError: the file is not such a pickle, names a global that has no place in
            one, or a wanted field is not a numeric array.
    """
    path = Path(path)
    content = _unpickle(path, what)
    if not isinstance(content, dict):
        raise InputError(
            f"{path} is not a {what}: the pickle holds a "
            f"{type(content).__name__}, expected a dict of arrays."
        )
    arrays = {}
    for name in fields:
        if content.get(name) is None:
            continue
        try:
            arrays[name] = to_array(content[name])
        except _MALFORMED as error:
            raise InputError(
                f"{path}: field {name!r} is not a numeric array ({error}); expected "
                f"a {what} as its site distributes it."
            ) from error
    return arrays


class Record:
    """The description of an object in a pickle; the object itself is never made."""

    __slots__ = ("args", "state")
    kind = ("", "")
    args: tuple[Any, ...]
    state: Any

    def __new__(cls, *args: Any) -> "Record":
        """Keep the arguments that the file would have called the class with."""
        record = super().__new__(cls)
        record.args, record.state = args, None
        return record

    def __init__(self, *args: Any) -> None:
        """Accept what the file passes; ``__new__`` has kept it."""

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Unpickler(pickle._Unpickler):
    """Turns the permitted globals into record classes, made anew for each file.

    Python's own implementation, not the C one: its memo is a dict, so that no index
    in a hostile file makes it allocate memory.
    """

    dispatch: ClassVar = {
        code: load for code, load in _OPCODES.items() if code not in _FORBIDDEN
    }
    # A bytearray is allocated before it is read; bytes are not.
    dispatch[pickle.BYTEARRAY8[0]] = _OPCODES[pickle.BINBYTES8[0]]

    def __init__(self, data: bytes, path: Path, what: str = "MANO model") -> None:
        super().__init__(io.BytesIO(data), encoding="latin1")
        self._path, self._what = path, what

    def find_class(self, module: str, name: str) -> type[Record] | type[dict]:
        chumpy = module == "chumpy" or module.startswith("chumpy.")
        if (module, name) == ("collections", "OrderedDict"):
            return dict
        sparse = module.split(".")[:2] == ["scipy", "sparse"] and name in SPARSE
        if (module, name) in _GLOBALS or sparse or (chumpy and name.isidentifier()):
            return type(name, (Record,), {"kind": (module, name), "__slots__": ()})
        raise InputError(
            f"{self._path} is refused: the pickle names {module}.{name}, which is no "
            f"part of a {self._what} and could run code; get the file from its site."
        )


def _unpickle(path: Path, what: str) -> Any:
    data = reading.read_bytes(path, limit=MAX_BYTES)
    try:
        return _Unpickler(data, path, what).load()
    except InputError:
        raise
    except _MALFORMED as error:
        raise InputError(
            f"{path} is not a readable pickle ({error}): it is damaged, cut short or "
            f"of another format; expected a {what} as its site distributes it."
        ) from error


SPARSE = tuple(f"{form}_{kind}" for form in FORMS for kind in ("matrix", "array"))
MAX_DENSE = 1 << 24
MAX_DEPTH = 8
_NUMERIC = ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")


def to_array(value: Any, depth: int = 0) -> np.ndarray:
    """Turn a value of the file into the numeric array that it describes.

    Raises:
        ValueError, TypeError, LookupError: it does not describe a numeric array.
    """
    if depth > MAX_DEPTH:
        raise ValueError("its expression is nested too deeply")
    if isinstance(value, bool | int | float):
        return np.asarray(value)
    if isinstance(value, list):
        return np.asarray([_number(item) for item in value])
    if not isinstance(value, Record):
        raise ValueError(f"it is a {type(value).__name__}")
    value = _unwrapped(value)
    module, name = value.kind
    if name == "_reconstruct":
        _, shape, dtype, fortran, data = value.state
        return _from_bytes(data, dtype, shape, "F" if fortran else "C")
    if name == "_frombuffer":
        return _from_bytes(*value.args)
    if name == "scalar":
        return np.asarray(_number(value))
    if name in SPARSE:
        return _dense(name, value.state, depth)
    if (module, name) == ("chumpy.ch", "Ch"):
        return to_array(value.state["x"], depth + 1)
    if (module, name) == ("chumpy.reordering", "Select"):
        return _select(value.state, depth)
    raise ValueError(f"{module}.{name} is not supported")


def _number(value: Any) -> bool | int | float:
    """A number of Python's or numpy's; a nested list could be a bomb."""
    if isinstance(value, bool | int | float):
        return value
    if not isinstance(value, Record) or value.kind[1] != "scalar":
        raise ValueError(f"it lists a {type(value).__name__}")
    dtype, data = value.args
    return _from_bytes(data, dtype, (), "C").item()


def _unwrapped(value: Record) -> Record:
    """The object behind ``copyreg._reconstructor(class, object, None)``."""
    if value.kind[1] != "_reconstructor":
        return value
    inner = value.args[0]()
    inner.state = value.state
    return inner


def _from_bytes(data: Any, dtype: Any, shape: Any, order: str) -> np.ndarray:
    if isinstance(data, Record):  # how Python 3 writes bytes in protocol 2
        data = data.args[0] if data.args else ""
    raw = data.encode("latin1") if isinstance(data, str) else bytes(data)
    numbers = _dtype(dtype)
    sizes = tuple(int(size) for size in shape)
    if min(sizes, default=0) < 0 or math.prod(sizes) * numbers.itemsize != len(raw):
        raise ValueError(f"shape {sizes} does not fit its {len(raw)} bytes")
    array = np.frombuffer(raw, numbers).reshape(
        sizes, order="F" if order == "F" else "C"
    )
    return array.astype(numbers.newbyteorder("="))


def _dtype(record: Any) -> np.dtype:
    if not isinstance(record, Record) or record.kind != ("numpy", "dtype"):
        raise ValueError("its dtype is none of numpy's")
    code = str(record.args[0])
    if code.lstrip("<>=|") not in _NUMERIC:
        raise ValueError(f"dtype {code!r} does not hold numbers")
    order: Any = record.state[1] if record.state else "="
    if order not in ("<", ">", "=", "|"):
        raise ValueError(f"{order!r} is not a byte order")
    return np.dtype(code).newbyteorder(order)


def _select(state: dict[str, Any], depth: int) -> np.ndarray:
    """Entries of a flattened array, brought into another shape (chumpy's Select)."""
    source = to_array(state["a"], depth + 1).ravel()
    chosen = source[to_array(state["idxs"], depth + 1)]
    return chosen.reshape(state.get("preferred_shape", chosen.shape))


def _dense(name: str, state: dict[str, Any], depth: int) -> np.ndarray:
    """A sparse matrix as a dense array."""
    shape = state["_shape"] if "_shape" in state else state["shape"]
    rows, columns = (int(size) for size in shape)
    if not (rows > 0 and columns > 0 and rows * columns <= MAX_DENSE):
        raise ValueError(f"a {rows} x {columns} matrix is out of bounds")

    def part(key: str) -> np.ndarray:
        return to_array(state[key], depth + 1)

    data = part("data")
    if name.startswith("coo"):
        coords = state.get("coords")
        row, column = (
            (part("row"), part("col"))
            if coords is None
            else (to_array(one, depth + 1) for one in coords)
        )
    else:
        minor, major = part("indices"), _majors(part("indptr"), len(data))
        row, column = (minor, major) if name.startswith("csc") else (major, minor)
    if min(row.min(initial=0), column.min(initial=0)) < 0:
        raise ValueError("a sparse index is negative")
    dense = np.zeros((rows, columns), data.dtype)
    np.add.at(dense, (row, column), data)
    return dense


def _majors(pointers: np.ndarray, total: int) -> np.ndarray:
    """Row (csr) or column (csc) of each stored entry."""
    pointers = pointers.astype(np.int64)
    counts = pointers[1:] - pointers[:-1]
    if (
        not 0 <= counts.min(initial=0) <= counts.max(initial=0) <= total
        or counts.sum() != total
    ):
        raise ValueError(f"its index pointers do not fit its {total} entries")
    return np.repeat(np.arange(len(counts)), counts)
