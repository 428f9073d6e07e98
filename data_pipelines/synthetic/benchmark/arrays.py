"""Named arrays in a file whose bytes follow from the arrays alone."""

import io
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from twohand_jax.errors import InputError

_EPOCH = (1980, 1, 1, 0, 0, 0)


def save(path: Path, columns: Mapping[str, np.ndarray]) -> None:
    """Write an npz beside its place, then rename; ``np.savez`` would add the date."""
    partial = path.with_name(f"{path.name}.partial")
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as file:
        for name, column in columns.items():
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, np.ascontiguousarray(column))
            member = zipfile.ZipInfo(f"{name}.npy", _EPOCH)
            member.compress_type = zipfile.ZIP_DEFLATED
            file.writestr(member, buffer.getvalue())
    partial.replace(path)


def load(path: Path, names: Iterable[str]) -> dict[str, np.ndarray]:
    """Read the named columns.

    Raises:
        InputError: the file is not there, damaged, or lacks a column.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in names}
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{path}, a file of the synthetic benchmark, cannot be read ({error}): "
            "install twohand_jax again."
        ) from error
