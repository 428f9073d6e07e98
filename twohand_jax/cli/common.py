"""What several commands share."""

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
