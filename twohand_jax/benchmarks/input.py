"""Speed of the reader beside the bare decoding of the same pictures.

The bare decoding takes the encoded picture and maps of the same records from memory and
calls the same decoders, into memory that is used again: what no reader can go under.
The reader's time is everything up to finished batches on the host. A round is one
window of shards, so that its reading from disk is in every round.
"""

import argparse
import dataclasses
import functools
import itertools
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from twohand_jax import arguments
from twohand_jax.benchmarks.report import Report, Timing, interleaved
from twohand_jax.crops.canvas import CanvasConfig
from twohand_jax.data import decode, tfrecord
from twohand_jax.types import Batch

READER, BARE = "reader", "bare decoding"


class Encoded(NamedTuple):
    """A record's JPEG, and the PNGs of the maps it has."""

    picture: bytes
    maps: list[bytes]


class InputRow(NamedTuple):
    """Timings of a round of ``records`` by one clock."""

    clock: str
    workers: int
    records: int
    timings: dict[str, Timing]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The benchmark's flags."""
    parser.add_argument("--dataset", required=True, help="directory of records")
    parser.add_argument("--split", default="train")
    parser.add_argument(
        "--canvas", type=arguments.positive, default=256, help="side, pixels"
    )
    parser.add_argument(
        "--batch", type=arguments.positive, default=48, help="records a batch"
    )
    parser.add_argument(
        "--workers", type=arguments.positive, default=2, help="decoding threads"
    )
    parser.add_argument(
        "--rounds", type=arguments.positive, default=5, help="timed windows of shards"
    )
    parser.add_argument(
        "--window-shards", type=arguments.positive, default=8, help="shards a window"
    )


def run(args: argparse.Namespace) -> Report:
    """Records a second: of a core's time, and of the clock with all workers."""
    config = tfrecord.ReaderConfig(
        directory=args.dataset,
        split=args.split,
        batch_size=args.batch,
        canvas=CanvasConfig(size=args.canvas),
        window_shards=args.window_shards,
        workers=args.workers,
    )
    rows = measure(config, rounds=args.rounds)
    return Report(
        title=f"Input of {args.dataset}, canvas {args.canvas}, records a second: "
        "best (median) round; share is of the medians",
        head=["time", "workers", READER, BARE, "share"],
        lines=[_cells(row) for row in rows],
        rows=[
            {
                "clock": row.clock,
                "workers": row.workers,
                "records": row.records,
                "milliseconds": {k: t._asdict() for k, t in row.timings.items()},
            }
            for row in rows
        ],
        packages=["opencv-python-headless", "simplejpeg"],
    )


def measure(config: tfrecord.ReaderConfig, *, rounds: int) -> list[InputRow]:
    """Time the reader and the bare decoding in turns: a core's time, then the clock's.

    Args:
        config: what to read and how.
        rounds: timed rounds of each.
    """
    split = tfrecord.Reader(config).split
    windows = -(-len(split.paths) // config.window_shards)
    batches = max(1, split.num_records // (windows * config.batch_size))
    pictures = _pictures(config, batches)
    rows = []
    for name, workers, clock in (
        ("of one core", 1, time.process_time),
        ("by the clock", config.workers, time.perf_counter),
    ):
        stream = tfrecord.Reader(dataclasses.replace(config, workers=workers)).batches()
        timings = interleaved(
            {
                READER: functools.partial(_take, stream, batches),
                BARE: functools.partial(_decode_all, pictures, workers),
            },
            repetitions=rounds,
            warmup=1,
            clock=clock,
        )
        rows.append(InputRow(name, workers, batches * config.batch_size, timings))
    return rows


def _pictures(config: tfrecord.ReaderConfig, batches: int) -> list[Encoded]:
    """The encoded picture and maps of as many records as a round has."""
    found = []
    for rows in itertools.islice(tfrecord.Reader(config).rows(), batches):
        for row in range(len(rows.records)):
            cues = [
                rows.fields[f"cues/{cue}"][row]
                for cue in ("segmentation", "depth")
                if rows.fields[f"cues/has_{cue}"][row]
            ]
            found.append(Encoded(rows.fields["image"][row], cues))
    return found


def _take(stream: Iterator[Batch], batches: int) -> None:
    for _ in range(batches):
        next(stream)


def _decode_all(pictures: list[Encoded], workers: int) -> None:
    parts = [pictures[start::workers] for start in range(workers)]
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(_decode, parts))


def _decode(pictures: list[Encoded]) -> None:
    """Each picture into the same memory, as large as the largest needs."""
    sizes = (decode.jpeg_size(each.picture) or (1, 1) for each in pictures)
    room = np.empty(max((3 * h * w for h, w in sizes), default=0), np.uint8)
    for picture, maps in pictures:
        decode.decode_jpeg(picture, out=room)
        for each in maps:
            decode.decode_map(each)


def _cells(row: InputRow) -> list[str]:
    ours, bare = row.timings[READER], row.timings[BARE]
    speed = 1e3 * row.records
    cells = [
        f"{speed / t.minimum_ms:.0f} ({speed / t.median_ms:.0f})" for t in (ours, bare)
    ]
    share = bare.median_ms / ours.median_ms
    return [row.clock, str(row.workers), *cells, f"{share:.0%}"]
