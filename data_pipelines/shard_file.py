"""One shard on disk, written beside and renamed when complete; its records."""

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import tensorflow_datasets as tfds
from google.protobuf.message import DecodeError
from tensorflow_datasets.core import example_serializer
from tensorflow_datasets.proto import tf_example_pb2

from twohand_jax import files, paths, reading
from twohand_jax.crops.cue_table import CUE_KINDS, DEFAULT
from twohand_jax.data import schema, shards
from twohand_jax.errors import InputError
from twohand_jax.pipelines.labelled import Rejection, ShardSource

RECEIPTS = ".shards"
BLOCK = 1 << 24
KEPT_SAMPLES = 5


@dataclasses.dataclass(frozen=True)
class Receipt:
    """What a finished shard holds."""

    examples: int
    file_bytes: int
    payload_bytes: int
    crc32c: int
    rejected: dict[str, int]
    rejected_samples: dict[str, list[str]]

    def check(self) -> None:
        """See that a receipt that was read holds what it should.

        Raises:
            TypeError, ValueError: it does not.
        """
        numbers = (self.examples, self.file_bytes, self.payload_bytes, self.crc32c)
        if not all(type(n) is int for n in (*numbers, *self.rejected.values())):
            raise TypeError("a count is not a whole number")
        if self.rejected.keys() != self.rejected_samples.keys():
            raise ValueError("its rejections contradict each other")


def file_name(source: ShardSource, split: str, shard: int) -> str:
    """TFDS's name of a shard."""
    total = len(source.shard_sizes[split])
    return f"{source.name}-{split}.tfrecord-{shard:05d}-of-{total:05d}"


class _Rejected:
    """Counts rejections by reason and keeps the first few samples of each."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.samples: dict[str, list[str]] = {}

    def add(self, rejection: Rejection) -> None:
        self.counts[rejection.reason] += 1
        kept = self.samples.setdefault(rejection.reason, [])
        if len(kept) < KEPT_SAMPLES:
            kept.append(rejection.sample)


def write(
    directory: Path,
    source: ShardSource,
    split: str,
    shard: int,
    *,
    progress: Callable[[], None] = lambda: None,
) -> Receipt:
    """Write one shard and its receipt; ``progress`` is called after every sample."""
    final = directory / file_name(source, split, shard)
    rejected = _Rejected()
    count = size = payload_bytes = crc = 0

    def records() -> Iterator[bytes]:
        nonlocal count, size, payload_bytes, crc
        for payload in _payloads(source, split, shard, rejected, progress):
            framed = shards.frame_record(payload)
            yield framed
            crc = google_crc32c.extend(crc, framed)
            payload_bytes += len(payload)
            size += len(framed)
            count += 1

    files.write_bytes(final, records())
    if paths.is_mirrored(final):  # the store has it: many would fill the disk
        paths.leave(final)
    receipt = Receipt(
        examples=count,
        file_bytes=size,
        payload_bytes=payload_bytes,
        crc32c=crc,
        rejected=dict(rejected.counts),
        rejected_samples=rejected.samples,
    )
    files.write_json(_receipt_path(directory, final.name), dataclasses.asdict(receipt))
    return receipt


def _payloads(
    source: ShardSource,
    split: str,
    shard: int,
    rejected: _Rejected,
    progress: Callable[[], None],
) -> Iterator[bytes]:
    """The shard's serialised examples; rejections go into ``rejected``."""
    doubted = is_pseudo(source)
    features = features_dict(source.cues, is_pseudo=doubted)
    serializer = example_serializer.ExampleSerializer(features.get_serialized_info())
    name = file_name(source, split, shard)
    for number, example in enumerate(source.examples(split, shard)):
        progress()
        if isinstance(example, Rejection):
            rejected.add(example)
            continue
        where = f"{name}, sample {number}"
        schema.check(example, where=where, cues=source.cues, is_pseudo=doubted)
        message = serializer.get_tf_example(features.encode_example(nest(example)))
        # Protobuf maps have no order of their own: ask for the sorted one.
        yield message.SerializeToString(deterministic=True)


