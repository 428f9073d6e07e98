"""The best weights of a run so far, as a model directory beside the checkpoints."""

import json
from pathlib import Path
from typing import Any

import jax

from twohand_jax.errors import InputError
from twohand_jax.models.apply import Variables
from twohand_jax.weights import native

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
        partial = self._directory / (SCORE + ".partial")
        partial.write_text(json.dumps(score, indent=1))
        partial.replace(self._directory / SCORE)
