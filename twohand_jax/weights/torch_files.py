"""State dicts of PyTorch models from files, as plain numpy arrays.

Nothing in a file is run: ``.safetensors`` holds bytes only and needs no PyTorch,
pickles are read by PyTorch's restricted unpickler.

``torch.jit.load`` would compile the program that a TorchScript archive holds, and reads
its index with an unpickler that was never meant for hostile files, so it is not used.
Here the index becomes inert records (every name in it is replaced by one that keeps
what it is given), the tensors that they describe are cut from the archive's raw
storages, and its code is never opened.
"""

import io
import math
import pickle
import re
import struct
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from twohand_jax import extras
from twohand_jax.errors import InputError
from twohand_jax.mano.safe_pickle import Record

StateDict = dict[str, np.ndarray]
T = TypeVar("T", bound=PyTree)

PICKLES = (".pt", ".pth", ".bin", ".tar")
SAFETENSORS = ".safetensors"
CONTAINERS = (
    "state_dict",
    "model",
    "network",
)  # names under which trainers keep the weights
PARALLEL = "module."  # prefix of models saved from inside torch.nn.DataParallel
_DAMAGED = (
    pickle.UnpicklingError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RecursionError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
)


def read(path: str | Path) -> StateDict:
    """The tensors of a state dict by name; floating-point ones as float32.

    Understands a bare state dict, one under ``state_dict``, ``model`` or ``network``,
    one as the first of a list (as some trainers save it), and the prefix ``module.``.

    Args:
        path: ``.pt``, ``.pth``, ``.bin``, ``.tar`` or ``.safetensors``.

    Raises:
        InputError: the file is missing, damaged, or holds anything but finite tensors.
        MissingDependencyError: the package that reads such files is not installed.
    """
    path = Path(path)
    if path.suffix not in (*PICKLES, SAFETENSORS):
        raise InputError(
            f"{path} is not a file of PyTorch weights: the name must end in "
            f"{', '.join(PICKLES)} or {SAFETENSORS}."
        )
    if not path.is_file():
        raise InputError(f"There is no weights file {path}.")
    load = _load_safetensors if path.suffix == SAFETENSORS else _load_pickle
    try:
        state = load(path)
    except InputError:
        raise
    except _DAMAGED as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(
            f"{path} is not readable as weights: it is damaged, cut short or holds "
            f"more than tensors ({reason}); save the model's state_dict."
        ) from error
    if all(name.startswith(PARALLEL) for name in state):
        state = {name.removeprefix(PARALLEL): state[name] for name in state}
    for name, value in state.items():
        if not np.isfinite(value).all():
            raise InputError(f"{path}: weight {name!r} holds NaN or infinity.")
    return state


def _load_safetensors(path: Path) -> StateDict:
    with extras.needed_for(f"Reading {path.name} needs", "weights"):
        import safetensors.numpy
    try:
        arrays = safetensors.numpy.load_file(path)
    except safetensors.SafetensorError as error:
        raise ValueError(error) from error
    return {name: _float32(value) for name, value in arrays.items()}


def _load_pickle(path: Path) -> StateDict:
    with extras.needed_for(f"Reading {path.name} needs", "weights"):
        import torch
    content = _unwrapped(torch.load(path, map_location="cpu", weights_only=True))
    if not isinstance(content, Mapping) or not content:
        raise InputError(
            f"{path} holds {type(content).__name__} where a state dict was expected: "
            "a dict of tensors, bare or under " + " or ".join(CONTAINERS) + "."
        )
    state = {}
    for name, value in content.items():
        if not isinstance(value, torch.Tensor) or not isinstance(name, str):
            raise InputError(
                f"{path}: entry {name!r} of the state dict is {type(value).__name__}, "
                "expected a tensor under a name; save the model's state_dict."
            )
        value = value.detach()
        state[name] = _float32(
            (value.float() if value.is_floating_point() else value).numpy()
        )
    return state


def _unwrapped(content: Any) -> Any:
    """The state dict inside what a trainer saved."""
    if isinstance(content, list | tuple) and content:
        content = content[0]
    if isinstance(content, Mapping):
        for name in CONTAINERS:
            if isinstance(content.get(name), Mapping):
                return content[name]
    return content


def _float32(value: np.ndarray) -> np.ndarray:
    return value if value.dtype.kind in "iub" else value.astype(np.float32)


class WeightSource(NamedTuple):
    """Where a weight lies in a state dict: its name and, if stacked, which third."""

    name: str
    third: int | None = None


