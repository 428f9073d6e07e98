"""Checkpoints and the best weights of a run: one directory a step (orbax v1)."""

import contextlib
import logging
import math
import shutil
import sys
import textwrap
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jaxtyping import PyTree

from twohand_jax import files, reading
from twohand_jax.errors import FailedError, InputError
from twohand_jax.models.apply import Variables
from twohand_jax.train import run_config
from twohand_jax.train.state import TrainState
from twohand_jax.weights import native

for _name in ("absl", "asyncio"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)
LATE_S = 0.2


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Drop the tracebacks that Orbax's threads print beside the error that it raises.

    They come from callbacks of reads that nobody waits for any more, so a moment late.
    """
    before = sys.excepthook, sys.unraisablehook
    sys.excepthook, sys.unraisablehook = (lambda *_: None), (lambda _: None)
    try:
        yield
    except BaseException:
        time.sleep(LATE_S)
        raise
    finally:
        sys.excepthook, sys.unraisablehook = before


class Checkpoints:
    """The checkpoints of one working directory.

    A step's directory appears under its final name only when it is complete and loses
    the name before it is deleted, so whatever can be seen can be loaded.
    """

    def __init__(self, directory: Path, *, keep: int = 2, background: bool = False):
        """Open or begin a working directory.

        Args:
            directory: shared by all processes.
            keep: how many of the newest checkpoints stay.
            background: write while the training goes on; the state is copied on its
                devices, and errors are raised by the next ``save`` or ``close``.
        """
        # Only training needs it, and it takes as long to import as JAX itself.
        from orbax.checkpoint import v1 as ocp

        self._config_file = directory / "config.json"
        self._root = (directory / "checkpoints").absolute()
        self._discarded = (directory / "discarded").absolute()
        self._damaged = (directory / "damaged").absolute()
        self._keep, self._background = keep, background
        self._pending: tuple[int, Any] | None = None
        if jax.process_index() == 0:
            shutil.rmtree(self._discarded, ignore_errors=True)
        self._checkpointer = ocp.training.Checkpointer(
            self._root, save_decision_policy=None, cleanup_tmp_directories=True
        )

    def latest(self) -> int | None:
        """The newest complete step."""
        newest = self._checkpointer.latest
        return None if newest is None else newest.step

    def save(self, state: TrainState) -> None:
        """Write a checkpoint of ``state.step``, when the one before is complete.

        Raises:
            FailedError: it, or in the background the one before, can't be written;
                older ones are unchanged.
        """
        self.settle()
        step = int(state.step)
        if self.latest() == step:
            return
        with self._writing(step):
            # The next training step takes the state's memory.
            held = copy_state(state) if self._background else state
            kept = held._asdict()
            self._pending = step, self._checkpointer.save_async(step, kept, force=True)
        if not self._background:
            self.settle()

    def settle(self) -> None:
        """Wait for what is being written in the background, then delete old ones.

        Raises:
            FailedError: it can't be written; older ones are unchanged.
        """
        if self._pending is None:
            return
        (step, response), self._pending = self._pending, None
        with self._writing(step):
            if response is not None:
                response.result()
        if jax.process_index() == 0:
            self._prune()

    @contextlib.contextmanager
    def _writing(self, step: int) -> Iterator[None]:
        try:
            with _quiet():
                yield
        except (OSError, ValueError, RuntimeError) as error:
            raise FailedError(
                f"The checkpoint of step {step} cannot be written to {self._root} "
                f"({str(error).splitlines()[0]}); those before it are complete. Make "
                "room and run the same command again."
            ) from error

    def _prune(self) -> None:
        """Delete old checkpoints; Orbax would leave half of one when interrupted."""
        steps = sorted(int(p.name) for p in self._root.iterdir() if p.name.isdigit())
        for step in steps[: -self._keep]:
            self._discarded.mkdir(exist_ok=True)
            (self._root / str(step)).replace(self._discarded / str(step))
        shutil.rmtree(self._discarded, ignore_errors=True)

    def load(
        self, abstract: PyTree[jax.ShapeDtypeStruct], step: int | None = None
    ) -> TrainState:
        """Read a step into the shapes and shardings given.

        Args:
            abstract: shapes, types and shardings of the state.
            step: the step to read, by default the newest one that is not damaged. Later
                ones move to ``WORKDIR/damaged``, and a sentence on stderr says so.

        Raises:
            InputError: no checkpoint can be read, or they belong to another network.
        """
        steps = self._steps()[::-1] if step is None else [step]
        reasons: list[str] = []
        for number in steps:
            loaded, reason = self._try(number, abstract)
            if loaded is not None:
                if reasons:
                    self._set_aside(steps[: len(reasons)], reasons[0], number)
                return loaded
            reasons.append(reason)
        raise InputError(
            f"Checkpoint {steps[0]} in {self._root} is damaged, or does not fit this "
            f"config's network ({reasons[0]}); there is no other that does. Use its "
            "own config, or begin anew in another workdir."
        )

    def _try(
        self, step: int, abstract: PyTree[jax.ShapeDtypeStruct]
    ) -> tuple[TrainState | None, str]:
        """The state of a step, or why it cannot be read, alike on all processes."""
        loaded, reason = None, ""
        try:
            with _quiet():
                found = self._checkpointer.load(step, abstract._asdict())
            loaded = TrainState(**found)
        except Exception as error:  # whatever damage leads to inside of Orbax
            reason = innermost(error)
        if not everywhere(loaded is not None):
            return None, reason or "another process cannot read it"
        return loaded, ""

    def _set_aside(self, steps: Sequence[int], reason: str, used: int) -> None:
        """Move damaged checkpoints where no start looks for them."""
        if jax.process_index() == 0:
            self._damaged.mkdir(exist_ok=True)
            for step in steps:
                shutil.rmtree(self._damaged / str(step), ignore_errors=True)
                (self._root / str(step)).replace(self._damaged / str(step))
            print(
                f"Checkpoint {steps[0]} is damaged ({reason}): going on from step "
                f"{used}; it lies in {self._damaged} now.",
                file=sys.stderr,
            )
        if jax.process_count() > 1:
            multihost_utils.sync_global_devices("damaged checkpoints are set aside")
        self._checkpointer.reload()

    def _steps(self) -> list[int]:
        """All complete steps, oldest first."""
        return [one.step for one in self._checkpointer.checkpoints]

    def agree_on_config(
        self, config: dict[str, Any], records: Mapping[str, str] | None = None
    ) -> None:
        """Save the run's config, or refuse to resume when it differs from the saved.

        Raises:
            InputError: as ``run_config.agree``.
        """
        run_config.agree(self._config_file, config, records)

    def abandon(self) -> None:
        """Remove every trace of a run that was refused before its first checkpoint."""
        self.close()
        if jax.process_index() == 0 and not any(self._root.iterdir()):
            self._config_file.unlink(missing_ok=True)
            (self._config_file.parent / run_config.RECORDS).unlink(missing_ok=True)
            self._root.rmdir()

    def close(self) -> None:
        """Finish what is being written.

        Raises:
            FailedError: as ``settle``.
        """
        try:
            self.settle()
        except FailedError:
            with contextlib.suppress(Exception):  # Orbax tells it once more
                self._checkpointer.close()
            raise
        self._checkpointer.close()


@jax.jit
def copy_state(state: TrainState) -> TrainState:
    """The same state in memory of its own, on the same devices."""
    return jax.tree.map(jnp.copy, state)


def innermost(error: BaseException) -> str:
    """What the first of a chain of errors says, in a line."""
    while (earlier := error.__cause__ or error.__context__) is not None:
        error = earlier
    text = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    return textwrap.shorten(text, 160, placeholder=" …")


def everywhere(flag: bool) -> bool:
    """Whether a flag is set on all processes."""
    if jax.process_count() == 1:
        return flag
    return bool(multihost_utils.process_allgather(np.array(flag)).all())


SCORE = "score.json"


class Best:
    """Keeps ``WORKDIR/best``, the averaged weights with the lowest metric."""

    def __init__(self, workdir: Path, metric: str, config: dict[str, Any]) -> None:
        """Find what an earlier part of the run kept.

        Args:
            workdir: of the run.
            metric: name among the scores, lower is better; empty keeps nothing.
            config: the experiment, saved with the weights.
        """
        self._directory = workdir / "best"
        self._metric, self._config = metric, config
        self._value = _kept_value(self._directory / SCORE)

    def offer(
        self, step: int, scores: dict[str, float], variables: Variables
    ) -> float | None:
        """Keep the weights if they are better, and return the best value so far.

        Raises:
            InputError: there is no score with the metric's name.
        """
        if not self._metric:
            return None
        if self._metric not in scores:
            raise InputError(
                f"train.best_metric is {self._metric!r}, but evaluation gives "
                f"{', '.join(sorted(scores))}."
            )
        value = scores[self._metric]
        if self._value is None or value < self._value:
            self._value = value
            if jax.process_index() == 0:
                self._write(step, value, variables)
        return self._value

    def _write(self, step: int, value: float, variables: Variables) -> None:
        native.save(self._directory, variables, self._config)
        score = {"step": step, "metric": self._metric, "value": value}
        files.write_json(self._directory / SCORE, score)


def _kept_value(path: Path) -> float | None:
    """The score of the best weights so far; None where there is none that is whole."""
    if not path.exists():
        return None
    try:
        value = float(reading.read_object(path, limit=reading.SETTINGS_BYTES)["value"])
        if math.isfinite(value):
            return value
    except (InputError, KeyError, TypeError, ValueError):
        pass
    if jax.process_index() == 0:
        print(
            f"{path} is damaged: the next weights that are evaluated take the place of "
            "the best ones.",
            file=sys.stderr,
        )
    return None
