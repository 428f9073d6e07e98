"""A directory of records: splits, shards, counts, and the TFRecord framing on disk."""

import dataclasses
import functools
import hashlib
import json
import os
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

import google_crc32c
import numpy as np

from twohand_jax import paths, reading
from twohand_jax.errors import InputError, MissingFileError

SHARD_BYTES = 64 << 30
INFO = "dataset_info.json"
FEATURES = "features.json"


@dataclasses.dataclass(frozen=True)
class Split:
    """The shards of one split, in order, with the number of records of each."""

    dataset: str
    name: str
    paths: tuple[str, ...]
    counts: tuple[int, ...]

    @property
    def num_records(self) -> int:
        """Records in all shards."""
        return sum(self.counts)

    @functools.cached_property
    def starts(self) -> np.ndarray:
        """Number of the first record of each shard, counted through the split."""
        return np.concatenate([[0], np.cumsum(self.counts)]).astype(np.int64)

    def locate(self, record: int) -> tuple[str, int]:
        """Shard file and number within it of a record of the split."""
        shard = int(np.searchsorted(self.starts, record, side="right")) - 1
        return self.paths[shard], int(record - self.starts[shard])


def open_split(directory: str | Path, name: str) -> Split:
    """Find a split's shards and check that all of them are there.

    Raises:
        InputError: the directory is not a record set, or the split is missing, empty
            or without some of its shards.
    """
    root = paths.local(directory)
    info = read_info(directory)
    splits = _shard_lengths(info)
    if name not in splits:
        raise InputError(
            f"{root} has no split {name!r}; it holds {sorted(splits) or 'none'}."
        )
    counts = splits[name]
    if sum(counts) == 0:
        raise InputError(f"Split {name!r} of {root} holds no records.")
    files = [
        f"{info['name']}-{name}.tfrecord-{index:05d}-of-{len(counts):05d}"
        for index in range(len(counts))
    ]
    present = paths.names(root)
    missing = [file for file in files if file not in present]
    if missing:
        raise InputError(
            f"{root} lacks {len(missing)} of the {len(files)} shards of split "
            f"{name!r}, the first is {missing[0]}: run the build again, finished "
            "shards are kept."
        )
    return Split(info["name"], name, tuple(str(root / f) for f in files), counts)


def digest(directory: str | Path, name: str) -> str:
    """Tells the records of a split from others, by what their set says of itself."""
    text = json.dumps([read_info(directory), name], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def split_names(directory: str | Path) -> list[str]:
    """Names of the splits in a record directory."""
    return list(_shard_lengths(read_info(directory)))


def cue_names(directory: str | Path) -> tuple[str, ...]:
    """Kinds of cues that a set's records hold, those included that nobody knows here.

    They are read from the list of features that lies beside the records.

    Raises:
        InputError: there is no such list, or it is damaged.
    """
    found = _feature_names(directory, "cues")
    return tuple(name[len("has_") :] for name in found if name.startswith("has_"))


def is_pseudo(directory: str | Path) -> bool:
    """Whether a set's records say how certain their labels are (``schema.DOUBT``).

    Raises:
        InputError: the list of features is not there, or damaged.
    """
    return "doubt" in _feature_names(directory, "hands")


def _feature_names(directory: str | Path, level: str) -> list[str]:
    """Names of the features under a part of the record's name."""
    path = paths.local(directory) / FEATURES
    try:
        features = reading.read_json(path)["featuresDict"]["features"]
        return list(features[level]["featuresDict"]["features"])
    except (InputError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} does not list the features of a record set: run the build of the "
            "set again, finished shards are kept."
        ) from error


def read_info(directory: str | Path) -> dict:
    """Read the TFDS metadata of a record directory.

    Raises:
        InputError: the metadata are missing or damaged.
    """
    path = paths.local(directory) / INFO
    try:
        info = reading.read_object(path)
    except MissingFileError as error:
        raise InputError(
            f"{directory} is not a record set: it has no {INFO}; give the directory "
            "that `twohand data build` wrote, or let the build finish."
        ) from error
    try:
        _shard_lengths(info)
        if not isinstance(info["name"], str):
            raise TypeError("its name is not text")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{path} does not describe a record set ({type(error).__name__}: {error}): "
            "run the build of the set again, finished shards are kept."
        ) from error
    return info


MAX_SHARDS, MAX_RECORDS = 1_000_000, 1 << 40