def fill(
    shapes: T,
    state: Mapping[str, np.ndarray],
    locate: Callable[[str], WeightSource],
    *,
    ignored: str,
    where: str | Path,
) -> T:
    """Variables of a network here, filled from a PyTorch state dict.

    Kernels become ``HWIO`` from ``OIHW`` and ``IO`` from ``OI``; attention's are split
    by heads.

    Args:
        shapes: what is to be filled (``models.apply.shapes``).
        state: tensors by name.
        locate: from a path of ``shapes``, such as ``params/stem/kernel``.
        ignored: regular expression of names that may be left over.
        where: the file, for messages.

    Raises:
        InputError: a weight is missing, left over, or of another shape.
    """
    leaves = jax.tree_util.tree_leaves_with_path(shapes)
    wanted = {locate(_name(path)).name: leaf.shape for path, leaf in leaves}
    missing = sorted(set(wanted) - set(state))
    left = sorted(n for n in set(state) - set(wanted) if not re.fullmatch(ignored, n))
    if missing or left:
        raise InputError(
            f"{where} belongs to another network: it lacks {_list(missing)} and has "
            f"{_list(left)} besides what is expected"
            + (f"; {missing[0]!r} is expected as " if missing else ".")
            + (f"{_torch_shape(wanted[missing[0]])}." if missing else "")
        )

    def arranged(path: Any, leaf: jax.ShapeDtypeStruct) -> np.ndarray:
        source = locate(_name(path))
        value = np.atleast_1d(state[source.name])
        if source.third is not None and len(value) % 3 == 0:
            value = np.split(value, 3)[source.third]
        value = value.transpose(2, 3, 1, 0) if value.ndim == 4 else value.T
        if value.size != np.prod(leaf.shape) or (
            value.ndim == len(leaf.shape) and value.shape != leaf.shape
        ):
            raise InputError(
                f"{where} belongs to another network: {source.name!r} has shape "
                f"{state[source.name].shape}, which does not fit {_name(path)} "
                f"{leaf.shape}; expected {_torch_shape(leaf.shape)}."
            )
        return np.ascontiguousarray(value.reshape(leaf.shape), np.float32)

    return jax.tree_util.tree_map_with_path(arranged, shapes)


def _torch_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape in PyTorch of a weight of ours, heads apart."""
    order = {2: (1, 0), 4: (3, 2, 0, 1)}.get(len(shape), tuple(range(len(shape))))
    return tuple(shape[axis] for axis in order)


def _name(path: Any) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/")


def _list(names: list[str], most: int = 3) -> str:
    if not names:
        return "nothing"
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(repr, names[:most])) + more


SUFFIX = ".pt2"
INDEX, CODE, EXPORTED = "data.pkl", "code", "serialized_exported_program.json"
MAX_INDEX_BYTES = 64 << 20
MAX_ATTRIBUTES = 1_000_000
SHARED = 4  # how many times its size an archive's tensors may have, as they can share
_DTYPES = {
    "FloatStorage": np.dtype(np.float32),
    "DoubleStorage": np.dtype(np.float64),
    "HalfStorage": np.dtype(np.float16),
    "BFloat16Storage": np.dtype(jnp.bfloat16),
    "LongStorage": np.dtype(np.int64),
    "IntStorage": np.dtype(np.int32),
    "BoolStorage": np.dtype(np.bool_),
}
TENSOR = ("torch._utils", "_rebuild_tensor_v2")
_GLOBALS = (TENSOR, ("collections", "OrderedDict"))
_MODULES, _HELPERS = "__torch__", "torch.jit._pickle"
_OPCODES = """PROTO STOP GLOBAL MARK NEWOBJ REDUCE BUILD BINPERSID NONE NEWTRUE NEWFALSE
    EMPTY_TUPLE EMPTY_DICT EMPTY_LIST TUPLE TUPLE1 TUPLE2 TUPLE3 APPEND APPENDS SETITEM
    SETITEMS BINUNICODE BINSTRING SHORT_BINSTRING BININT BININT1 BININT2 LONG1 BINFLOAT
    BINPUT LONG_BINPUT BINGET LONG_BINGET"""
MALFORMED_ARCHIVE = (
    pickle.UnpicklingError,
    zipfile.BadZipFile,
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    NotImplementedError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)


def is_torchscript(path: str | Path) -> bool:
    """Whether a file is a zip file with a program in it.

    What ``torch.save`` writes is a zip file, too, but holds no program.
    """
    try:
        with zipfile.ZipFile(path) as file:
            parts = [PurePosixPath(name).parts for name in file.namelist()]
    except MALFORMED_ARCHIVE:
        return False
    return any(CODE in part[:2] or part[-1] == EXPORTED for part in parts)


def read_torchscript(path: str | Path) -> StateDict:
    """The tensors of an archive by name; floating-point ones as float32.

    Raises:
        InputError: the archive is missing or damaged, holds no named tensors, or names
            anything but modules and tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"There is no weights file {path}.")
    try:
        with zipfile.ZipFile(path) as file:
            archive = Archive(file, path)
            index = TensorUnpickler(archive.index(), path).load()
            state = archive.arrays(_archive_tensors(index))
    except InputError:
        raise
    except MALFORMED_ARCHIVE as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(
            f"{path} is not readable as a TorchScript archive ({reason}): it is "
            "damaged, cut short or of another kind; give the _torchscript.pt2 file or "
            "the state dict (.pth)."
        ) from error
    if not state:
        raise InputError(
            f"{path} holds no named weights; those of a frozen TorchScript archive "
            "have lost their names: give the state dict (.pth)."
        )
    for name, value in state.items():
        if not np.isfinite(value).all():
            raise InputError(f"{path}: weight {name!r} holds NaN or infinity.")
    return state


