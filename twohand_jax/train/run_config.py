"""The config of a run, saved when it begins and compared when it goes on."""

import json
import sys
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from twohand_jax import files, reading
from twohand_jax.errors import InputError
from twohand_jax.weights import native

RECORDS = "records.json"  # beside the config
# What a run reports, what it keeps and how it reads: not what it learns.
FREE = frozenset(
    (
        *("train.log_every", "train.save_every", "train.keep_checkpoints"),
        *("train.evaluate_every", "train.picture_every", "data.workers"),
        *("train.trackers", "train.background_saves"),
    )
)
LENGTHS = "train.total_steps", "optim.total_steps"
PLACES = "data.train", "data.test"
ENDS_WITH_THE_RUN = "cosine"
Change = tuple[str, Any, Any]


def agree(
    path: Path, config: dict[str, Any], records: Mapping[str, str] | None = None
) -> None:
    """Save the run's config, or refuse to resume when it differs from the saved.

    What does not change the mathematics of the steps may differ (``FREE``); a run may
    get longer, if its schedule does not depend on its length; and data may have moved,
    if they are the same records. A sentence on stderr says what is different now.

    Args:
        path: of the file; shared by all processes.
        config: the whole experiment.
        records: by the name of a field of ``PLACES``, what tells its records from
            others.

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
    held = dict(records or {})
    if not path.exists():
        _save(path, text, held)
        return
    saved = flat(native.current(_saved(path)))
    wanted = flat(native.current(json.loads(text)))
    changes = [
        (name, saved.get(name), wanted.get(name))
        for name in sorted(saved.keys() | wanted.keys())
        if saved.get(name) != wanted.get(name)
    ]
    before = _known_records(path.parent / RECORDS)
    refused = [
        f"{name}: {old!r} → {new!r}{why}"
        for name, old, new in changes
        if (why := _objection((name, old, new), saved, before, held)) is not None
    ]
    if refused:
        raise InputError(
            f"{path} was written by another config "
            f"({'; '.join(refused)}); resume with the old one or give a new "
            "--workdir."
        )
    if changes and jax.process_index() == 0:
        told = "; ".join(f"{name}: {old!r} → {new!r}" for name, old, new in changes)
        print(f"The run goes on with changes: {told}.", file=sys.stderr)
    if changes:
        _save(path, text, held)


def _objection(
    change: Change,
    saved: Mapping[str, Any],
    before: Mapping[str, str],
    held: Mapping[str, str],
) -> str | None:
    """Why a field may not change, to stand behind its values; None if it may."""
    name, old, new = change
    if name in FREE:
        return None
    if name in LENGTHS:
        return _longer(old, new, saved)
    if name in PLACES and _without_places(old) == _without_places(new):
        if name not in before or name not in held:
            return ", and what records the old place held is not known"
        if before[name] != held[name]:
            return ", which holds other records"
        return None
    return ""


def _longer(old: Any, new: Any, saved: Mapping[str, Any]) -> str | None:
    if not isinstance(old, int) or not isinstance(new, int) or new <= old:
        return ", but a run can only get longer"
    if saved.get("optim.schedule") == ENDS_WITH_THE_RUN:
        return ", but its cosine schedule ends with the run"
    return None


def _without_places(sets: Any) -> Any:
    """Everything that a config says of sets but for where they lie."""
    if isinstance(sets, list):
        return [
            {key: value for key, value in one.items() if key != "directory"}
            for one in sets
        ]
    return type(sets)


def _save(path: Path, text: str, records: Mapping[str, str]) -> None:
    if jax.process_index() == 0:
        if records:
            files.write_json(path.parent / RECORDS, dict(records))
        files.write_text(path, text)


def _known_records(path: Path) -> dict[str, str]:
    try:
        return reading.read_object(path, limit=reading.SETTINGS_BYTES)
    except InputError:
        return {}


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


def flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    """The fields of nested sections, by their names with dots."""
    if not isinstance(tree, dict):
        return {prefix: tree}
    out: dict[str, Any] = {}
    for key, value in tree.items():
        out |= flat(value, f"{prefix}.{key}" if prefix else str(key))
    return out
