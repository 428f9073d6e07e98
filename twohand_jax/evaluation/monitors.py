"""What is measured and drawn while a run trains: a table, a line for each kind.

The pictures are of the first records of the test set.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import cv2
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from twohand_jax.crops.canvas import Window
from twohand_jax.crops.cue_table import NAMES
from twohand_jax.crops.inputs import CropConfig
from twohand_jax.diffusion import representation
from twohand_jax.diffusion.representation import OTHER, RELATIVE
from twohand_jax.diffusion.schedule import add_noise
from twohand_jax.evaluation import evaluator, methods, protocols, segdepth
from twohand_jax.experiments import Experiment, data, pair_encoder
from twohand_jax.experiments.pair_encoder import PairEncoderExperiment
from twohand_jax.experiments.prior import (
    PriorConstants,
    PriorExperiment,
    surface_errors,
)
from twohand_jax.experiments.regressor import RegressorExperiment
from twohand_jax.experiments.segdepth import SegDepthExperiment
from twohand_jax.models.apply import Network, Variables
from twohand_jax.train.task import Task
from twohand_jax.types import Batch, Camera, ManoModel, Prediction

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
    draw = drawer(network, crop=experiment.crop)

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
        functools.partial(denoising_errors, network, vectors=test, constants=constants)
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


COLUMNS = 2
HEIGHT = 320
ROOM = 1.5
PAPER = 246
# (weights, batch, hand model, count=...) -> picture
Draw = Callable[..., UInt8[np.ndarray, "h w 3"]]


def drawer(network: Network, *, crop: CropConfig) -> Draw:
    """A function that draws predictions for the first records of a batch.

    Args:
        network: pure functions of the regressor.
        crop: how hands are cut out.
    """
    estimate = methods.estimator(network, crop=crop)

    def draw(
        variables: Variables, batch: Batch, model: ManoModel, *, count: int
    ) -> UInt8[np.ndarray, "h w 3"]:
        found = estimate(variables, batch, model, NAMES)
        prediction = jax.tree.map(np.asarray, found)
        rows = np.flatnonzero(np.asarray(batch.weight) > 0)[:count]
        return _grid([draw_record(prediction, batch, model, row) for row in rows])

    return draw


def draw_record(
    prediction: Prediction, batch: Batch, model: ManoModel, row: int
) -> UInt8[np.ndarray, "h w 3"]:
    """A record about its hands with the predicted meshes, and the side view."""
    from twohand_jax.viz.overlay import hand_meshes, overlay

    meshes = hand_meshes(
        model, prediction.geometry.vertices[row], prediction.score[row] > 0
    )
    window = _around_hands(batch, row)
    image = window.cut(np.asarray(batch.canvas[row]), HEIGHT, cv2.INTER_AREA)
    T_canvas, T_view = (
        np.asarray(batch.T_canvas_image[row]),
        window.T_canvas_image(HEIGHT),
    )
    scale = np.diag(T_view[:, :2]) * np.diag(T_canvas[:, :2])
    center = T_canvas[:, :2] @ prediction.camera.center[row] + T_canvas[:, 2]
    center = T_view[:, :2] @ center + T_view[:, 2]
    camera = Camera(focal=prediction.camera.focal[row] * scale, center=center)
    return overlay(image, meshes, camera)


def _around_hands(batch: Batch, row: int) -> Window:
    """The square of the canvas about the labelled boxes, with some room."""
    valid = np.asarray(batch.targets.hand_valid[row]) > 0
    T, size = np.asarray(batch.T_canvas_image[row]), batch.canvas.shape[-2]
    corners = np.asarray(batch.targets.box[row])[valid].reshape(-1, 2)
    if not len(corners):
        return Window(0, 0, size)
    corners = corners @ T[:, :2].T + T[:, 2]
    low, high = corners.min(axis=0), corners.max(axis=0)
    side = int(np.clip(ROOM * (high - low).max(), 16, size))
    x, y = np.rint((low + high - side) / 2).clip(-size, size).astype(int).tolist()
    return Window(x, y, side)


def _grid(tiles: list[UInt8[np.ndarray, "h w 3"]]) -> UInt8[np.ndarray, "h w 3"]:
    tiles = [
        cv2.resize(tile, (round(tile.shape[1] * HEIGHT / tile.shape[0]), HEIGHT))
        for tile in tiles
    ]
    width = max(tile.shape[1] for tile in tiles)
    sheet = np.full(
        (-(-len(tiles) // COLUMNS) * HEIGHT, COLUMNS * width, 3), PAPER, np.uint8
    )
    for number, tile in enumerate(tiles):
        row, column = divmod(number, COLUMNS)
        top, left = row * HEIGHT, column * width
        sheet[top : top + HEIGHT, left : left + tile.shape[1]] = tile
    return sheet


# Share of the schedule at which pairs are looked at, and how many of them.
LEVELS = (0.25, 0.5, 1.0)
DENOISED_PAIRS = 2048


def denoising_errors(
    network: Network,
    variables: Variables,
    *,
    vectors: Float[np.ndarray, "n 2 64"],
    constants: PriorConstants,
) -> dict[str, float]:
    """Errors of the estimated clean hand, with and without the other hand known.

    Returns:
        Mean squared error of the normalised numbers (``mse``) and root mean square
        distance of the vertices in mm (``vertex_mm``), by noise level; the mean of
        ``mse`` over the levels as ``conditional/mse`` and ``blind/mse``.
    """
    rows = np.linspace(0, len(vectors) - 1, min(DENOISED_PAIRS, len(vectors))).astype(
        int
    )
    found = {}
    for name, blind in (("conditional", False), ("blind", True)):
        errors = []
        for level in LEVELS:
            t = round(level * (len(constants.schedule.betas) - 1))
            mse, vertex = _denoised(
                network, variables, jnp.asarray(vectors[rows]), constants, t, blind
            )
            found[f"{name}/{level:g}/mse"] = float(mse)
            found[f"{name}/{level:g}/vertex_mm"] = 1e3 * float(vertex)
            errors.append(float(mse))
        found[f"{name}/mse"] = float(np.mean(errors))
    return found


def _denoised(
    network: Network,
    variables: Variables,
    vectors: Float[Array, "n 2 64"],
    constants: PriorConstants,
    level: int,
    blind: bool,
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    @jax.jit
    def compute(variables, vectors, constants, t):
        model, statistics, schedule = constants
        normal = representation.normalise(vectors, statistics)
        noise = jax.random.normal(jax.random.key(0), normal[:, 1].shape)
        noisy = add_noise(normal[:, 1], noise, t, schedule)
        condition = jnp.where(blind, 0.0, normal[:, 0])
        estimate, _ = network.apply(variables, noisy, t, condition)
        mse = jnp.mean((estimate - normal[:, 1]) ** 2)
        found = representation.denormalise(estimate, statistics, hand=OTHER)
        weight = jnp.ones(len(vectors))
        surface = surface_errors(model, found, vectors[:, 1], weight)
        return mse, jnp.sqrt(surface["vertex"].value())

    t = jnp.full(len(vectors), level)
    return compute(variables, vectors, constants, t)
