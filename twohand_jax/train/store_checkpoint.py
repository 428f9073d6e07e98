"""Checkpoints in a store of objects: parts by all processes, and a file that ends them.

Orbax renames folders and relies on one file system for all hosts, and its layer of
paths reaches ``s3://`` only where TensorFlow is missing. So a step is

    checkpoints/STEP/part-PPPPP-of-NNNNN.npz   the pieces of arrays on one process
    checkpoints/STEP/COMPLETE.json             written last, by the first process

A step without ``COMPLETE.json`` is none. Each piece of an array is written by one
process, and says where it lies in the array; so a run may go on with another number of
processes and devices.
"""

import re
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jaxtyping import PyTree

from twohand_jax import files, paths, reading
from twohand_jax.errors import FailedError, InputError
from twohand_jax.train import run_config
from twohand_jax.train.checkpoint import everywhere, innermost
from twohand_jax.train.state import TrainState

COMPLETE, DAMAGED = "COMPLETE.json", "DAMAGED.json"
PART = re.compile(r"part-\d{5,}-of-\d{5,}\.npz")
PIECE = "|"  # between an array's name, its type and a piece's place
RAW = {2: np.uint16, 1: np.uint8}  # what NumPy's files hold of types that they lack
PATIENCE_S, POLL_S = 600.0, 0.5  # for the parts of other processes
SLACK = 64 * reading.MIB
Pieces = dict[str, list[tuple[tuple[slice, ...], np.ndarray]]]


