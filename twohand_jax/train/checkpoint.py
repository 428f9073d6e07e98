"""Checkpoints and the best weights of a run: one directory a step (orbax v1)."""

import json
import logging
import shutil
import textwrap
import zlib
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jaxtyping import PyTree

from twohand_jax import files
from twohand_jax.errors import InputError
from twohand_jax.models.apply import Variables
from twohand_jax.train.state import TrainState
from twohand_jax.weights import native

logging.getLogger("absl").setLevel(logging.ERROR)


class Checkpoints:
    """The checkpoints of one working directory.

    A step's directory appears under its final name only when it is complete and loses
    the name before it is deleted, so whatever can be seen can be loaded.
    """

    def __init__(self, directory: Path, *, keep: int = 2):
        """Open or begin a working directory.

        Args:
            directory: shared by all processes.
            keep: how many of the newest checkpoints stay.
        """
        # Only training needs it, and it takes as long to import as JAX itself.
        from orbax.checkpoint import v1 as ocp

        self._config_file = directory / "config.json"
        self._root = (directory / "checkpoints").absolute()
        self._discarded = (directory / "discarded").absolute()
        self._keep = keep
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
        """Write a checkpoint of ``state.step``; at once, not in the background.

        Raises:
            InputError: it cannot be written; the older ones stay as they are.
        """
        step = int(state.step)
        if self.latest() == step:
            return
        try:
            self._checkpointer.save(step, state._asdict(), force=True)
        except (OSError, ValueError, RuntimeError) as error:
            raise InputError(
                f"The checkpoint of step {step} cannot be written to {self._root} "
                f"({str(error).splitlines()[0]}); those before it are complete. Make "
                "room and run the same command again."
            ) from error
        if jax.process_index() == 0:
            self._prune()

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
        """Read a step (the newest by default) into the shapes and shardings given.

        Raises:
            InputError: the checkpoint belongs to another network.
        """
        step = self.latest() if step is None else step
        try:
            loaded = self._checkpointer.load(step, abstract._asdict())
        except (ValueError, KeyError) as error:
            reason = textwrap.shorten(str(error), 160, placeholder=" …")
            raise InputError(
                f"Checkpoint {step} in {self._checkpointer.directory} does not fit "
                f"this config's network ({reason}); use its own config "
                "or another workdir."
            ) from error
        return TrainState(**loaded)

    def agree_on_config(self, config: dict[str, Any]) -> None:
        """Save the run's config, or refuse to resume when it differs from the saved.

        Raises:
            InputError: names every field that differs, with both values.
        """
        text = json.dumps(config, indent=2, sort_keys=True)
        if not _same_everywhere(text):
            raise InputError(
                "The processes of this run were started with different configs: give "
                "all of them the same command."
            )
        if not self._config_file.exists():
            if jax.process_index() == 0:
                files.write_text(self._config_file, text)
            return
        saved = _flat(native.current(json.loads(self._config_file.read_text())))
        wanted = _flat(native.current(json.loads(text)))
        names = sorted(saved.keys() | wanted.keys())
        changes = [
            f"{name}: {saved.get(name)!r} → {wanted.get(name)!r}"
            for name in names
            if saved.get(name) != wanted.get(name)
        ]
        if changes:
            raise InputError(
                f"{self._config_file} was written by another config "
                f"({'; '.join(changes)}); resume with the old one or give a new "
                "--workdir."
            )

    def close(self) -> None:
        """Finish what is being written."""
        self._checkpointer.close()


def _same_everywhere(text: str) -> bool:
    if jax.process_count() == 1:
        return True
    digest = np.array(zlib.crc32(text.encode()), np.uint32)
    return len(np.unique(multihost_utils.process_allgather(digest))) == 1


def _flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(tree, dict):
        return {prefix: tree}
    out: dict[str, Any] = {}
    for key, value in tree.items():
        out |= _flat(value, f"{prefix}.{key}" if prefix else str(key))
    return out


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
        path = self._directory / SCORE
        self._value = json.loads(path.read_text())["value"] if path.exists() else None

    def offer(
        self, step: int, scores: dict[str, float], variables: Variables
    ) -> float | None:
        """Keep the weights if they are better; returns the best value so far.

        Raises:
            InputError: no score has the name of the metric.
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
