"""Writing a dataset as TFDS record shards: parallel, resumable, deterministic.

Shards are made by a process pool, each by the pure function of its number that the
``ShardSource`` is, so a run that was killed goes on where it stopped and ends with the
same bytes. The metadata comes last: a directory that TFDS can open is complete.
"""

import contextlib
import dataclasses
import json
import multiprocessing
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import TypeAlias

import tensorflow_datasets as tfds

from twohand_jax import files, locks, paths, reading
from twohand_jax.data import shards
from twohand_jax.errors import FailedError, InputError, UnreadableError
from twohand_jax.pipelines import labelled, shard_file, worker
from twohand_jax.pipelines.labelled import HOLES, ShardSource
from twohand_jax.pipelines.shard_file import (
    KEPT_SAMPLES,
    Receipt,
    features_dict,
    is_pseudo,
)
from twohand_jax.progress import Bar, say

REJECTIONS, SETTINGS = "rejections.json", "settings.json"
MAX_UNREAD = 3  # shards, after which the others are not tried
Shard = tuple[str, int]
# A shard's receipt, or why what goes into it could not be read.
Outcome: TypeAlias = Receipt | UnreadableError
Made: TypeAlias = Generator[tuple[Shard, Outcome], None, None]
MakeShards: TypeAlias = Callable[
    [ShardSource, Path, list[Shard], int, Bar],
    Made,
]
_written: "multiprocessing.sharedctypes.Synchronized | None" = None


@dataclasses.dataclass(frozen=True)
class BuildReport:
    """What a set holds; ``seconds`` covers the shards made in this run.

    ``rejected`` counts the samples left out by reason, ``rejected_samples`` names the
    first few of each.
    """

    examples: dict[str, int]
    rejected: dict[str, int]
    rejected_samples: dict[str, list[str]]
    new_examples: int
    seconds: float

    @property
    def rate(self) -> float:
        """Images written per second."""
        return self.new_examples / max(self.seconds, 1e-9)

    def text(self) -> str:
        """The report in words."""
        lines = [f"{n} images in split {name}" for name, n in self.examples.items()]
        for why, n in self.rejected.items():
            named = ", ".join(self.rejected_samples[why])
            lines.append(f"{n} left out: {why} ({named}{', …' * (n > KEPT_SAMPLES)})")
        if self.new_examples:
            lines.append(
                f"{self.new_examples} images in {self.seconds:.1f} s, "
                f"{self.rate:.1f} images/s"
            )
        return "\n".join(lines)


@dataclasses.dataclass(frozen=True)
class RejectionLimit:
    """How much of a set may be left out.

    Attributes:
        share: of the samples, at most.
        reasons: that count; all where None. By default those that a missing or damaged
            file leads to: what is not labelled is left out of many sets.
    """

    share: float = 0.01
    reasons: frozenset[str] | None = HOLES

    @classmethod
    def of(cls, share: float | None) -> "RejectionLimit":
        """A share of all samples, whatever the reason; the defaults for None."""
        return cls() if share is None else cls(share, reasons=None)

    def left_out(self, receipts: Mapping[Shard, Receipt]) -> int:
        """How many samples of some shards count."""
        counts, _ = _rejections(receipts)
        return sum(
            count
            for reason, count in counts.items()
            if self.reasons is None or reason in self.reasons
        )


def write(
    source: ShardSource,
    directory: str | Path,
    *,
    workers: int = 1,
    progress: bool = True,
    make: MakeShards | None = None,
    limit: RejectionLimit | None = None,
    recheck: bool = False,
) -> BuildReport:
    """Write every shard that is not there yet, then the metadata.

    A shard whose sources cannot be read stays unfinished; the others are written.

    Args:
        source: the dataset.
        directory: is created; one that was begun with the same settings is continued.
        workers: processes; 0 writes in this one.
        progress: whether to show a bar with images/s and the time left.
        make: makes the pending shards; by default processes of this machine.
        limit: of what may be left out; ``RejectionLimit()`` by default.
        recheck: make finished shards from which something was left out again.

    Raises:
        InputError: the directory holds a set with other settings, or cannot be written.
        FailedError: more was left out than ``limit`` allows, or something could not be
            read; the same command goes on.
    """
    directory, limit = Path(directory), limit or RejectionLimit()
    with _locked(directory):
        _check_settings(directory, source)
        receipts = _finished(directory, source)
        if recheck or _is_beyond(limit, source, receipts):
            receipts = {k: v for k, v in receipts.items() if not v.rejected}
        pending = [shard for shard in _shards(source) if shard not in receipts]
        if pending:  # until the end: what it says of these shards may no longer hold
            files.remove(directory / shards.INFO)
        start = time.perf_counter()
        with _bar(source, set(receipts), progress) as bar:
            make = make or (_in_processes if workers > 0 else _in_this_process)
            made = make(source, directory, pending, workers, bar)
            new = _collect(made, source, receipts, limit, directory)
        seconds = time.perf_counter() - start
        _write_rejections(directory, receipts | new)
        # Workers of a killed run outlive it for a moment, in which they begin a file.
        files.remove_partials(directory)
        try:
            _write_metadata(directory, source, receipts | new)
            for name in (shards.FEATURES, shards.INFO):  # what says all is there, last
                paths.push(directory / name)
        except OSError as error:
            raise FailedError(
                f"The description of {directory} cannot be written: {error.strerror}; "
                "its shards are whole: run the same command again."
            ) from error
    return _report(source, receipts | new, new, seconds)