class StoreCheckpoints:
    """``Checkpoints`` in a store, with the same face."""

    def __init__(
        self, directory: Path, *, keep: int = 2, background: bool = False
    ) -> None:
        """Open or begin a working directory, and clear what kills left half written.

        Args:
            directory: in the mirror of a store (``paths``), the same of all processes.
            keep: how many of the newest checkpoints stay.
            background: upload while the training goes on; the state is copied to the
                host, and errors are raised by the next ``save`` or ``close``.
        """
        self._config_file = directory / "config.json"
        self._root = directory / "checkpoints"
        self._keep, self._background = keep, background
        self._complete = self._find()
        self._pending: tuple[int, Future[None]] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        if jax.process_index() == 0:
            self._clear()
        if jax.process_count() > 1:  # so that no part of an earlier start counts
            multihost_utils.sync_global_devices("half-written checkpoints are cleared")

    def _clear(self) -> None:
        """Remove steps that are neither complete nor known as damaged."""
        for name, inside in self._folders().items():
            if not inside & {COMPLETE, DAMAGED}:
                paths.drop(self._root / name)

    def _folders(self) -> dict[str, set[str]]:
        """Names of files by the folder of their step."""
        found: dict[str, set[str]] = {}
        for path in paths.listed(self._root):
            name = path.relative_to(self._root).parts[0]
            found.setdefault(name, set()).add(path.name)
        return found

    def _find(self) -> list[int]:
        found = paths.listed(self._root)
        names = [path.parent.name for path in found if path.name == COMPLETE]
        return sorted(int(name) for name in names if name.isdigit())

    def latest(self) -> int | None:
        """The newest complete step."""
        return max(self._complete, default=None)

    def save(self, state: TrainState) -> None:
        """Write a checkpoint of ``state.step``, when the one before is complete.

        Raises:
            FailedError: the store does not take it, or in the background the one
                before; older ones are unchanged.
        """
        self.settle()
        step = int(state.step)
        if self.latest() == step:
            return
        # Copies: the next training step takes the state's memory.
        held = {name: np.array(piece) for name, piece in _own_pieces(state)}
        self._pending = step, self._thread.submit(self._write, step, held)
        if not self._background:
            self.settle()

    def settle(self) -> None:
        """Wait for what is being written in the background.

        Raises:
            FailedError: the store does not take it; older ones are unchanged.
        """
        if self._pending is not None:
            (step, written), self._pending = self._pending, None
            written.result()
            self._complete = sorted({*self._complete, step})[-self._keep :]

    def _write(self, step: int, pieces: Mapping[str, np.ndarray]) -> None:
        """Upload this process's part; the first one waits for all and ends the step."""
        paths.flush()  # the log, before the step that it belongs to is complete
        folder = self._root / str(step)
        first, count = jax.process_index(), jax.process_count()
        part = folder / f"part-{first:05d}-of-{count:05d}.npz"
        files.write_npz(part, pieces, compressed=False)
        paths.leave(part)
        if first == 0:
            self._finish(folder, step, count)
            self._prune(step)

    def _finish(self, folder: Path, step: int, count: int) -> None:
        """Say that a step is complete, when the store has all of its parts."""
        end = time.monotonic() + PATIENCE_S
        while True:
            parts = {
                path.name: paths.size(path)
                for path in paths.listed(folder)
                if path.name.endswith(f"-of-{count:05d}.npz")
            }
            if len(parts) == count:
                break
            if time.monotonic() > end:
                raise FailedError(
                    f"{paths.url(folder)} holds {len(parts)} of the {count} parts of a "
                    "checkpoint; those before it are complete. Run the same command "
                    "again."
                )
            time.sleep(POLL_S)
        files.write_json(folder / COMPLETE, {"step": step, "parts": parts})

    def _prune(self, newest: int) -> None:
        """Remove old steps, and first the word that they are complete.

        Later steps stay: other processes may be writing one.
        """
        kept = sorted({*self._complete, newest})[-self._keep :]
        for name, inside in self._folders().items():
            is_old = name.isdigit() and int(name) < newest and int(name) not in kept
            if is_old and DAMAGED not in inside:
                paths.drop(self._root / name / COMPLETE)
                paths.drop(self._root / name)

    def load(
        self, abstract: PyTree[jax.ShapeDtypeStruct], step: int | None = None
    ) -> TrainState:
        """Read a step into the shapes and shardings given, as ``Checkpoints.load``.

        A newer step that is damaged loses ``COMPLETE.json`` and gets ``DAMAGED.json``.

        Raises:
            InputError: no checkpoint can be read, or they belong to another network.
        """
        reasons: dict[int, str] = {}
        for number in self._complete[::-1] if step is None else [step]:
            loaded, reason = self._try(number, abstract)
            if loaded is not None:
                self._set_aside(reasons, number)
                return loaded
            reasons[number] = reason
        number, reason = next(iter(reasons.items()))
        raise InputError(
            f"Checkpoint {number} in {paths.url(self._root)} is damaged, or does not "
            f"fit this config's network ({reason}); there is no other that does. Use "
            "its own config, or begin anew in another workdir."
        )

    def _try(
        self, step: int, abstract: PyTree[jax.ShapeDtypeStruct]
    ) -> tuple[TrainState | None, str]:
        """The state of a step, or why it cannot be read, alike on all processes."""
        loaded, reason = None, ""
        try:
            loaded = self._read(self._root / str(step), abstract)
        except (InputError, KeyError, TypeError, ValueError, AttributeError) as error:
            reason = innermost(error)
        if not everywhere(loaded is not None):
            return None, reason or "another process cannot read it"
        return loaded, ""

    def _read(self, folder: Path, abstract: PyTree[jax.ShapeDtypeStruct]) -> TrainState:
        told = reading.read_object(folder / COMPLETE, limit=reading.SETTINGS_BYTES)
        names = [str(name) for name in told["parts"]]
        if not names or any(
            "/" in name or not name.startswith("part-") for name in names
        ):
            raise InputError(f"{folder / COMPLETE} names parts that are none.")
        leaves = jax.tree.leaves(abstract)
        limit = 2 * sum(leaf.size * leaf.dtype.itemsize for leaf in leaves) + SLACK
        pieces: Pieces = {}
        for name in names:
            for label, array in reading.read_npz(folder / name, limit=limit).items():
                key, place, piece = _piece(label, array)
                pieces.setdefault(key, []).append((place, piece))
            paths.leave(folder / name)

        def whole(path: jax.tree_util.KeyPath, leaf: jax.ShapeDtypeStruct) -> Any:
            key = jax.tree_util.keystr(path)
            full = _joined(key, pieces.get(key, []), leaf)
            return jax.make_array_from_callback(
                leaf.shape, leaf.sharding, lambda index: full[index]
            )

        return jax.tree_util.tree_map_with_path(whole, abstract)

    def _set_aside(self, reasons: Mapping[int, str], used: int) -> None:
        if jax.process_index() == 0:
            for step, reason in reasons.items():
                folder = self._root / str(step)
                files.write_json(folder / DAMAGED, {"step": step, "reason": reason})
                paths.drop(folder / COMPLETE)
                print(
                    f"Checkpoint {step} is damaged ({reason}): going on from step "
                    f"{used}; it stays as {paths.url(folder)}.",
                    file=sys.stderr,
                )
        if reasons and jax.process_count() > 1:
            multihost_utils.sync_global_devices("damaged checkpoints are set aside")
        self._complete = [step for step in self._complete if step not in reasons]

    def agree_on_config(
        self, config: dict[str, Any], records: Mapping[str, str] | None = None
    ) -> None:
        """As ``Checkpoints.agree_on_config``."""
        run_config.agree(self._config_file, config, records)

    def abandon(self) -> None:
        """Remove every trace of a run that was refused before its first checkpoint."""
        self.close()
        if jax.process_index() == 0 and not self._complete:
            paths.drop(self._config_file)
            paths.drop(self._config_file.parent / run_config.RECORDS)

    def close(self) -> None:
        """Finish what is being written.

        Raises:
            FailedError: as ``settle``.
        """
        try:
            self.settle()
        finally:
            self._thread.shutdown()


