"""Checkpoints of PyTorch Lightning as plain numpy arrays, read without PyTorch.

Beside weights such a file holds the classes of what trained them: settings of yacs or
OmegaConf, callbacks, optimisers. PyTorch's restricted unpickler refuses these; here
they become inert records that are not looked at (``mano.safe_pickle.Record``), so that
nothing of a file is run, and only the wanted tensors are read.
"""

import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from twohand_jax.errors import InputError
from twohand_jax.mano.safe_pickle import Record
from twohand_jax.weights import torch_files
from twohand_jax.weights.torch_files import (
    TENSOR,
    Archive,
    StateDict,
    Tensor,
    TensorUnpickler,
)

WEIGHTS = "state_dict"
_PARAMETER = ("torch._utils", "_rebuild_parameter")
_OPCODES = "LONG4 EMPTY_SET ADDITEMS FROZENSET POP POP_MARK DUP BINBYTES SHORT_BINBYTES"
# What a training run's settings and state are made of, by the package that has it.
_PACKAGES = (
    "_codecs",
    "argparse",
    "collections",
    "copyreg",
    "copy_reg",
    "enum",
    "hydra",
    "lightning",
    "lightning_fabric",
    "numpy",
    "omegaconf",
    "pathlib",
    "pytorch_lightning",
    "torch",
    "typing",
    "yacs",
)
_BUILTINS = "bool bytes complex dict float frozenset int list object set str tuple"


def read(path: str | Path, *, wanted: str = ".*") -> StateDict:
    """The weights of a checkpoint by name; floating-point ones as float32.

    A bare state dict, as ``torch.save`` writes it, is understood as well.

    Args:
        path: of the file.
        wanted: regular expression of the names to read.

    Raises:
        InputError: the file is missing or damaged, holds no weights, or names a class
            or function that has no place in a checkpoint.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"There is no weights file {path}.")
    try:
        with zipfile.ZipFile(path) as file:
            archive = Archive(file, path)
            content = _CheckpointUnpickler(archive.index(), path).load()
            state = archive.arrays(_tensors(content, wanted))
    except InputError:
        raise
    except (*torch_files.MALFORMED_ARCHIVE, RecursionError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(
            f"{path} is not readable as a checkpoint ({reason}): it is damaged, cut "
            "short or of another kind; expected a file that torch.save or PyTorch "
            "Lightning wrote."
        ) from error
    for name, value in state.items():
        if not np.isfinite(value).all():
            raise InputError(f"{path}: weight {name!r} holds NaN or infinity.")
    return state


class _Inert(Record):
    """An object that takes what a pickle gives it and does nothing with it."""

    __slots__ = ()

    def __setitem__(self, key: Any, value: Any) -> None:
        """Ignore an entry."""

    def append(self, value: Any) -> None:
        """Ignore an entry."""

    def extend(self, values: Any) -> None:
        """Ignore entries."""

    def update(self, values: Any) -> None:
        """Ignore entries."""


class _Items(dict):
    """An OrderedDict, whose attributes are not looked at."""

    def __setstate__(self, state: Any) -> None:
        """Ignore the versions of modules that PyTorch keeps there."""


class _CheckpointUnpickler(TensorUnpickler):
    """Reads a checkpoint's index: classes of a training run become inert."""

    dispatch: ClassVar = TensorUnpickler.dispatch | {
        code: pickle._Unpickler.dispatch[code]
        for code in (getattr(pickle, name)[0] for name in _OPCODES.split())
    }

    def find_class(self, module: str, name: str) -> type:
        """The inert class that stands for a name.

        Raises:
            InputError: the name has no place in a checkpoint.
        """
        if (module, name) == ("collections", "OrderedDict"):
            return _Items
        builtin = module in ("builtins", "__builtin__") and name in _BUILTINS.split()
        if not (builtin or module.split(".")[0] in _PACKAGES):
            raise InputError(
                f"{self._path} is refused: it names {module}.{name}, which is no part "
                "of a checkpoint and could run code; get the file from its authors."
            )
        return type(name, (_Inert,), {"kind": (module, name), "__slots__": ()})


def _tensors(content: Any, wanted: str) -> dict[str, Tensor]:
    """Where the wanted weights lie.

    Raises:
        ValueError: there are none.
    """
    inner = content.get(WEIGHTS, content) if isinstance(content, Mapping) else None
    if not isinstance(inner, Mapping):
        raise ValueError(f"it holds no {WEIGHTS}")
    found = {}
    for name, value in inner.items():
        if not isinstance(name, str) or not re.fullmatch(wanted, name):
            continue
        if isinstance(value, Record) and value.kind == _PARAMETER:
            value = value.args[0]
        if not isinstance(value, Record) or value.kind != TENSOR:
            raise ValueError(f"{name!r} in its {WEIGHTS} is no tensor")
        found[name] = torch_files.described(value)
    return found