def _collect(
    made: Made,
    source: ShardSource,
    receipts: Mapping[Shard, Receipt],
    limit: RejectionLimit,
    directory: Path,
) -> dict[Shard, Receipt]:
    """Receipts of the new shards, if all could be made.

    Raises:
        FailedError: as ``write``.
    """
    new: dict[Shard, Receipt] = {}
    unread: dict[Shard, UnreadableError] = {}
    with contextlib.closing(made):
        for shard, outcome in made:
            if isinstance(outcome, Receipt):
                new[shard] = outcome
            else:
                unread[shard] = outcome
            if _is_beyond(limit, source, found := {**receipts, **new}):
                _write_rejections(directory, found)
                raise FailedError(_too_much_left_out(source, found, limit))
            if len(unread) == MAX_UNREAD:
                break
    if unread:
        shard, error = next(iter(unread.items()))
        raise FailedError(
            f"{len(unread)} shards of {directory} stay unfinished, the first is "
            f"{shard_file.file_name(source, *shard)}: {error} Finished shards are "
            "kept: run the same command again when it can be read."
        )
    return new


def _is_beyond(
    limit: RejectionLimit, source: ShardSource, receipts: Mapping[Shard, Receipt]
) -> bool:
    return limit.left_out(receipts) > limit.share * _total(source)


def _total(source: ShardSource) -> int:
    return sum(sum(sizes) for sizes in source.shard_sizes.values())


def _too_much_left_out(
    source: ShardSource, receipts: Mapping[Shard, Receipt], limit: RejectionLimit
) -> str:
    counts, samples = _rejections(receipts)
    reasons = "; ".join(
        f"{n} x {why} ({', '.join(samples[why][:2])})" for why, n in counts.items()
    )
    return (
        f"{limit.left_out(receipts)} of {_total(source)} samples were left out so far, "
        f"more than {100 * limit.share:g}% of them: {reasons}. Run the same command "
        "again when the files are there, which makes these shards again, or allow more "
        "with --max-rejected."
    )


def _shards(source: ShardSource) -> list[Shard]:
    sizes = source.shard_sizes
    return [(split, shard) for split in sizes for shard in range(len(sizes[split]))]


def _finished(directory: Path, source: ShardSource) -> dict[Shard, Receipt]:
    """Receipts of the shards that are there; what a killed run left is removed."""
    files.remove_partials(directory)
    found = {
        shard: shard_file.finished(directory, source, *shard)
        for shard in _shards(source)
    }
    return {shard: receipt for shard, receipt in found.items() if receipt is not None}


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """The directory for this run alone; the lock ends with the process."""
    with locks.held(directory / shard_file.RECEIPTS, "a build"):
        (directory / shard_file.RECEIPTS / "lock").unlink(missing_ok=True)  # once used
        try:
            yield
        except BaseException:
            files.remove_partials(directory)
            _forget_if_empty(directory)
            raise


def _forget_if_empty(directory: Path) -> None:
    """Remove the settings of a build that has no shard yet."""
    settings = directory / shard_file.RECEIPTS / SETTINGS
    if not any(".tfrecord-" in name for name in paths.names(directory)):
        files.remove(settings)
        files.remove(directory / REJECTIONS)


def _check_settings(directory: Path, source: ShardSource) -> None:
    """Refuse to mix shards of different settings in one set."""
    settings = json.loads(json.dumps(dict(source.settings)))
    path = directory / shard_file.RECEIPTS / SETTINGS
    if not path.exists():
        files.write_json(path, settings)
        return
    found = reading.read_object(path)
    names = sorted(found.keys() | settings.keys())
    changed = [name for name in names if found.get(name) != settings.get(name)]
    if changed:
        raise InputError(
            f"{directory} was begun with other settings of {changed}: continue with "
            "the same ones or choose an empty directory."
        )


def _bar(source: ShardSource, done: set[Shard], progress: bool) -> Bar:
    total = _total(source)
    skipped = sum(source.shard_sizes[split][shard] for split, shard in done)
    if skipped:
        say(f"{len(done)} shards are already there: {skipped} of {total} images.")
    return Bar(total=total, done=skipped, unit="img", name="build", is_shown=progress)