def _shard_lengths(info: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Records in each shard, by split."""
    lengths = {
        str(entry["name"]): tuple(int(count) for count in entry["shardLengths"])
        for entry in info.get("splits", [])
    }
    for name, counts in lengths.items():
        if len(counts) > MAX_SHARDS or min(counts, default=0) < 0:
            raise ValueError(f"split {name!r} has impossible shards")
        if sum(counts) > MAX_RECORDS:
            raise ValueError(f"split {name!r} has impossibly many records")
    return lengths


def read_shard(path: str, count: int) -> tuple[list[bytes], dict[int, str]]:
    """Every record of a shard, and what is wrong with the damaged ones by number.

    Args:
        path: shard file.
        count: how many records it should hold.

    Returns:
        ``count`` payloads, empty where damaged, and the problems in words.

    Raises:
        MissingFileError, UnreadableError: the file cannot be read, which says nothing
            of its records.
    """
    problems: dict[int, str] = {}
    payloads: list[bytes] = []
    data = reading.read_bytes(path, limit=SHARD_BYTES)
    for number, frame in enumerate(frames(data)):
        payloads.append(frame.payload or b"")
        if frame.problem:
            problems[number] = frame.problem
    for number in range(len(payloads), count):
        problems[number] = (
            f"it cannot be found; {len(payloads)} of {count} records can, in "
            f"{len(data)} bytes"
        )
    payloads += [b""] * (count - len(payloads))
    return payloads[:count], problems


def offset(path: str, number: int) -> int | None:
    """Byte at which a record of a shard begins, or None if it cannot be found."""
    found = _offsets(path)
    return found[number] if number < len(found) else None


@functools.lru_cache(maxsize=4)
def _offsets(path: str) -> tuple[int, ...]:
    try:
        paths.fetch(path)
        with open(path, "rb") as file:
            return tuple(offsets(file))
    except (OSError, OverflowError):
        return ()


def fits(path: str) -> bool:
    """Whether the lengths of a shard's records lead to its end exactly.

    TensorFlow's reader believes a length whose checksum is right, and asks for that
    much memory. Payloads are not looked at.

    Raises:
        MissingFileError, InputError, UnreadableError: as ``reading.read_bytes``.
    """

    def walk() -> bool:
        reading.check_file(path, limit=SHARD_BYTES)
        status = os.stat(path)
        return _fits(path, status.st_size, status.st_mtime_ns)

    return reading.retried(walk, path)


@functools.lru_cache(maxsize=1 << 16)
def _fits(path: str, size: int, changed: int) -> bool:
    """For each state of a file, told by its size and time of change, once."""
    del changed
    place = 0
    with open(path, "rb", buffering=0) as file:
        while place < size:
            file.seek(place)
            length = int.from_bytes(file.read(8), "little")
            if length == 0:  # zeros, as a power cut leaves them, are not records
                return False
            place += HEADER + length + FOOTER
    return place == size


HEADER, FOOTER = 12, 4


class Frame(NamedTuple):
    """One record of a shard, or what is wrong with it."""

    offset: int
    payload: bytes | None
    problem: str | None


def frame_record(payload: bytes) -> bytes:
    """The payload as one TFRecord."""
    length = struct.pack("<Q", len(payload))
    return b"".join(
        [
            length,
            struct.pack("<I", _masked_crc(length)),
            payload,
            struct.pack("<I", _masked_crc(payload)),
        ]
    )


def frames(data: bytes) -> Iterator[Frame]:
    """The records of a shard's bytes.

    A damaged payload is reported and skipped; after a damaged length or a truncation
    the rest cannot be found, so that frame is the last.
    """
    offset = 0
    while offset < len(data):
        header = data[offset : offset + HEADER]
        if len(header) < HEADER:
            yield Frame(offset, None, "the file ends inside of a record's header")
            return
        length, checksum = struct.unpack("<QI", header)
        if _masked_crc(header[:8]) != checksum:
            yield Frame(offset, None, "the checksum of the record's length is wrong")
            return
        start = offset + HEADER
        end = start + length
        if end + FOOTER > len(data):
            yield Frame(offset, None, "the file ends inside of the record")
            return
        payload = data[start:end]
        (checksum,) = struct.unpack("<I", data[end : end + FOOTER])
        if _masked_crc(payload) == checksum:
            yield Frame(offset, payload, None)
        else:
            yield Frame(offset, None, "the checksum of the record is wrong")
        offset = end + FOOTER


def offsets(file: IO[bytes]) -> Iterator[int]:
    """Where the records of a shard begin, from their headers alone.

    The last one is where the file ends early or a length is damaged.
    """
    offset = 0
    while header := file.read(HEADER):
        yield offset
        if len(header) < HEADER:
            return
        length, checksum = struct.unpack("<QI", header)
        if _masked_crc(header[:8]) != checksum:
            return
        offset += HEADER + length + FOOTER
        file.seek(offset)


def _masked_crc(data: bytes) -> int:
    crc = google_crc32c.value(data)
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF
