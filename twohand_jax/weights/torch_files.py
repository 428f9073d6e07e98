"""State dicts of PyTorch models from files, as plain numpy arrays.

Nothing in a file is run: ``.safetensors`` holds bytes only and needs no PyTorch, the
others are read by PyTorch's restricted unpickler.
"""

import pickle
import re
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import jax
import numpy as np
from jaxtyping import PyTree

from twohand_jax.errors import InputError, MissingDependencyError

StateDict = dict[str, np.ndarray]
T = TypeVar("T", bound=PyTree)

PICKLES = (".pt", ".pth", ".bin", ".tar")
SAFETENSORS = ".safetensors"
CONTAINERS = ("state_dict", "model")  # names under which trainers keep the weights
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

    Understands a bare state dict, one under ``state_dict`` or ``model``, one as the
    first of a list (as some trainers save it), and the prefix ``module.``.

    Args:
        path: ``.pt``, ``.pth``, ``.bin``, ``.tar`` or ``.safetensors``.

    Raises:
        InputError: the file is missing, damaged, or holds anything but finite tensors.
        MissingDependencyError: the package that reads such files is not installed.
    """
    path = Path(path)
    if path.suffix not in (*PICKLES, SAFETENSORS):
        raise InputError(
            f"{path} is no file of PyTorch weights: the name must end in "
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
    try:
        import safetensors.numpy
    except ImportError as error:
        raise _missing("safetensors", path) from error
    try:
        arrays = safetensors.numpy.load_file(path)
    except safetensors.SafetensorError as error:
        raise ValueError(error) from error
    return {name: _float32(value) for name, value in arrays.items()}


def _load_pickle(path: Path) -> StateDict:
    try:
        import torch
    except ImportError as error:
        raise _missing("torch", path) from error
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


def _missing(package: str, path: Path) -> MissingDependencyError:
    return MissingDependencyError(
        f"Reading {path.name} needs the package {package}: install it with "
        "pip install 'twohand_jax[weights]'."
    )


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
    paths = [_name(path) for path, _ in jax.tree_util.tree_leaves_with_path(shapes)]
    wanted = {locate(path).name for path in paths}
    missing = sorted(wanted - set(state))
    left = sorted(n for n in set(state) - wanted if not re.fullmatch(ignored, n))
    if missing or left:
        raise InputError(
            f"{where} belongs to another network: it lacks {_list(missing)} and has "
            f"{_list(left)} besides what is expected."
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
                f"{leaf.shape}."
            )
        return np.ascontiguousarray(value.reshape(leaf.shape), np.float32)

    return jax.tree_util.tree_map_with_path(arranged, shapes)


def _name(path: Any) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/")


def _list(names: list[str], most: int = 3) -> str:
    if not names:
        return "nothing"
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(repr, names[:most])) + more
