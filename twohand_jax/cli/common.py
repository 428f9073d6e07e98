"""What several commands share."""

import argparse
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


def cache_folder() -> Path:
    """The user's cache folder of this project (XDG base directory specification)."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "twohand_jax"


def add_processes(parser: argparse.ArgumentParser) -> None:
    """Flags of a program that runs as several processes (``train.distributed``)."""
    group = parser.add_argument_group("several processes (see docs/training.md)")
    option = group.add_argument
    option("--distributed", action="store_true", help="find the others (Slurm, TPU)")
    option("--coordinator", metavar="HOST:PORT", help="of process 0, without these")
    option("--processes", type=int, metavar="N", help="how many there are")
    option("--process", type=int, metavar="I", help="which this one is, from 0")


def enable_compilation_cache() -> None:
    """Keep compiled programs between runs, where the cache folder can be written."""
    # XLA tells about every cached program whose processor flags it cannot compare.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import jax

    folder = cache_folder() / "programs"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def progress(items: Iterable[T], *, unit: str, total: int | None = None) -> Iterator[T]:
    """Count items on a terminal; with a total, say how long the rest will take."""
    if not sys.stderr.isatty():
        yield from items
        return
    from tqdm import tqdm

    bar = tqdm(items, unit=unit, total=total, delay=5.0, leave=False)
    yield from bar


def say(message: str) -> None:
    """Print to stdout without breaking a progress bar."""
    from tqdm import tqdm

    tqdm.write(message, file=sys.stdout)
