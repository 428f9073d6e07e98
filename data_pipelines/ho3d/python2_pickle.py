"""Writing pickles as Python 2 did, for miniatures of datasets of its time."""

import io
import pickle
import struct
from typing import Any, ClassVar

# The stubs of Python's own pickler leave its methods out.
_Base: Any = pickle._Pickler


class _Pickler(_Base):
    """Protocol 2 with byte strings and numpy's former module names."""

    dispatch: ClassVar[dict] = dict(_Base.dispatch)

    def save_string(self, value: str | bytes) -> None:
        data = value.encode("latin1") if isinstance(value, str) else value
        self.write(pickle.BINSTRING + struct.pack("<i", len(data)) + data)
        self.memoize(value)

    def save_global(self, value: Any, name: str | None = None) -> None:
        module = getattr(value, "__module__", "")
        if not module.startswith("numpy"):
            return super().save_global(value, name)
        former = module.replace("numpy._core", "numpy.core")
        self.write(pickle.GLOBAL + f"{former}\n{value.__name__}\n".encode())
        self.memoize(value)

    dispatch[str] = dispatch[bytes] = save_string


def dumps(value: Any) -> bytes:
    """The pickle that Python 2's ``cPickle`` would have written, protocol 2."""
    file = io.BytesIO()
    _Pickler(file, protocol=2).dump(value)
    return file.getvalue()