def finished(
    directory: Path, source: ShardSource, split: str, shard: int
) -> Receipt | None:
    """The receipt of a shard that is on disk, whole and unchanged, else None.

    Raises:
        UnreadableError: the system cannot read it.
    """
    final = directory / file_name(source, split, shard)
    path = _receipt_path(directory, final.name)
    there = paths.size(final)
    if there is None or not paths.fetch(path):
        return None
    try:
        receipt = Receipt(**reading.read_object(path, limit=reading.SETTINGS_BYTES))
        receipt.check()
    except (InputError, TypeError, ValueError, AttributeError):
        return None
    if there != receipt.file_bytes:
        return None
    if paths.is_mirrored(final):  # a store takes whole objects alone
        return receipt
    crc = reading.retried(lambda: _checksum(final), final)
    return receipt if crc == receipt.crc32c else None


def _checksum(path: Path) -> int:
    crc = 0
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            crc = google_crc32c.extend(crc, block)
    return crc


def _receipt_path(directory: Path, shard_name: str) -> Path:
    return directory / RECEIPTS / f"{shard_name}.json"


def is_pseudo(source: ShardSource) -> bool:
    """Whether a source's records say how certain their labels are; few sources do."""
    return bool(getattr(source, "is_pseudo", False))


def features_dict(
    cues: Sequence[str] = DEFAULT, *, is_pseudo: bool = False
) -> tfds.features.FeaturesDict:
    """The record as a nested ``FeaturesDict``; a slash in a name is one level.

    Args:
        cues: kinds of cues that the records hold.
        is_pseudo: whether they say how certain their labels are.
    """
    wanted = schema.features(cues, is_pseudo=is_pseudo)
    leaves = {feature.name: _connector(feature) for feature in wanted}
    return tfds.features.FeaturesDict(nest(leaves))


def nest(flat: Mapping[str, object]) -> dict[str, object]:
    """Nested dictionaries from names with slashes."""
    nested: dict = {}
    for name, value in flat.items():
        *parents, leaf = name.split("/")
        level = nested
        for parent in parents:
            level = level.setdefault(parent, {})
        level[leaf] = value
    return nested


def _connector(feature: schema.Feature) -> tfds.features.FeatureConnector:
    if feature.encoding is schema.Encoding.TEXT:
        return tfds.features.Text(doc=feature.doc)
    if feature.encoding is schema.Encoding.TENSOR:
        return tfds.features.Tensor(
            shape=feature.shape, dtype=feature.dtype, doc=feature.doc
        )
    return tfds.features.Image(
        shape=feature.shape,
        dtype=feature.dtype,
        encoding_format=feature.encoding.value,
        doc=feature.doc,
    )


def read_record(payload: bytes) -> dict[str, object]:
    """The flat example of a record; written again, it gives the same bytes.

    Pictures and maps stay encoded. Cues that the record lacks are left out, and so are
    features that this version does not know.

    Raises:
        InputError: it is not a record of this schema.
    """
    try:
        message = tf_example_pb2.Example.FromString(payload)
    except DecodeError as error:
        raise InputError("The record is not a tf.train.Example.") from error
    stored = message.features.feature
    held = [name for name in CUE_KINDS if f"cues/has_{name}" in stored]
    wanted = schema.features(held, is_pseudo=schema.DOUBT.name in stored)
    missing = sorted({one.name for one in wanted} - stored.keys())
    if missing:
        raise InputError(f"The record lacks the features {missing}.")
    example = {one.name: _value(one, stored[one.name]) for one in wanted}
    schema.check_version(int(np.asarray(example["schema_version"])), where="The record")
    return example


def _value(feature: schema.Feature, stored: Any) -> object:
    kind = stored.WhichOneof("kind")
    values = getattr(stored, kind).value if kind else []
    if feature.encoding is not schema.Encoding.TENSOR:
        if kind != "bytes_list" or len(values) != 1:
            raise InputError(
                f"Feature {feature.name!r} of the record is not a single text or file."
            )
        is_text = feature.encoding is schema.Encoding.TEXT
        return values[0].decode() if is_text else values[0]
    wanted = "float_list" if feature.dtype is np.float32 else "int64_list"
    if kind != wanted or len(values) != feature.size:
        raise InputError(
            f"Feature {feature.name!r} of the record holds {len(values)} values in "
            f"{kind}; {feature.size} in {wanted} are expected."
        )
    shape = [length or 0 for length in feature.shape]
    return np.array(values, feature.dtype).reshape(shape)
