"""What is measured and drawn while a run trains: a table, a line for each kind."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from twohand_jax.diffusion.representation import OTHER, RELATIVE
from twohand_jax.evaluation import evaluator, methods, pictures, protocols, segdepth
from twohand_jax.evaluation.prior import denoising
from twohand_jax.experiments import Experiment, data, pair_encoder
from twohand_jax.experiments.pair_encoder import PairEncoderExperiment
from twohand_jax.experiments.prior import PriorExperiment
from twohand_jax.experiments.regressor import RegressorExperiment
from twohand_jax.experiments.segdepth import SegDepthExperiment
from twohand_jax.models.apply import Network, Variables
from twohand_jax.train.task import Task

PICTURED = 6
PAIRS = 1024  # that the pair encoder is measured on


class Monitor(NamedTuple):
    """The two functions of a ``train.task.Task`` that look at averaged weights."""

    evaluate: Callable[[Variables], dict[str, float]]
    pictures: Callable[[Variables], UInt8[np.ndarray, "h w 3"]] | None = None


def watched(task: Task, experiment: Experiment) -> Task:
    """A task with what is measured and drawn while it trains; opens the test data.

    Args:
        task: of the experiment.
        experiment: of any kind; one without a monitor is trained unwatched.

    Raises:
        InputError: the test data are not usable.
    """
    watch = MONITORS.get(experiment.kind)
    if watch is None:
        return task
    monitor = watch(experiment, task.network, task.constants)
    return task._replace(evaluate=monitor.evaluate, pictures=monitor.pictures)


def _regressor(
    experiment: RegressorExperiment, network: Network, constants: Any
) -> Monitor:
    """Errors of every row of a table, wrists aligned; predictions on test records."""
    model = constants
    test = data.reader(experiment, experiment.data.test, "test", shuffle=False)
    estimate = methods.estimator(network, crop=experiment.crop)
    score = evaluator.scorer(protocols.get("wrist"))
    dropout = experiment.augment.cue_dropout
    known = methods.trained_rows(experiment.model.cues, dropout)
    draw = pictures.drawer(network, crop=experiment.crop)

    def evaluate(variables: Variables) -> dict[str, float]:
        rows = methods.cue_methods(estimate, variables, model, cue_sets=known)
        parts = list(evaluator.scored(rows, score, test.once(), model))
        return {
            f"{row}/{name}": value
            for row, values in evaluator.figures(evaluator.gather(parts)).items()
            for name, value in values.items()
        }

    def picture(variables: Variables) -> UInt8[np.ndarray, "h w 3"]:
        return draw(variables, next(test.once()), model, count=PICTURED)

    return Monitor(evaluate, picture)


def _prior(experiment: PriorExperiment, network: Network, constants: Any) -> Monitor:
    """How well held-out pairs are denoised."""
    test = data.split_vectors(constants.model, experiment.data.test, "test")
    return Monitor(
        functools.partial(
            denoising.evaluate, network, vectors=test, constants=constants
        )
    )


def _pair_encoder(
    experiment: PairEncoderExperiment, network: Network, constants: Any
) -> Monitor:
    """How well held-out pairs are told from their surfaces."""
    test = data.split_vectors(constants.model, experiment.data.test, "test")
    return Monitor(
        functools.partial(pair_errors, network, vectors=test, constants=constants)
    )


def _segdepth(
    experiment: SegDepthExperiment, network: Network, constants: Any
) -> Monitor:
    """How well label and depth maps are told."""
    del constants  # the hand model, which no map depends on
    test = data.reader(experiment, experiment.data.test, "test", shuffle=False)

    def evaluate(variables: Variables) -> dict[str, float]:
        return segdepth.evaluate(
            network, variables, test.once(), region=experiment.crop
        )

    return Monitor(evaluate)


# (experiment, its network, constants of its loss) -> Monitor
MONITORS: Mapping[str, Callable[[Any, Network, Any], Monitor]] = {
    "regressor": _regressor,
    "prior": _prior,
    "pair_encoder": _pair_encoder,
    "segdepth": _segdepth,
}


def pair_errors(
    network: Network,
    variables: Variables,
    *,
    vectors: Float[np.ndarray, "n 2 64"],
    constants: pair_encoder.PairEncoderConstants,
) -> dict[str, float]:
    """Mean squared error on clean held-out surfaces, ``mse``.

    ``unexplained`` is that of the other hand's place alone (its last nine numbers),
    where 1 is what the mean would reach.
    """

    @jax.jit
    def compute(
        variables: Variables,
        vectors: Float[Array, "b 2 64"],
        constants: pair_encoder.PairEncoderConstants,
    ) -> tuple[Float[Array, "b"], Float[Array, "b"]]:
        seen = pair_encoder.surfaces(constants.model, vectors)
        (_, estimate), _ = network.apply(variables, seen)
        squared = pair_encoder.squared_errors(estimate, vectors, constants.statistics)
        return squared.mean(axis=(-2, -1)), squared[:, OTHER, RELATIVE].mean(axis=-1)

    rows = np.linspace(0, len(vectors) - 1, min(PAIRS, len(vectors))).astype(int)
    mse, place = compute(variables, jnp.asarray(vectors[rows]), constants)
    return {"mse": float(mse.mean()), "unexplained": float(place.mean())}
