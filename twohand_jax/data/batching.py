"""From host batches to sharded device arrays: prefetching, and time spent waiting."""

import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

import jax
import numpy as np
from jax.sharding import NamedSharding

from twohand_jax.errors import InputError
from twohand_jax.types import Batch

T = TypeVar("T")


def pad(batch: Batch, size: int) -> Batch:
    """Fill a batch up to ``size`` rows with copies of its last row, of weight 0."""
    count = batch.weight.shape[0]
    if not 0 < count <= size:
        raise InputError(f"A batch of {count} records cannot be padded to {size}.")
    rows = np.minimum(np.arange(size), count - 1)
    padded = jax.tree.map(lambda array: np.asarray(array)[rows], batch)
    padded.weight[count:] = 0.0
    return padded


def to_global(batch: Batch, sharding: NamedSharding) -> Batch:
    """Make arrays over the devices of all processes from each process's rows.

    Args:
        batch: this process's rows as numpy arrays.
        sharding: splits the leading axis over the mesh.

    Raises:
        InputError: the number of rows is not a multiple of this process's devices.
    """
    devices = len(sharding.addressable_devices)
    rows = batch.weight.shape[0]
    shards = sharding.num_devices // _replicas(sharding)
    local = max(1, shards * devices // sharding.num_devices)
    if rows % local:
        raise InputError(
            f"A batch of {rows} records cannot be split over {local} devices of this "
            f"process: choose a multiple of {local}."
        )
    return jax.tree.map(
        lambda array: jax.make_array_from_process_local_data(
            sharding, np.asarray(array)
        ),
        batch,
    )


def _replicas(sharding: NamedSharding) -> int:
    """How many devices hold the same rows."""
    axes = sharding.spec[0] if sharding.spec else None
    names = (axes,) if isinstance(axes, str) else tuple(axes or ())
    split = int(np.prod([sharding.mesh.shape[name] for name in names], dtype=int))
    return sharding.num_devices // split


class Prefetcher(Generic[T]):
    """Runs an iterator in a thread, some items ahead, and measures the waiting.

    Items come in order. An exception of the source is raised in place of the item that
    it prevented. Use it as a context manager, so that the thread ends with the block.
    """

    def __init__(
        self,
        source: Iterator[Batch],
        put: Callable[[Batch], T],
        *,
        depth: int = 2,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Start reading.

        Args:
            source: host batches.
            put: turns one into what is handed out, such as ``to_global``; runs in the
                thread.
            depth: items kept ready.
            clock: seconds.
        """
        self._queue: queue.Queue = queue.Queue(depth)
        self._stop = threading.Event()
        self._clock = clock
        self._waited = 0.0
        self._since = clock()
        self._thread = threading.Thread(
            target=self._fill, args=(source, put), daemon=True
        )
        self._thread.start()

    def __enter__(self) -> "Prefetcher[T]":
        return self

    def __exit__(self, *unused: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[T]:
        while True:
            start = self._clock()
            kind, value = self._queue.get()
            self._waited += self._clock() - start
            if kind == "error":
                raise value
            if kind == "end":
                return
            yield value

    def waiting_share(self) -> float:
        """Share of the time since the last call in which the consumer has waited."""
        now = self._clock()
        share = self._waited / max(now - self._since, 1e-9)
        self._waited, self._since = 0.0, now
        return min(share, 1.0)

    def close(self) -> None:
        """Stop the thread and wait for it."""
        self._stop.set()
        while self._thread.is_alive():
            try:
                self._queue.get_nowait()
            except queue.Empty:
                self._thread.join(0.01)

    def _fill(self, source: Iterator[Batch], put: Callable[[Batch], T]) -> None:
        try:
            for batch in source:
                if not self._offer(("item", put(batch))):
                    return
            self._offer(("end", None))
        except BaseException as error:  # handed to the consumer's thread
            self._offer(("error", error))
        finally:
            close = getattr(source, "close", None)
            if close:
                close()

    def _offer(self, entry: tuple[str, object]) -> bool:
        while not self._stop.is_set():
            try:
                self._queue.put(entry, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False
