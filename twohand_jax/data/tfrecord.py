"""Reading record sets with tf.data: the only file of the library that uses TensorFlow.

tf.data reads whole windows of shards ahead in its own threads; records are taken from
them in the order of ``data.order`` and parsed by one compiled TensorFlow call a batch,
and ``data.decode`` decodes pictures in threads. The stream is a function of (seed,
step): batch k is the same however often the run was interrupted.

There is no ``Dataset.from_generator`` here: it makes the C library return freed memory
at once (M_TRIM_THRESHOLD), after which decoding takes half as long again.
"""

import dataclasses
import functools
import itertools
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from twohand_jax import extras, paths
from twohand_jax.crops import cue_table
from twohand_jax.crops.canvas import CanvasConfig
from twohand_jax.data import decode, order, schema, shards
from twohand_jax.data.decode import RecordFields, Rows
from twohand_jax.data.order import Group, Piece, regroup
from twohand_jax.errors import InputError
from twohand_jax.types import Batch, ManoParams

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
with extras.needed_for("Reading record sets needs", "data"):
    import tensorflow as tf

_MANO = ManoParams._fields
_NONE = np.zeros(0, np.int64)
_AHEAD = 16  # windows whose order is fixed together
_BUFFER_BYTES = 1 << 20
# The accelerator belongs to JAX; TensorFlow would reserve all of its memory.
tf.config.set_visible_devices([], "GPU")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReaderConfig:
    """Settings of a reader.

    Attributes:
        directory: record set written by ``twohand data build``.
        split: name of the split.
        batch_size: number of records in a batch of this process.
        cues: kinds of cues to read; if a record lacks one, its flag is false.
        canvas: size and coverage of the canvas.
        shuffle: whether to shuffle; otherwise records come in their order on disk.
        seed: seed of the order.
        window_shards: number of shards that are in memory and mixed at a time.
        workers: number of decoding threads.
        skip_corrupt: whether to count damaged records and give them weight 0, instead
            of stopping.
    """

    directory: str
    split: str = "train"
    batch_size: int = 48
    cues: tuple[str, ...] = cue_table.DEFAULT
    canvas: CanvasConfig = CanvasConfig()
    shuffle: bool = True
    seed: int = 0
    window_shards: int = 8
    workers: int = 2
    skip_corrupt: bool = False