def _own_pieces(state: TrainState) -> Iterator[tuple[str, np.ndarray]]:
    """The pieces of arrays that this process writes, under names that say where."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(state):
        key = jax.tree_util.keystr(path)
        for shard in leaf.addressable_shards:
            if shard.replica_id == 0:
                array = np.asarray(shard.data)
                starts = [part.start or 0 for part in shard.index]
                place = ",".join(map(str, starts))
                held = array if array.dtype.kind in "fiub" else _raw(array)
                yield f"{key}{PIECE}{array.dtype.name}{PIECE}{place}", held


def _raw(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array).view(RAW[array.dtype.itemsize])


def _piece(label: str, array: np.ndarray) -> tuple[str, tuple[slice, ...], np.ndarray]:
    """An array's name, and where in it a piece lies."""
    key, name, place = label.rsplit(PIECE, 2)
    starts = [int(word) for word in place.split(",") if word]
    if len(starts) != array.ndim:
        raise InputError(f"The piece {label!r} says no place in its array.")
    if array.dtype.name != name:
        array = array.view(np.dtype(name))  # JAX has made its own known
    slices = zip(starts, array.shape, strict=True)
    return key, tuple(slice(start, start + n) for start, n in slices), array


def _joined(
    key: str,
    pieces: list[tuple[tuple[slice, ...], np.ndarray]],
    leaf: jax.ShapeDtypeStruct,
) -> np.ndarray:
    """A whole array of its pieces.

    Raises:
        InputError: they are not just that array.
    """
    full = np.empty(leaf.shape, leaf.dtype)
    count = 0
    for place, piece in pieces:
        inside = len(place) == full.ndim and full[place].shape == piece.shape
        if not inside or piece.dtype != full.dtype:
            raise InputError(f"{key} is {piece.dtype} {piece.shape} at {place}")
        full[place] = piece
        count += piece.size
    if count != full.size:
        raise InputError(f"{count} of the {full.size} numbers of {key} are there")
    return full
