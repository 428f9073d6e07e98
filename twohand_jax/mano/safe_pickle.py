"""Reading the official MANO pickles without chumpy and without running their code.

Unpickling builds nothing but inert records: every global that such a file may name is
replaced by a record that keeps its arguments and its state, every other one is refused
by name. Arrays are then made from the records of the wanted fields alone.

The files are Python 2 pickles of a dict. Their arrays are numpy's, ``shapedirs`` is a
``chumpy.reordering.Select`` over a ``chumpy.ch.Ch``, ``J_regressor`` a
``scipy.sparse`` matrix under a module name of its time. HO-3D's annotations are
pickles of the same kind.
"""

import io
import pickle
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from twohand_jax.errors import InputError
from twohand_jax.mano.pickled_arrays import SPARSE, Record, to_array

MAX_BYTES = 64 << 20

_NAMES_BY_MODULE = {
    ("numpy",): ("ndarray", "dtype"),
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
        fields: names to read; those that the file lacks or that are None are left out.
        what: kind of file, for error messages.

    Raises:
        InputError: the file is no such pickle, names a global that does not belong
            into one, or a wanted field is not a numeric array.
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

    def find_class(self, module: str, name: str) -> type[Record]:
        chumpy = module == "chumpy" or module.startswith("chumpy.")
        sparse = module.split(".")[:2] == ["scipy", "sparse"] and name in SPARSE
        if (module, name) in _GLOBALS or sparse or (chumpy and name.isidentifier()):
            return type(name, (Record,), {"kind": (module, name), "__slots__": ()})
        raise InputError(
            f"{self._path} is refused: the pickle names {module}.{name}, which is no "
            f"part of a {self._what} and could run code; get the file from its site."
        )


def _unpickle(path: Path, what: str) -> Any:
    try:
        size = path.stat().st_size
        data = path.read_bytes() if size <= MAX_BYTES else b""
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error
    if size > MAX_BYTES:
        raise InputError(
            f"{path} has {size >> 20} MiB, but a {what} is smaller than "
            f"{MAX_BYTES >> 20} MiB; give the file that its site distributes."
        )
    try:
        return _Unpickler(data, path, what).load()
    except InputError:
        raise
    except _MALFORMED as error:
        raise InputError(
            f"{path} is not a readable pickle ({error}): it is damaged, cut short or "
            f"of another format; expected a {what} as its site distributes it."
        ) from error
