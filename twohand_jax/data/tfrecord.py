"""Reading record sets with tf.data: the only file of the library that uses TensorFlow.

tf.data reads whole windows of shards ahead in the background, brings their records
into the order of ``data.order`` and groups them; parsing is one TensorFlow call per
batch, and pictures are decoded by OpenCV in threads. The stream is a function of
(seed, step): batch k is the same however often the run was interrupted.
"""

import collections
import dataclasses
import functools
import os
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from twohand_jax.data import decode, order, schema, shards
from twohand_jax.data.canvas import CanvasConfig
from twohand_jax.data.decode import Rows
from twohand_jax.errors import InputError, MissingDependencyError
from twohand_jax.types import Batch, ManoParams

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
try:
    import tensorflow as tf
except ImportError as error:
    raise MissingDependencyError(
        "Reading record sets needs TensorFlow: pip install 'twohand_jax[data]'."
    ) from error

_MANO = ManoParams._fields
# The accelerator belongs to JAX; TensorFlow would reserve all of its memory.
tf.config.set_visible_devices([], "GPU")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReaderConfig:
    """What to read and how.

    Attributes:
        directory: record set as written by ``twohand data build``.
        split: name of the split.
        batch_size: records a batch of this process.
        canvas: size and coverage of the canvas.
        shuffle: whether to shuffle; without, records come as they lie on disk.
        seed: of the order.
        window_shards: shards mixed with each other, and held in memory.
        workers: decoding threads.
        skip_corrupt: count damaged records and give them weight 0 instead of stopping.
    """

    directory: str
    split: str = "train"
    batch_size: int = 48
    canvas: CanvasConfig = CanvasConfig()
    shuffle: bool = True
    seed: int = 0
    window_shards: int = 8
    workers: int = 2
    skip_corrupt: bool = False