class Reader:
    """Batches of one process's share of a split.

    ``skipped`` lists the problem of each damaged record that was skipped.
    """

    def __init__(
        self, config: ReaderConfig, *, process: int = 0, num_processes: int = 1
    ) -> None:
        self.config = config
        self.split = shards.open_split(config.directory, config.split)
        self.skipped: list[str] = []
        counts = self.split.counts
        self._slices = order.share(counts, process, num_processes)
        self._order = order.Order(
            counts=tuple(one.stop - one.start for one in self._slices),
            shuffle=config.shuffle,
            seed=config.seed,
            window_shards=config.window_shards,
        )
        if config.shuffle and self.split.num_records < num_processes:
            raise InputError(
                f"{num_processes} processes cannot share the "
                f"{self.split.num_records} records of split {config.split!r} of "
                f"{config.directory}: use fewer processes."
            )
        self.num_processes = num_processes
        self.longest_share = order.longest_share(counts, num_processes)

    @property
    def steps_per_epoch(self) -> int:
        """Number of batches in which all processes read about every record once."""
        return max(
            1, self.split.num_records // (self.config.batch_size * self.num_processes)
        )

    def batches(self, step: int = 0) -> Iterator[Batch]:
        """Endless stream of full batches, beginning with batch number ``step``."""
        size = self.config.batch_size
        return self._assemble(self.groups(step * size, itertools.repeat(size)))

    def once(
        self, *, skip: int = 0, watch: Callable[[Rows], None] | None = None
    ) -> Iterator[Batch]:
        """Every record of the process once, the last batch padded with weight 0.

        Every process yields the same number of batches.

        Args:
            skip: batches to leave out at the beginning, which are not read.
            watch: shown the parsed rows of each batch before its pictures are decoded.
        """
        groups = self.groups_once(self.config.batch_size, skip=skip)
        return self._assemble(groups, watch)

    def rows(self) -> Iterator[Rows]:
        """Every record of the process once, parsed, pictures still encoded."""
        size = self.config.batch_size
        return parse(self.groups_once(size), size, self.describe, self.report)

    def picked(self, records: Sequence[int]) -> Iterator[Batch]:
        """Some records of the split, in this order, in padded batches.

        Args:
            records: their numbers, which need not be this process's.
        """
        shown: dict[str, list[bytes]] = {}
        payloads = []
        for record in records:
            path, number = self.split.locate(record)
            if path not in shown:
                count = self.split.counts[self.split.paths.index(path)]
                shown[path] = shards.read_shard(path, count)[0]
            payloads.append(shown[path][number] or _blank())
        size = self.config.batch_size
        groups = (
            Group(tf.constant(payloads[n : n + size]), part, np.ones(len(part), bool))
            for n in range(0, len(payloads), size)
            for part in [np.asarray(records[n : n + size], np.int64)]
        )
        return self._assemble(groups)

    def groups(self, position: int, sizes: Iterable[int]) -> Iterator[Group]:
        """Consecutive groups of these sizes from the ``position``-th record on."""
        return self._groups(self._order.stream(position), sizes)

    def groups_once(self, size: int, *, skip: int = 0) -> Iterator[Group]:
        """The process's records once; as many groups, some empty, on each process."""
        position = min(skip * size, self._order.num_records)
        stream = self._order.stream(position, epochs=1)
        number = max(-(-self.longest_share // size) - skip, 0)
        return self._groups(stream, itertools.repeat(size, number))

    def describe(self, record: int) -> str:
        """Shard file, number and place of a record, for messages and dumps."""
        path, number = self.split.locate(record)
        offset = shards.offset(path, number)
        place = "" if offset is None else f" at byte {offset}"
        return f"record {number} of {path}{place}"

    def report(self, record: int, problem: str) -> None:
        """Stop at a damaged record, or count it, as the config says.

        Raises:
            InputError: the config does not skip damaged records.
        """
        sentence = f"{self.describe(record)} is damaged: {problem}"
        if not self.config.skip_corrupt:
            raise InputError(
                f"{sentence[0].upper()}{sentence[1:]}. Build this shard again, or "
                "read with skip_corrupt to leave such records out."
            )
        self.skipped.append(sentence)

    def _assemble(
        self,
        groups: Iterator[Group],
        watch: Callable[[Rows], None] | None = None,
    ) -> Iterator[Batch]:
        rows = parse(groups, self.config.batch_size, self.describe, self.report)
        if watch is not None:
            rows = _watched(rows, watch)
        return decode.batches(
            rows,
            config=self.config.canvas,
            cues=self.config.cues,
            workers=self.config.workers,
            report=self.report,
        )

    def _groups(
        self, stream: Iterator[order.ShuffleWindow], sizes: Iterable[int]
    ) -> Iterator[Group]:
        windows = _windows(self.split, self._slices, stream)
        for pieces in regroup(windows, sizes):
            records = np.concatenate([_NONE, *(piece.records for piece in pieces)])
            usable = np.ones(len(records), bool)
            for row, record in enumerate(records.tolist()):
                problem = next(
                    (p.problems[record] for p in pieces if record in p.problems), None
                )
                if problem:
                    self.report(record, problem)
                    usable[row] = False
            yield Group(_gather(pieces), records, usable)


def interleave(groups: Sequence[Group], chosen: np.ndarray) -> Group:
    """One group of several: at place k the next record of group ``chosen[k]``."""
    place = np.argsort(np.argsort(chosen, kind="stable"), kind="stable")
    payloads = tf.concat([group.payloads for group in groups], axis=0)
    return Group(
        tf.gather(payloads, place),
        np.concatenate([group.records for group in groups])[place],
        np.concatenate([group.usable for group in groups])[place],
    )


def parse(
    groups: Iterator[Group],
    size: int,
    describe: Callable[[int], str],
    report: Callable[[int, str], None],
) -> Iterator[Rows]:
    """Parse groups and fill them up to ``size``.

    Args:
        groups: of at most ``size`` records.
        size: rows of each result.
        describe: where a record lies, by its number.
        report: called with the number of a record that cannot be used and a sentence;
            if it returns, the row is not usable.
    """
    for payloads, records, usable in groups:
        missing = size - len(records)
        if missing:
            payloads = tf.concat([payloads, [_blank()] * missing], axis=0)
            records = np.concatenate([records, np.zeros(missing, np.int64)])
            usable = np.concatenate([usable, np.zeros(missing, bool)])
        try:
            fields = _parse(payloads)
        except tf.errors.InvalidArgumentError:
            fields, problems = _parse_one_by_one(payloads)
            schema.leave_out(problems, records, usable, report)
        schema.check_versions(fields["schema_version"], records, usable, describe)
        schema.leave_out(schema.settle_labels(fields), records, usable, report)
        yield Rows(fields, records, usable)


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


def _watched(rows: Iterator[Rows], watch: Callable[[Rows], None]) -> Iterator[Rows]:
    for part in rows:
        watch(part)
        yield part


def _windows(
    split: shards.Split,
    slices: Sequence[order.Slice],
    stream: Iterator[order.ShuffleWindow],
) -> Iterator[Piece]:
    """The windows' records, one window being read ahead."""
    numbers = np.array([one.shard for one in slices], np.int64)
    for ahead in _fetched(split, numbers, stream):
        chosen = [numbers[window.shards] for window in ahead]
        longest = max(len(shard_numbers) for shard_numbers in chosen)
        # One that does not fit is left out here and read record by record below.
        named = [
            [split.paths[n] if shards.fits(split.paths[n]) else "" for n in window]
            for window in chosen
        ]
        padded = [names + [""] * (longest - len(names)) for names in named]
        loaded = iter(tf.data.Dataset.from_tensor_slices(padded).map(_load).prefetch(1))
        for window, shard_numbers in zip(ahead, chosen, strict=True):
            places, records = _positions(split, [slices[n] for n in window.shards])
            problems: dict[int, str] = {}
            try:
                payloads = next(loaded)
                wanted = sum(split.counts[number] for number in shard_numbers)
                whole = payloads.shape[0] == wanted
            except tf.errors.OpError:
                whole = False
            if not whole:
                payloads, problems = _load_damaged(split, shard_numbers)
            own = window.records
            yield Piece(payloads, places[own], records[own], problems)


def _positions(
    split: shards.Split, slices: Sequence[order.Slice]
) -> tuple[np.ndarray, np.ndarray]:
    """Where a process's records lie among all of some shards, and their numbers."""
    places, records, before = [], [], 0
    for shard, start, stop in slices:
        inside = np.arange(start, stop)
        places.append(before + inside)
        records.append(int(split.starts[shard]) + inside)
        before += split.counts[shard]
    return np.concatenate(places), np.concatenate(records)


def _fetched(
    split: shards.Split, numbers: np.ndarray, stream: Iterator[order.ShuffleWindow]
) -> Iterator[list[order.ShuffleWindow]]:
    """Some windows at a time; a store's shards come while those before are read."""
    if not paths.is_mirrored(split.paths[0]):
        while ahead := list(itertools.islice(stream, _AHEAD)):
            yield ahead
        return

    def files_of(window: order.ShuffleWindow | None) -> list[str]:
        chosen = [] if window is None else numbers[window.shards]
        return [split.paths[number] for number in chosen]

    with ThreadPoolExecutor(1) as thread:
        now = next(stream, None)
        coming = thread.submit(paths.fetch_all, files_of(now))
        while now is not None:
            coming.result()
            later = next(stream, None)
            # Those of this window again, so that they do not leave for the next one's.
            both = [*files_of(later), *files_of(now)]
            coming = thread.submit(paths.fetch_all, both)
            yield [now]
            now = later


def _load(names: "tf.Tensor") -> "tf.Tensor":
    """All records of some shards."""
    names = tf.boolean_mask(names, names != "")
    records = tf.data.TFRecordDataset(names, buffer_size=_BUFFER_BYTES)
    return records.batch(1 << 40).get_single_element()


def _load_damaged(
    split: shards.Split, numbers: np.ndarray
) -> tuple["tf.Tensor", dict[int, str]]:
    """All records of some shards, blank where damaged, and what is wrong with those."""
    payloads: list[bytes] = []
    problems: dict[int, str] = {}
    for number in numbers:
        found, damaged = shards.read_shard(split.paths[number], split.counts[number])
        payloads += [payload or _blank() for payload in found]
        first = int(split.starts[number])
        problems.update({first + n: text for n, text in damaged.items()})
    return tf.constant(payloads), problems


def _gather(pieces: tuple[Piece, ...]) -> "tf.Tensor":
    parts = [tf.gather(piece.payloads, piece.order) for piece in pieces]
    return tf.concat([tf.zeros(0, tf.string), *parts], axis=0)


@functools.cache
def _specification() -> dict[str, "tf.io.FixedLenFeature"]:
    return {feature.name: _slot(feature) for feature in schema.FEATURES}


def _slot(feature: schema.Feature) -> "tf.io.FixedLenFeature":
    """How a feature is parsed; a cue's may be missing, everything else may not."""
    may_lack = feature not in schema.LABELS
    if feature.encoding is not schema.Encoding.TENSOR:
        return tf.io.FixedLenFeature((), tf.string, b"" if may_lack else None)
    kind = tf.float32 if np.dtype(feature.dtype).kind == "f" else tf.int64
    default = feature.zeros().tolist() if may_lack else None
    return tf.io.FixedLenFeature(feature.shape, kind, default)


def _parse(payloads: "tf.Tensor") -> RecordFields:
    return {name: tensor.numpy() for name, tensor in _parser()(payloads).items()}


def _parse_one_by_one(payloads: "tf.Tensor") -> tuple[RecordFields, dict[int, str]]:
    """Fields with zeros where a record does not parse, and what is wrong with it."""
    single = payloads.numpy().tolist()
    found = {row: _parse_problem(payload) for row, payload in enumerate(single)}
    problems = {row: problem for row, problem in found.items() if problem}
    for row in problems:
        single[row] = _blank()
    return _parse(tf.constant(single)), problems


@functools.cache
def _parser() -> Callable:
    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string)])
    def run(payloads: "tf.Tensor") -> dict[str, "tf.Tensor"]:
        return tf.io.parse_example(payloads, _specification())

    return run


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
