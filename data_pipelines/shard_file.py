"""One shard on disk: written beside, renamed when complete, with a receipt.

The receipt (JSON in ``.shards/``) holds what the finished shard must look like, so that
a later run can tell a finished shard from a damaged one without reading its pictures.
"""

import dataclasses
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import google_crc32c
from tensorflow_datasets.core import example_serializer

from data_pipelines.features import features_dict, nest
from data_pipelines.source import Rejection, ShardSource
from twohand_jax.data import framing, schema

RECEIPTS = ".shards"
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
    partial = final.with_name(f"{final.name}.partial-{os.getpid()}")
    rejected = _Rejected()
    count = payload_bytes = crc = 0
    with partial.open("wb") as file:
        for payload in _payloads(source, split, shard, rejected, progress):
            framed = framing.frame(payload)
            file.write(framed)
            crc = google_crc32c.extend(crc, framed)
            payload_bytes += len(payload)
            count += 1
        file.flush()
        os.fsync(file.fileno())
        size = file.tell()
    receipt = Receipt(
        examples=count,
        file_bytes=size,
        payload_bytes=payload_bytes,
        crc32c=crc,
        rejected=dict(rejected.counts),
        rejected_samples=rejected.samples,
    )
    _save_receipt(directory, final.name, receipt)
    partial.replace(final)
    return receipt


def _payloads(
    source: ShardSource,
    split: str,
    shard: int,
    rejected: _Rejected,
    progress: Callable[[], None],
) -> Iterator[bytes]:
    """The shard's serialised examples; rejections go into ``rejected``."""
    features = features_dict()
    serializer = example_serializer.ExampleSerializer(features.get_serialized_info())
    name = file_name(source, split, shard)
    for number, example in enumerate(source.examples(split, shard)):
        progress()
        if isinstance(example, Rejection):
            rejected.add(example)
            continue
        schema.check(example, where=f"{name}, sample {number}")
        message = serializer.get_tf_example(features.encode_example(nest(example)))
        # Protobuf maps have no order of their own: ask for the sorted one.
        yield message.SerializeToString(deterministic=True)


def finished(
    directory: Path, source: ShardSource, split: str, shard: int
) -> Receipt | None:
    """The receipt of a shard that is on disk, whole and unchanged, else None."""
    final = directory / file_name(source, split, shard)
    path = _receipt_path(directory, final.name)
    if not (final.exists() and path.exists()):
        return None
    try:
        receipt = Receipt(**json.loads(path.read_text()))
    except (ValueError, TypeError):
        return None
    if final.stat().st_size != receipt.file_bytes:
        return None
    crc = google_crc32c.value(final.read_bytes())
    return receipt if crc == receipt.crc32c else None


def _receipt_path(directory: Path, shard_name: str) -> Path:
    return directory / RECEIPTS / f"{shard_name}.json"


def _save_receipt(directory: Path, shard_name: str, receipt: Receipt) -> None:
    path = _receipt_path(directory, shard_name)
    path.parent.mkdir(exist_ok=True)
    partial = path.with_name(f"{path.name}.partial-{os.getpid()}")
    partial.write_text(json.dumps(dataclasses.asdict(receipt), indent=1))
    partial.replace(path)