class Reader:
    """Batches of one process's share of a split.

    ``skipped`` lists what was wrong with each damaged record that was passed over.
    """

    def __init__(
        self, config: ReaderConfig, *, process: int = 0, num_processes: int = 1
    ) -> None:
        self.config = config
        self.split = shards.open_split(config.directory, config.split)
        self.skipped: list[str] = []
        total = len(self.split.paths)
        self._shards = order.assign(total, process, num_processes)
        self._order = order.Order(
            counts=tuple(self.split.counts[number] for number in self._shards),
            shuffle=config.shuffle,
            seed=config.seed,
            window_shards=config.window_shards,
        )
        longest = max(
            sum(self.split.counts[n] for n in order.assign(total, p, num_processes))
            for p in range(num_processes)
        )
        self._steps_once = -(-longest // config.batch_size)
        self._steps_per_epoch = max(
            1, self.split.num_records // (config.batch_size * num_processes)
        )

    @property
    def steps_per_epoch(self) -> int:
        """Batches in which all processes together see about every record once."""
        return self._steps_per_epoch

    def batches(self, step: int = 0) -> Iterator[Batch]:
        """Endless stream of full batches from batch number ``step`` on."""
        yield from self._read(self._order.stream(step * self.config.batch_size))

    def once(self) -> Iterator[Batch]:
        """Every record of the process once, the last batch padded with weight 0.

        Every process yields the same number of batches.
        """
        yield from self._read(self._order.stream(epochs=1), self._steps_once)

    def rows(self) -> Iterator[Rows]:
        """Every record of the process once, parsed, pictures still encoded."""
        yield from self._rows(self._order.stream(epochs=1))

    def describe(self, record: int) -> str:
        """Shard file and number of a record, for messages and dumps."""
        path, number = self.split.locate(record)
        return f"record {number} of {path}"

    def _read(
        self, stream: Iterator[order.Window], steps: int | None = None
    ) -> Iterator[Batch]:
        """Batches; the next one is being decoded while one is handed out."""
        ahead: collections.deque[decode.Pending] = collections.deque()
        with ThreadPoolExecutor(self.config.workers) as pool:
            for rows in self._rows(stream, steps):
                ahead.append(decode.start(rows, config=self.config.canvas, pool=pool))
                if len(ahead) > 1:
                    yield decode.finish(ahead.popleft(), self._damaged)
            while ahead:
                yield decode.finish(ahead.popleft(), self._damaged)

    def _rows(
        self, stream: Iterator[order.Window], steps: int | None = None
    ) -> Iterator[Rows]:
        problems: dict[int, str] = {}
        size = self.config.batch_size
        made = 0
        for payloads, records in _serialized(
            self.split, self._shards, stream, problems, size
        ):
            for payload, record in zip(payloads, records, strict=True):
                if not payload:
                    self._damaged(int(record), problems[int(record)])
            yield self._parse(payloads, records)
            made += 1
        while steps is not None and made < steps:
            yield self._parse([], np.zeros(0, np.int64))
            made += 1

    def _parse(self, payloads: list[bytes], records: np.ndarray) -> Rows:
        """Parse a batch and fill it up; what does not parse becomes unusable."""
        missing = self.config.batch_size - len(payloads)
        payloads = payloads + [b""] * missing
        records = np.concatenate([records, np.zeros(missing, np.int64)])
        try:
            fields = _parse([payload or _blank() for payload in payloads])
        except tf.errors.InvalidArgumentError:
            for index, payload in enumerate(payloads):
                problem = payload and _parse_problem(payload)
                if problem:
                    self._damaged(int(records[index]), str(problem))
                    payloads[index] = b""
            fields = _parse([payload or _blank() for payload in payloads])
        usable = np.array([bool(payload) for payload in payloads])
        version = fields["schema_version"]
        for row in np.flatnonzero(usable & (version != schema.SCHEMA_VERSION)):
            where = self.describe(int(records[row]))
            schema.check_version(int(version[row]), where=where)
        return Rows(fields, records, usable)

    def _damaged(self, record: int, problem: str) -> None:
        sentence = f"{self.describe(record)} is damaged: {problem}"
        if not self.config.skip_corrupt:
            raise InputError(
                f"{sentence[0].upper()}{sentence[1:]}. Build this shard again, or "
                "read with skip_corrupt to leave such records out."
            )
        self.skipped.append(sentence)


def read_mano(directory: str, split: str) -> tuple[ManoParams, np.ndarray]:
    """MANO parameters of all records of a split, and which hands have them ``(n, 2)``.

    Pictures are not decoded.
    """
    config = ReaderConfig(directory=directory, split=split, shuffle=False)
    parts = [
        [rows.fields[f"mano/{name}"][rows.usable] for name in (*_MANO, "valid")]
        for rows in Reader(config).rows()
    ]
    *params, valid = (np.concatenate(column) for column in zip(*parts, strict=True))
    return ManoParams(*params), valid.astype(bool)


def _serialized(
    split: shards.Split,
    numbers: np.ndarray,
    stream: Iterator[order.Window],
    problems: dict[int, str],
    batch_size: int,
) -> Iterator[tuple[list[bytes], np.ndarray]]:
    """Serialised records with their numbers, in groups of ``batch_size``."""

    def load(chosen: np.ndarray, records: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        payloads: list[bytes] = []
        ids = []
        for shard in numbers[chosen]:
            found, damaged = shards.read_shard(split.paths[shard], split.counts[shard])
            start = int(split.starts[shard])
            problems.update({start + n: text for n, text in damaged.items()})
            payloads += found
            ids.append(start + np.arange(len(found)))
        ordered = np.array([payloads[record] for record in records], object)
        return ordered, np.concatenate(ids)[records]

    signature = tf.TensorSpec((None,), tf.int64)
    windows = tf.data.Dataset.from_generator(
        lambda: stream, output_signature=(signature, signature)
    )
    loaded = windows.map(
        lambda *window: tf.numpy_function(load, window, (tf.string, tf.int64))
    )
    yield from _regroup(loaded.prefetch(1).as_numpy_iterator(), batch_size)


def _regroup(
    windows: Iterator[tuple[np.ndarray, np.ndarray]], size: int
) -> Iterator[tuple[list[bytes], np.ndarray]]:
    """Groups of ``size`` records across the windows' borders; the last is shorter."""
    payloads: list[bytes] = []
    records = np.zeros(0, np.int64)
    for found, numbers in windows:
        payloads += found.tolist()
        records = np.concatenate([records, numbers])
        full = len(payloads) - len(payloads) % size
        for start in range(0, full, size):
            yield payloads[start : start + size], records[start : start + size]
        payloads, records = payloads[full:], records[full:]
    if payloads:
        yield payloads, records


@functools.cache
def _specification() -> dict[str, "tf.io.FixedLenFeature"]:
    return {feature.name: _slot(feature) for feature in schema.FEATURES}


def _slot(feature: schema.Feature) -> "tf.io.FixedLenFeature":
    if feature.encoding is not schema.Encoding.TENSOR:
        return tf.io.FixedLenFeature((), tf.string)
    real = np.dtype(feature.dtype).kind == "f"
    return tf.io.FixedLenFeature(feature.shape, tf.float32 if real else tf.int64)


def _parse(payloads: list[bytes]) -> decode.Fields:
    parsed = tf.io.parse_example(payloads, _specification())
    return {name: tensor.numpy() for name, tensor in parsed.items()}


def _parse_problem(payload: bytes) -> str | None:
    try:
        tf.io.parse_single_example(payload, _specification())
    except tf.errors.InvalidArgumentError as error:
        found = re.search(r"(?:Feature|Key): ([\w/]+)", error.message)
        name = f"feature {found.group(1)!r}" if found else "a feature"
        return f"{name} is missing or has another type or shape"
    return None


@functools.cache
def _blank() -> bytes:
    """A record of zeros that stands in for one that is not there."""
    example = tf.train.Example()
    for feature in schema.FEATURES:
        slot = example.features.feature[feature.name]
        if feature.encoding is not schema.Encoding.TENSOR:
            slot.bytes_list.value.append(b"")
        elif np.dtype(feature.dtype).kind == "f":
            slot.float_list.value.extend([0.0] * feature.size)
        else:
            slot.int64_list.value.extend([0] * feature.size)
    return example.SerializeToString()
