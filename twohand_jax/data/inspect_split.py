"""One pass over a split: its numbers, pictures of some records, and the check."""

import contextlib
import dataclasses
import sys
import time
from pathlib import Path

import numpy as np
from tqdm import tqdm

from twohand_jax.data import geometry_errors, record_views
from twohand_jax.data.inspection import Summary
from twohand_jax.data.inspection_report import Part
from twohand_jax.data.record_check import CheckConfig, Checker
from twohand_jax.data.record_views import Strip
from twohand_jax.data.tfrecord import Reader, ReaderConfig
from twohand_jax.types import ManoModel


@dataclasses.dataclass(frozen=True, kw_only=True)
class InspectConfig:
    """What to look at.

    Attributes:
        count: records to draw, evenly over the split.
        max_records: to look at; all by default.
        check: what to check; None to stop at a damaged record instead.
        batch: records parsed at once. A whole shard is held in memory as well.
    """

    count: int = 24
    max_records: int | None = None
    check: CheckConfig | None = None
    batch: int = 64


def inspect(
    directory: str | Path, split: str, model: ManoModel, config: InspectConfig
) -> Part:
    """Read a split once, shard by shard, with a progress bar on a terminal.

    Args:
        directory: record set.
        split: name of the split.
        model: hand model; fits of another one are not posed.
        config: what to look at.

    Raises:
        InputError: the set cannot be read.
    """
    start = time.perf_counter()
    reader = _reader(str(directory), split, config)
    total = min(reader.split.num_records, config.max_records or sys.maxsize)
    chosen = record_views.spread(config.count, total)
    summary = Summary()
    strips: list[Strip] = []
    checker = Checker(reader.split, config.check) if config.check else None
    bar = tqdm(total=total, desc=split, unit="record", disable=not sys.stderr.isatty())
    with bar, checker or contextlib.nullcontext():
        for rows in reader.rows():
            kept = rows.usable & (rows.records < total)
            fields = {name: value[kept] for name, value in rows.fields.items()}
            records = rows.records[kept]
            errors = geometry_errors.measure(fields, model)
            summary.add(fields, errors)
            if checker:
                checker.add(fields, errors, records)
                checker.add_damaged(reader.skipped)
                reader.skipped.clear()
            for row in np.flatnonzero(np.isin(records, chosen)).tolist():
                strips.append(record_views.strip(fields, row, model))
            bar.update(len(records))
            if rows.records.max() >= total - 1:
                break
    found = checker.violations() if checker else None
    return Part(split, summary, strips, found, time.perf_counter() - start)


def _reader(directory: str, split: str, config: InspectConfig) -> Reader:
    return Reader(
        ReaderConfig(
            directory=directory,
            split=split,
            shuffle=False,
            batch_size=config.batch,
            window_shards=1,
            skip_corrupt=config.check is not None,
        )
    )