def _in_this_process(
    source: ShardSource, directory: Path, pending: list[Shard], workers: int, bar: Bar
) -> Made:
    del workers
    for shard in pending:
        yield shard, outcome(directory, source, shard, progress=bar.update)


def outcome(
    directory: Path,
    source: ShardSource,
    shard: Shard,
    *,
    progress: Callable[[], None] = lambda: None,
) -> Outcome:
    """Write a shard; what could not be read for it is handed back, not raised."""
    try:
        return shard_file.write(directory, source, *shard, progress=progress)
    except UnreadableError as error:
        return error


def _in_processes(
    source: ShardSource, directory: Path, pending: list[Shard], workers: int, bar: Bar
) -> Made:
    """Spawned, not forked: JAX and OpenGL do not survive a fork."""
    context = multiprocessing.get_context("spawn")
    written = context.Value("q", 0)
    before = bar.done
    with ProcessPoolExecutor(
        min(workers, max(len(pending), 1)),
        mp_context=context,
        initializer=_start_worker,
        initargs=(written, labelled.needs_device(source)),
    ) as pool:
        tasks: dict[Future, Shard] = {
            pool.submit(_write_shard, directory, source, shard): shard
            for shard in pending
        }
        waiting = set(tasks)
        try:
            while waiting:
                ready, waiting = wait(waiting, timeout=0.5, return_when=FIRST_COMPLETED)
                bar.update(before + written.value - bar.done)
                for task in ready:
                    yield tasks[task], task.result()
        except BrokenProcessPool as error:
            raise FailedError(
                "A worker process died, perhaps for lack of memory: run the command "
                "again with fewer workers; finished shards are kept."
            ) from error
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for child in multiprocessing.active_children():
                child.terminate()
            raise


def _start_worker(
    written: "multiprocessing.sharedctypes.Synchronized", needs_device: bool
) -> None:
    global _written
    _written = written
    if needs_device:
        worker.claim_gpu()
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A pool's workers would outlive a killed parent."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _write_shard(directory: Path, source: ShardSource, shard: Shard) -> Outcome:
    return outcome(directory, source, shard, progress=_count)


def _count() -> None:
    if _written is not None:
        with _written.get_lock():
            _written.value += 1


def _rejections(
    receipts: Mapping[Shard, Receipt],
) -> tuple[dict[str, int], dict[str, list[str]]]:
    """Counts of what was left out by reason, most first, and a few samples of each."""
    counts: Counter[str] = Counter()
    samples: dict[str, list[str]] = {}
    for _, receipt in sorted(receipts.items()):
        counts.update(receipt.rejected)
        for reason, names in receipt.rejected_samples.items():
            kept = samples.setdefault(reason, [])
            kept += names[: KEPT_SAMPLES - len(kept)]
    return dict(counts.most_common()), samples


def _write_rejections(directory: Path, receipts: Mapping[Shard, Receipt]) -> None:
    counts, samples = _rejections(receipts)
    table = [
        {"reason": reason, "count": count, "examples": samples[reason]}
        for reason, count in counts.items()
    ]
    files.write_json(directory / REJECTIONS, table)


def _write_metadata(
    directory: Path, source: ShardSource, receipts: dict[Shard, Receipt]
) -> None:
    template = tfds.core.ShardedFileTemplate(
        data_dir=directory, dataset_name=source.name, filetype_suffix="tfrecord"
    )
    splits = []
    for split, sizes in source.shard_sizes.items():
        if sizes:  # TFDS sees by a file's name how the others are named
            paths.fetch(directory / shard_file.file_name(source, split, 0))
        found = [receipts[split, shard] for shard in range(len(sizes))]
        splits.append(
            tfds.core.SplitInfo(
                name=split,
                shard_lengths=[receipt.examples for receipt in found],
                num_bytes=sum(receipt.payload_bytes for receipt in found),
                filename_template=template.replace(split=split),
            )
        )
    tfds.folder_dataset.write_metadata(
        data_dir=directory,
        features=features_dict(source.cues, is_pseudo=is_pseudo(source)),
        split_infos=splits,
        version=source.version,
        description=source.description,
        check_data=False,
    )


def _report(
    source: ShardSource,
    receipts: dict[Shard, Receipt],
    new: dict[Shard, Receipt],
    seconds: float,
) -> BuildReport:
    examples = dict.fromkeys(source.shard_sizes, 0)
    for (split, _), receipt in receipts.items():
        examples[split] += receipt.examples
    written = sum(receipt.examples for receipt in new.values())
    return BuildReport(examples, *_rejections(receipts), written, seconds)