class Tensor(NamedTuple):
    """Where a tensor lies; strides and offset count elements."""

    dtype: np.dtype
    storage: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class Archive:
    """A zip file of PyTorch's that is being read: an index and raw storages."""

    def __init__(self, file: zipfile.ZipFile, path: Path) -> None:
        names = [PurePosixPath(name) for name in file.namelist()]
        roots = [name.parent for name in names if name.name == INDEX]
        if not roots:
            raise LookupError(f"it has no {INDEX}")
        self.file, self.path, self.root = file, path, roots[0]

    def index(self) -> bytes:
        """The pickle that describes what is in the archive."""
        return self._member(INDEX, most=MAX_INDEX_BYTES)

    def arrays(self, tensors: Mapping[str, Tensor]) -> StateDict:
        """The numbers of tensors; floating-point ones as float32.

        Raises:
            ValueError, LookupError: a tensor lies outside the archive.
        """
        bytes_ = sum(math.prod(t.shape) * t.dtype.itemsize for t in tensors.values())
        if bytes_ > SHARED * self.path.stat().st_size:
            raise ValueError("its tensors are larger than the archive")
        return {name: self._array(tensor) for name, tensor in tensors.items()}

    def _member(self, name: str, *, most: int) -> bytes:
        """A file of the archive, not compressed: no larger than the archive itself."""
        info = self.file.getinfo(str(self.root / name))
        if info.compress_type != zipfile.ZIP_STORED or info.file_size > most:
            raise ValueError(f"{name} is compressed or too large")
        return self.file.read(info)

    def _array(self, tensor: Tensor) -> np.ndarray:
        raw = self._member(f"data/{tensor.storage}", most=self.path.stat().st_size)
        flat = np.frombuffer(raw, tensor.dtype)
        pairs = list(zip(tensor.shape, tensor.strides, strict=True))
        last = tensor.offset + sum((size - 1) * step for size, step in pairs)
        lowest = min(tensor.offset, *tensor.strides, 0)
        if lowest < 0 or last >= len(flat) or math.prod(tensor.shape) > len(flat):
            raise ValueError(f"a tensor lies outside its storage {tensor.storage}")
        view = np.lib.stride_tricks.as_strided(
            flat[tensor.offset :],
            tensor.shape,
            [step * tensor.dtype.itemsize for step in tensor.strides],
            writeable=False,
        )
        return np.array(view, None if tensor.dtype.kind in "iub" else np.float32)


class TensorUnpickler(pickle._Unpickler):
    """Reads an archive's index: every name becomes an inert record class.

    Python's own implementation, whose memo is a dict, so that no index in a hostile
    file makes it allocate memory.
    """

    dispatch: ClassVar = {
        code: pickle._Unpickler.dispatch[code]
        for code in (getattr(pickle, name)[0] for name in _OPCODES.split())
    }

    def __init__(self, data: bytes, path: Path) -> None:
        super().__init__(io.BytesIO(data), encoding="utf-8")
        self._path = path

    def find_class(self, module: str, name: str) -> type:
        """The inert class that stands for a name; others than a module's are refused.

        Raises:
            InputError: the name has no place in an archive.
        """
        known = (
            module.split(".")[0] == _MODULES
            or module == _HELPERS
            or (module, name) in _GLOBALS
            or (module == "torch" and name in _DTYPES)
        )
        if not known:
            raise InputError(
                f"{self._path} is refused: its index names {module}.{name}, which is "
                "no part of a TorchScript module and could run code; get the file "
                "from Sapiens' authors."
            )
        return type(name, (Record,), {"kind": (module, name), "__slots__": ()})

    def persistent_load(self, pid: Any) -> Any:
        """A storage is described, not loaded."""
        return pid


def _archive_tensors(content: Any) -> dict[str, Tensor]:
    """The tensors under a module's attributes, by their names."""
    found: dict[str, Tensor] = {}
    waiting, left = [("", content)], MAX_ATTRIBUTES
    while waiting:
        name, value = waiting.pop()
        if not isinstance(value, Record):
            continue
        if value.kind == TENSOR:
            found[name] = described(value)
        elif value.kind[0].split(".")[0] == _MODULES and isinstance(value.state, dict):
            left -= len(value.state)
            if left < 0:
                raise ValueError("its modules have too many attributes")
            waiting += [
                (f"{name}.{key}" if name else str(key), inner)
                for key, inner in value.state.items()
            ]
    return found


def described(record: Record) -> Tensor:
    """Where the tensor lies that a record of the kind ``TENSOR`` describes.

    Raises:
        ValueError, TypeError, LookupError: it describes none.
    """
    storage, offset, shape, strides = record.args[:4]
    _, kind, key, *_ = storage
    sizes, steps = (tuple(int(n) for n in numbers) for numbers in (shape, strides))
    if min(sizes, default=1) < 1:
        raise ValueError(f"a tensor has the shape {sizes}")
    return Tensor(_DTYPES[kind.kind[1]], str(key), int(offset), sizes, steps)
