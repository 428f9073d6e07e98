"""Refinement with a loaded prior, of batches of predictions and of one photograph."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float, Key

from twohand_jax import switches
from twohand_jax.crops.predictions import prediction_from_params
from twohand_jax.diffusion import refine as refine_all
from twohand_jax.diffusion.gate import GateConfig, Status
from twohand_jax.diffusion.guidance import PairEnergy
from twohand_jax.diffusion.refine import RefineConfig, Refined, refine_selected
from twohand_jax.diffusion.visibility import labelled_area, visible_area
from twohand_jax.errors import InputError
from twohand_jax.geometry import boxes
from twohand_jax.inference.prior import Prior, parts, shipped_hand
from twohand_jax.types import (
    LEFT,
    NO_CUES,
    RIGHT,
    Cues,
    ManoModel,
    ManoParams,
    Prediction,
)

CHOICES = ("auto", "always", "never")
DEFAULT = RefineConfig()
# A photograph's keypoints hold the hand where it was seen.
PHOTO = RefineConfig(energy=dataclasses.replace(DEFAULT.energy, keypoints=1.0))


@switches.defaults()
def refine(
    prior: Prior,
    prediction: Prediction | ManoParams,
    key: Key[Array, ""] | None = None,
    *,
    config: RefineConfig = DEFAULT,
    energy: PairEnergy | None = None,
    keypoints: Float[Array, "*b 2 21 3"] | None = None,
    visible: Float[Array, "*b 2"] | None = None,
) -> Refined:
    """Separate two hands that penetrate each other (METHOD §5).

    The better-seen hand stays. Samples that need no refinement are returned bit for
    bit. It can be jitted, differentiated and vmapped: inside a trace every sample is
    computed, outside only those that need it.

    Args:
        prior: a prior for the hand model of these hands.
        prediction: both hands in the camera, any leading batch; or their parameters,
            which become a prediction with the defaults of ``prediction_from_params``.
        key: random key; only used if ``config.ddim.eta`` is above 0.
        config: the gate, the steps of diffusion, and the energies.
        energy: a function of your own, ``(model, pair) -> *b``, as for sampling
            (``diffusion.PairEnergy``). It is added to the built-in energies and
            descended with the step sizes of ``config.guidance``. With
            ``EnergyConfig(collision=0)`` it takes the place of the collision energy;
            the hands may then penetrate each other more than before. Pass the same
            function each time: a program is compiled for every new one.
        keypoints: x and y in picture pixels, and score, of both hands.
        visible: visible area of each hand, any unit: the hand with the larger one
            stays. By default that of the drawn meshes (``diffusion.visible_area``).

    Returns:
        Refined hands; ``status`` has the outcome of each sample (``diffusion.Status``).
        The arrays are NumPy's outside of traces and JAX's inside.

    Raises:
        InputError: the prior belongs to another hand model, the prediction is neither
            a prediction nor parameters, or the energy is not a function.
    """
    _check(prediction, energy)
    key = jax.random.key(0) if key is None else key
    hands: Prediction = (
        _prediction(prior.model, prediction)
        if isinstance(prediction, ManoParams)
        else prediction
    )
    if visible is None:
        visible = _visible_area(prior.model, hands)
    given = prior.parts, prior.model, hands, key
    how: Any = dict(config=config, energy=energy, keypoints=keypoints, visible=visible)
    if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves((given, how))):
        return _refine_all(*given, **how)
    try:
        return refine_selected(*given, **how)
    except jax.errors.TracerArrayConversionError:
        # No argument is traced, but the energy's own numbers or all of JAX are.
        return _refine_all(*given, **how)


def _check(prediction: Prediction | ManoParams, energy: PairEnergy | None) -> None:
    if not isinstance(prediction, Prediction | ManoParams):
        raise InputError(
            "Refinement takes a Prediction or ManoParams, not "
            f"{type(prediction).__name__}; twohand_jax.prediction_from_params makes a "
            "Prediction of parameters and a camera."
        )
    if energy is not None and not callable(energy):
        raise InputError(
            f"The energy is {energy!r}; give a function (model, pair) -> one value a "
            "pair, and the weights of the built-in energies in RefineConfig.energy."
        )


_prediction = jax.jit(prediction_from_params)
_visible_area = jax.jit(visible_area)
_refine_all = jax.jit(refine_all, static_argnames=("config", "energy"))


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
        self,
        prediction: Prediction,
        keypoints: Float[np.ndarray, "2 21 3"],
        cues: Cues = NO_CUES,
    ) -> tuple[Any, ...]:
        """What the program takes; the cues' segmentation says which hand is seen."""
        labelled = np.zeros(2, np.float32)
        if cues.has("segmentation"):
            labelled = labelled_area(np.asarray(cues.values["segmentation"]))
        prior = self._prior
        return prior.variables, prior.model, prediction, keypoints, labelled

    def make(self) -> Callable[..., Refined]:
        """The program: one pair, no batch axis."""
        prior, config = self._prior, self._config

        def separate(
            variables: Any,
            model: ManoModel,
            prediction: Prediction,
            keypoints: Float[Array, "2 21 3"],
            labelled: Float[Array, "2"],
        ) -> Refined:
            return refine_all(
                parts(prior.network, prior.settings, variables),
                model,
                prediction,
                jax.random.key(0),
                config=config,
                keypoints=keypoints,
                visible=visible_area(model, prediction, labelled),
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


# How much further off its 2D joints, of its size, refinement may leave a hand. Of eight
# photographed pairs it moves five by up to 0.09, three that interlock by 0.12 to 0.28.
LEAVES = 0.1


def kept_on_joints(
    refined: Refined, before: Prediction, keypoints: Float[np.ndarray, "2 21 3"]
) -> Refined:
    """The refined hands, or those before if one of them would leave its 2D joints.

    Args:
        refined: what the prior made of one photograph's hands.
        before: these hands.
        keypoints: x and y in pixels, and score times trust; hands of whose joints none
            has a score are not held.
    """
    if int(refined.status) != Status.REFINED:
        return refined
    moved = keypoint_error(refined.prediction, keypoints)
    if (moved - keypoint_error(before, keypoints) <= LEAVES).all():
        return refined
    return refined._replace(
        prediction=before,
        status=np.asarray(Status.LEFT_JOINTS, np.int32),
        depth_after=refined.depth_before,
    )


def keypoint_error(
    prediction: Prediction, keypoints: Float[np.ndarray, "2 21 3"]
) -> Float[np.ndarray, "2"]:
    """Mean distance of the projected joints from scored keypoints.

    The unit is the longer side of the keypoints' box. A hand without keypoints has 0.
    """
    joints, camera = np.asarray(prediction.geometry.joints), prediction.camera
    depth = np.maximum(joints[..., 2:], 1e-3)
    pixels = joints[..., :2] / depth * np.asarray(camera.focal)
    distance = np.linalg.norm(
        pixels + np.asarray(camera.center) - keypoints[..., :2], axis=-1
    )
    errors = np.zeros(2)
    for side, known in enumerate(keypoints[..., 2] > 0):
        if known.any():
            extent = np.ptp(keypoints[side, known, :2], axis=0).max()
            errors[side] = distance[side, known].mean() / max(extent, 1.0)
    return errors
