"""Refinement with a loaded prior: of predictions in arrays, and of one photograph."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float, Key

from twohand_jax.diffusion import refine as refine_all
from twohand_jax.diffusion.gate import GateConfig
from twohand_jax.diffusion.refine import RefineConfig, Refined, refine_selected
from twohand_jax.geometry import boxes
from twohand_jax.inference.prior import Prior, parts, shipped_hand
from twohand_jax.types import LEFT, RIGHT, ManoModel, Prediction

CHOICES = ("auto", "always", "never")
DEFAULT = RefineConfig()
# A photograph's keypoints hold the hand where it was seen.
PHOTO = RefineConfig(energy=dataclasses.replace(DEFAULT.energy, keypoints=1.0))


def refine(
    prior: Prior,
    prediction: Prediction,
    key: Key[Array, ""] | None = None,
    *,
    config: RefineConfig = DEFAULT,
    keypoints: Float[Array, "*b 2 21 3"] | None = None,
    visible: Float[Array, "*b 2"] | None = None,
) -> Refined:
    """Separate two hands that run into each other, keeping what was seen (METHOD §5).

    The better-seen hand stays; samples that need nothing come back bit for bit.

    Args:
        prior: of the hand model of these hands.
        prediction: both hands in the camera, any leading batch.
        key: only matters when ``config.ddim.eta`` is above 0.
        config: the gate, the walk through noise, the energies.
        keypoints: x, y, score of both hands in the picture's pixels.
        visible: visible area of each hand, any unit.

    Returns:
        Host arrays; ``status`` says what became of each sample (``diffusion.Status``).
    """
    key = jax.random.key(0) if key is None else key
    batch = np.shape(prediction.score)[:-1]

    def flat(leaf: Array) -> np.ndarray:
        return np.reshape(leaf, (-1, *np.shape(leaf)[len(batch) :]))

    given = jax.tree.map(flat, (prediction, keypoints, visible))
    found = refine_selected(
        prior.parts,
        prior.model,
        given[0],
        key,
        config=config,
        keypoints=given[1],
        visible=given[2],
    )
    return jax.tree.map(lambda x: np.reshape(x, (*batch, *x.shape[1:])), found)


class Refiner:
    """The prior as a reconstruction uses it: loaded late, compiled by its caller.

    Attributes:
        key: text that changes with the program.
    """

    def __init__(self, prior: Prior, *, always: bool) -> None:
        """Take a loaded prior."""
        self._prior = prior
        gate = GateConfig(when="always" if always else "auto")
        self._config = dataclasses.replace(PHOTO, gate=gate)
        self.key = f"{prior.sizes} {prior.settings} {self._config}"

    def arguments(
        self, prediction: Prediction, keypoints: Float[np.ndarray, "2 21 3"]
    ) -> tuple[Any, ...]:
        """What the program takes."""
        return self._prior.variables, self._prior.model, prediction, keypoints

    def make(self) -> Callable[..., Refined]:
        """The program: one pair, no batch axis."""
        prior, config = self._prior, self._config

        def separate(
            variables: Any,
            model: ManoModel,
            prediction: Prediction,
            keypoints: Float[Array, "2 21 3"],
        ) -> Refined:
            return refine_all(
                parts(prior.network, prior.settings, variables),
                model,
                prediction,
                jax.random.key(0),
                config=config,
                keypoints=keypoints,
            )

        return separate


def is_needed(prediction: Prediction, choice: str) -> bool:
    """Whether to ask the prior at all, which has a closer look itself.

    Args:
        prediction: one pair.
        choice: "always" looks at every pair of hands, "auto" at overlapping boxes in
            the picture whose surfaces' boxes in space meet, too, "never" at none.
    """
    if choice == "never" or not (np.asarray(prediction.score) > 0).all():
        return False
    if choice == "always":
        return True
    right, left = (np.asarray(prediction.box)[side] for side in (RIGHT, LEFT))
    vertices = np.asarray(prediction.geometry.vertices)
    low, high = vertices.min(axis=1), vertices.max(axis=1)
    near = (low.max(axis=0) <= high.min(axis=0)).all()
    return bool(boxes.iou(right, left) > 0) and bool(near)


def refiner(
    choice: str, directory: str | Path | None, model: ManoModel
) -> Refiner | None:
    """The prior for a reconstruction, or None where there is none to use.

    Args:
        choice: one of ``CHOICES``. "auto" does without a prior when none is named and
            none ships for this hand model; "always" needs one.
        directory: of a prior; None for the shipped one.
        model: hand model of the reconstruction.

    Raises:
        InputError: the prior cannot be loaded or belongs to another hand model.
    """
    if choice == "never":
        return None
    if choice == "auto" and directory is None and model.name != shipped_hand():
        return None
    prior = Prior.load(directory, model=model)
    return Refiner(prior, always=choice == "always")
