"""Checkpoints: state, data position and config in one directory a step (orbax v1)."""

import json
import logging
from pathlib import Path
from typing import Any

import jax
from jaxtyping import PyTree
from orbax.checkpoint import v1 as ocp

from twohand_jax.errors import InputError
from twohand_jax.train.state import TrainState

logging.getLogger("absl").setLevel(logging.ERROR)


class Checkpoints:
    """The checkpoints of one working directory.

    A step's directory appears under its final name only when it is complete, so
    whatever can be seen can be loaded.
    """

    def __init__(self, directory: Path, *, keep: int = 2):
        self._config_file = directory / "config.json"
        self._checkpointer = ocp.training.Checkpointer(
            (directory / "checkpoints").absolute(),
            save_decision_policy=None,
            preservation_policy=ocp.training.preservation_policies.LatestN(keep),
            cleanup_tmp_directories=True,
        )

    def latest(self) -> int | None:
        """The newest complete step."""
        newest = self._checkpointer.latest
        return None if newest is None else newest.step

    def save(self, state: TrainState) -> None:
        """Write a checkpoint of ``state.step``; at once, not in the background."""
        step = int(state.step)
        if self.latest() != step:
            self._checkpointer.save(step, state._asdict(), force=True)

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
            reason = str(error).splitlines()[0]
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
        if not self._config_file.exists():
            if jax.process_index() == 0:
                self._config_file.parent.mkdir(parents=True, exist_ok=True)
                beside = self._config_file.with_suffix(".partial")
                beside.write_text(json.dumps(config, indent=2, sort_keys=True))
                beside.replace(self._config_file)
            return
        saved = _flat(json.loads(self._config_file.read_text()))
        wanted = _flat(json.loads(json.dumps(config)))
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


def _flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(tree, dict):
        return {prefix: tree}
    out: dict[str, Any] = {}
    for key, value in tree.items():
        out |= _flat(value, f"{prefix}.{key}" if prefix else str(key))
    return out
