"""The config of a run, saved when it begins and compared when it goes on."""

import json
import zlib
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from twohand_jax import files, reading
from twohand_jax.errors import InputError
from twohand_jax.weights import native


def agree(path: Path, config: dict[str, Any]) -> None:
    """Save the run's config, or refuse to resume when it differs from the saved.

    Args:
        path: of the file; shared by all processes.
        config: the whole experiment.

    Raises:
        InputError: the configs differ; the message names every such field with both
            values.
    """
    text = json.dumps(config, indent=2, sort_keys=True)
    if not _same_everywhere(text):
        raise InputError(
            "The processes of this run were started with different configs: give "
            "all of them the same command."
        )
    if not path.exists():
        if jax.process_index() == 0:
            files.write_text(path, text)
        return
    saved = _flat(native.current(_saved(path)))
    wanted = _flat(native.current(json.loads(text)))
    names = sorted(saved.keys() | wanted.keys())
    changes = [
        f"{name}: {saved.get(name)!r} → {wanted.get(name)!r}"
        for name in names
        if saved.get(name) != wanted.get(name)
    ]
    if changes:
        raise InputError(
            f"{path} was written by another config "
            f"({'; '.join(changes)}); resume with the old one or give a new "
            "--workdir."
        )


def _saved(path: Path) -> dict[str, Any]:
    try:
        return reading.read_object(path, limit=reading.SETTINGS_BYTES)
    except InputError as error:
        raise InputError(
            f"{error} If this is the config that the run began with, delete that "
            "file and run the same command again."
        ) from error


def _same_everywhere(text: str) -> bool:
    if jax.process_count() == 1:
        return True
    digest = np.array(zlib.crc32(text.encode()), np.uint32)
    return len(np.unique(multihost_utils.process_allgather(digest))) == 1


def _flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(tree, dict):
        return {prefix: tree}
    out: dict[str, Any] = {}
    for key, value in tree.items():
        out |= _flat(value, f"{prefix}.{key}" if prefix else str(key))
    return out
