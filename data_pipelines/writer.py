"""Writing a dataset as TFDS record shards: parallel, resumable, deterministic.

Shards are made by a process pool, each by the pure function of its number that the
``ShardSource`` is, so a run that was killed goes on where it stopped and ends with the
same bytes. The metadata comes last: a directory that TFDS can open is complete.
"""

import contextlib
import dataclasses
import fcntl
import json
import multiprocessing
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import TypeAlias

import tensorflow_datasets as tfds
from tqdm import tqdm

from data_pipelines import shard_file
from data_pipelines.labelled import ShardSource
from data_pipelines.shard_file import KEPT_SAMPLES, Receipt, features_dict
from twohand_jax.errors import InputError

REJECTIONS = "rejections.json"
Shard = tuple[str, int]
MakeShards: TypeAlias = Callable[
    [ShardSource, Path, list[Shard], int, tqdm], Iterator[tuple[Shard, Receipt]]
]
_written: "multiprocessing.sharedctypes.Synchronized | None" = None


@dataclasses.dataclass(frozen=True)
class Report:
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


def write(
    source: ShardSource,
    directory: str | Path,
    *,
    workers: int = 1,
    progress: bool = True,
    make: MakeShards | None = None,
) -> Report:
    """Write every shard that is not there yet, then the metadata.

    Args:
        source: the dataset.
        directory: is created; one that was begun with the same settings is continued.
        workers: processes; 0 writes in this one.
        progress: whether to show a bar with images/s and the time left.
        make: makes the pending shards; by default processes of this machine.

    Raises:
        InputError: the directory holds a set with other settings, or cannot be written.
    """
    directory = Path(directory)
    with _locked(directory):
        _check_settings(directory, source)
        receipts = _finished(directory, source)
        pending = [shard for shard in _shards(source) if shard not in receipts]
        start = time.perf_counter()
        with _bar(source, set(receipts), progress) as bar:
            make = make or (_in_processes if workers > 0 else _in_this_process)
            new = dict(make(source, directory, pending, workers, bar))
        seconds = time.perf_counter() - start
        _write_rejections(directory, receipts | new)
        _write_metadata(directory, source, receipts | new)
    return _report(source, receipts | new, new, seconds)


def _shards(source: ShardSource) -> list[Shard]:
    sizes = source.shard_sizes
    return [(split, shard) for split in sizes for shard in range(len(sizes[split]))]


def _finished(directory: Path, source: ShardSource) -> dict[Shard, Receipt]:
    """Receipts of the shards that are there; what a killed run left is removed."""
    for leftover in directory.rglob("*.partial-*"):
        leftover.unlink(missing_ok=True)
    found = {
        shard: shard_file.finished(directory, source, *shard)
        for shard in _shards(source)
    }
    return {shard: receipt for shard, receipt in found.items() if receipt is not None}


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """The directory for this run alone; the lock ends with the process."""
    try:
        (directory / shard_file.RECEIPTS).mkdir(parents=True, exist_ok=True)
        file = (directory / shard_file.RECEIPTS / "lock").open("w")
    except OSError as error:
        raise InputError(
            f"Cannot write to {directory}: {error.strerror}; choose another --out."
        ) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(
                f"Another build is writing to {directory}: wait for it, or end it."
            ) from error
        yield


def _check_settings(directory: Path, source: ShardSource) -> None:
    """Refuse to mix shards of different settings in one set."""
    settings = json.loads(json.dumps(dict(source.settings)))
    path = directory / shard_file.RECEIPTS / "settings.json"
    if not path.exists():
        partial = path.with_name(f"settings.json.partial-{os.getpid()}")
        partial.write_text(json.dumps(settings, indent=1))
        partial.replace(path)
        return
    found = json.loads(path.read_text())
    names = sorted(found.keys() | settings.keys())
    changed = [name for name in names if found.get(name) != settings.get(name)]
    if changed:
        raise InputError(
            f"{directory} was begun with other settings of {changed}: continue with "
            "the same ones or choose an empty directory."
        )


def _bar(source: ShardSource, done: set[Shard], progress: bool) -> tqdm:
    total = sum(sum(sizes) for sizes in source.shard_sizes.values())
    skipped = sum(source.shard_sizes[split][shard] for split, shard in done)
    if skipped:
        print(f"{len(done)} shards are already there: {skipped} of {total} images.")
    return tqdm(
        total=total, initial=skipped, unit="img", mininterval=1.0, disable=not progress
    )


def _in_this_process(
    source: ShardSource, directory: Path, pending: list[Shard], workers: int, bar: tqdm
) -> Iterator[tuple[Shard, Receipt]]:
    del workers
    for shard in pending:
        receipt = shard_file.write(directory, source, *shard, progress=bar.update)
        yield shard, receipt


def _in_processes(
    source: ShardSource, directory: Path, pending: list[Shard], workers: int, bar: tqdm
) -> Iterator[tuple[Shard, Receipt]]:
    """Spawned, not forked: JAX and OpenGL do not survive a fork."""
    context = multiprocessing.get_context("spawn")
    written = context.Value("q", 0)
    before = bar.n
    with ProcessPoolExecutor(
        min(workers, max(len(pending), 1)),
        mp_context=context,
        initializer=_start_worker,
        initargs=(written,),
    ) as pool:
        tasks: dict[Future, Shard] = {
            pool.submit(_write_shard, directory, source, shard): shard
            for shard in pending
        }
        waiting = set(tasks)
        try:
            while waiting:
                ready, waiting = wait(waiting, timeout=0.5, return_when=FIRST_COMPLETED)
                bar.update(before + written.value - bar.n)
                for task in ready:
                    yield tasks[task], task.result()
        except BrokenProcessPool as error:
            raise RuntimeError(
                "A worker process died, perhaps for lack of memory: run the command "
                "again with fewer workers; finished shards are kept."
            ) from error
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _start_worker(written: "multiprocessing.sharedctypes.Synchronized") -> None:
    global _written
    _written = written
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A pool's workers would outlive a killed parent."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _write_shard(directory: Path, source: ShardSource, shard: Shard) -> Receipt:
    return shard_file.write(directory, source, *shard, progress=_count)


def _count() -> None:
    if _written is not None:
        with _written.get_lock():
            _written.value += 1


def _rejections(
    receipts: dict[Shard, Receipt],
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


def _write_rejections(directory: Path, receipts: dict[Shard, Receipt]) -> None:
    counts, samples = _rejections(receipts)
    table = [
        {"reason": reason, "count": count, "examples": samples[reason]}
        for reason, count in counts.items()
    ]
    (directory / REJECTIONS).write_text(json.dumps(table, indent=1))


def _write_metadata(
    directory: Path, source: ShardSource, receipts: dict[Shard, Receipt]
) -> None:
    template = tfds.core.ShardedFileTemplate(
        data_dir=directory, dataset_name=source.name, filetype_suffix="tfrecord"
    )
    splits = []
    for split, sizes in source.shard_sizes.items():
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
        features=features_dict(source.cues),
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
) -> Report:
    examples = dict.fromkeys(source.shard_sizes, 0)
    for (split, _), receipt in receipts.items():
        examples[split] += receipt.examples
    written = sum(receipt.examples for receipt in new.values())
    return Report(examples, *_rejections(receipts), written, seconds)
