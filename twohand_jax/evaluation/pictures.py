"""Pictures of what a network predicts on record sets, to watch a training run."""

from collections.abc import Callable

import cv2
import jax
import numpy as np
from jaxtyping import UInt8

from twohand_jax.crops.cue_table import NAMES
from twohand_jax.crops.inputs import CropConfig
from twohand_jax.evaluation import methods
from twohand_jax.models.apply import Network, Variables
from twohand_jax.types import Batch, Camera, ManoModel, Prediction
from twohand_jax.viz.overlay import hand_meshes, overlay

COLUMNS = 2
HEIGHT = 320
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
        return _grid([_one(prediction, batch, model, row) for row in rows])

    return draw


def _one(
    prediction: Prediction, batch: Batch, model: ManoModel, row: int
) -> UInt8[np.ndarray, "h w 3"]:
    """The canvas of a record with the predicted meshes, and the side view."""
    meshes = hand_meshes(
        model, prediction.geometry.vertices[row], prediction.score[row] > 0
    )
    T = np.asarray(batch.T_canvas_image[row])
    camera = Camera(
        focal=prediction.camera.focal[row] * np.diag(T[:, :2]),
        center=T[:, :2] @ prediction.camera.center[row] + T[:, 2],
    )
    return overlay(np.asarray(batch.canvas[row]), meshes, camera)


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
