"""Sets of two-hand poses without pictures, on which the prior is trained.

A pose set is a directory with ``poses.json`` and shards ``SPLIT-00000.npz``, each of
which has the arrays of a ``ManoParams``. Record sets with MANO fits of both hands can
be read as pose sets, too.
"""

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from twohand_jax import files, paths, reading
from twohand_jax.data import shards
from twohand_jax.data.order import Order
from twohand_jax.errors import InputError, MissingFileError
from twohand_jax.types import Array, ManoParams

INFO = "poses.json"
_SHAPES = {
    "global_orient": (2, 3),
    "hand_pose": (2, 15, 3),
    "betas": (2, 10),
    "transl": (2, 3),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class PoseSetInfo:
    """The content of ``poses.json``.

    Attributes:
        model: name of the hand model.
        splits: number of poses in each shard, by split.
        settings: settings of the generator, which determine every number in the set.
    """

    model: str
    splits: Mapping[str, tuple[int, ...]]
    settings: Mapping[str, Any]


class PairBatch(NamedTuple):
    """Pairs of hands as vectors of the prior, reference first, not normalised.

    ``record`` is the number of the pair in its split. Each pair occurs twice, with
    either hand as reference. ``weight`` is 0 for padding.
    """

    vectors: Float[Array, "b 2 64"]
    weight: Float[Array, "b"]
    record: Int[Array, "b"]


def batches(
    vectors: Float[np.ndarray, "n 2 64"],
    step: int,
    *,
    batch_size: int,
    seed: int,
    process: int = 0,
    num_processes: int = 1,
) -> Iterator[PairBatch]:
    """Endless stream of one process's shuffled batches, beginning with batch ``step``.

    It is a function of (seed, step), like that of the record reader.

    Args:
        vectors: all pairs.
        step: number of the first batch.
        batch_size: number of rows of this process.
        seed: seed of the order.
        process: this process's number; it gets every ``num_processes``-th pair.
        num_processes: number of processes.
    """
    own = np.arange(process, len(vectors), num_processes)
    if len(own) == 0:
        raise InputError(
            f"{num_processes} processes cannot share {len(vectors)} pairs of hands."
        )
    stream = Order(counts=(len(own),), seed=seed).stream(step * batch_size)
    rows = np.zeros(0, np.int64)
    for window in stream:
        rows = np.concatenate([rows, own[window.records]])
        while len(rows) >= batch_size:
            chosen, rows = rows[:batch_size], rows[batch_size:]
            ones = np.ones(batch_size, np.float32)
            yield PairBatch(vectors[chosen], ones, chosen.astype(np.int32))


def load(directory: str | Path, split: str) -> ManoParams:
    """Load all pairs of a split into memory, as float32.

    Args:
        directory: a pose set, or a record set, of which records with a MANO fit of
            both hands are used.
        split: "train" or "test".

    Raises:
        InputError: there is no such set or split, a shard is damaged, or no pair is
            left.
    """
    place = paths.local(directory)
    if (place / INFO).is_file():
        return _load_poses(place, split)
    if (place / shards.INFO).is_file():
        return _load_records(directory, split)
    raise InputError(
        f"{directory} holds neither {INFO} nor {shards.INFO}: give a pose set "
        "(twohand data build poses) or a record set."
    )


def digest(directory: str | Path, split: str) -> str:
    """Tells the poses or records of a split from others, by what their set says.

    Raises:
        InputError: there is no such set.
    """
    place = paths.local(directory)
    if not (place / INFO).is_file():
        return shards.digest(directory, split)
    text = json.dumps([dataclasses.asdict(read_info(place)), split], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def read_info(directory: str | Path) -> PoseSetInfo:
    """Read the description of a pose set."""
    path = paths.local(directory) / INFO
    try:
        content = reading.read_object(path)
        splits = {name: tuple(sizes) for name, sizes in content["splits"].items()}
        if not all(type(n) is int and n >= 0 for s in splits.values() for n in s):
            raise ValueError("a shard's size is not a whole number")
        return PoseSetInfo(
            model=str(content["model"]),
            splits=splits,
            settings=dict(content["settings"]),
        )
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise InputError(f"{path} does not describe a pose set: {error}") from error


def shard_path(directory: Path, split: str, shard: int) -> Path:
    """File of a shard."""
    return directory / f"{split}-{shard:05d}.npz"


def begin(directory: Path, info: PoseSetInfo) -> None:
    """Create the directory of a set, or check that it was begun with the same settings.

    Raises:
        InputError: it holds another set, or cannot be written.
    """
    path = directory / INFO
    if path.exists():
        found = read_info(directory)
        if found != info:
            raise InputError(
                f"{directory} was begun with other settings ({dict(found.settings)}): "
                "continue with the same ones or choose an empty directory."
            )
        return
    files.write_json(path, dataclasses.asdict(info))


def write_shard(directory: Path, split: str, shard: int, params: ManoParams) -> None:
    """Write one shard, complete or not at all."""
    path = shard_path(directory, split, shard)
    files.write_npz(path, params._asdict(), compressed=False)


def _load_poses(directory: Path, split: str) -> ManoParams:
    info = read_info(directory)
    if split not in info.splits:
        raise InputError(
            f"{directory} has no split {split!r}; it holds {sorted(info.splits)}."
        )
    parts = [
        _read_shard(shard_path(directory, split, number), count)
        for number, count in enumerate(info.splits[split])
    ]
    return ManoParams(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _read_shard(path: Path, count: int) -> ManoParams:
    try:
        arrays = reading.read_npz(path, _SHAPES)
    except MissingFileError as error:
        raise InputError(
            f"{path} is missing: run the build again, finished shards are kept."
        ) from error
    except InputError as error:
        raise InputError(
            f"{error} Delete this pose shard and build it again."
        ) from error
    for name, shape in _SHAPES.items():
        found = arrays[name]
        is_real = found.dtype.kind in "fiu"
        if found.shape != (count, *shape) or not (is_real and np.isfinite(found).all()):
            raise InputError(
                f"{path}: {name} is {found.shape}, expected finite {(count, *shape)}; "
                "delete the shard and build it again."
            )
    return ManoParams(**{k: v.astype(np.float32) for k, v in arrays.items()})


def _load_records(directory: str | Path, split: str) -> ManoParams:
    """The pairs of a record set; loads TensorFlow."""
    from twohand_jax.data.tfrecord import read_mano

    params, valid = read_mano(str(directory), split)
    both = valid.all(axis=-1)
    if not both.any():
        raise InputError(
            f"Split {split!r} of {directory} has no record with a MANO fit of both "
            "hands, so a prior cannot be trained on it."
        )
    return ManoParams(*(value[both] for value in params))
