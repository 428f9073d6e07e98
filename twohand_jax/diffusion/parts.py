"""A trained prior as sampling and refinement take it."""

import dataclasses

import jax

from twohand_jax.diffusion.ddim import Denoise
from twohand_jax.diffusion.statistics import Statistics
from twohand_jax.errors import InputError
from twohand_jax.types import ManoModel, NoiseSchedule


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class PriorParts:
    """What refinement needs of a trained prior; passes through ``jax.jit``.

    Attributes:
        denoise: predicts normalised clean vectors; ``jax.tree_util.Partial`` of a
            function and its weights, so that the weights are an argument of the jit.
        statistics: that normalise the vectors.
        schedule: that the denoiser was trained with.
        hand_model: name of the hand model it was trained on.
        kind: "std" or "variance", what the statistics' scale is.
    """

    denoise: Denoise
    statistics: Statistics
    schedule: NoiseSchedule
    hand_model: str = dataclasses.field(metadata={"static": True})
    kind: str = dataclasses.field(default="std", metadata={"static": True})


def check_hand_model(prior: PriorParts, model: ManoModel) -> None:
    """Refuse hands of another model than the prior's.

    Raises:
        InputError: the names differ; the message says both.
    """
    if prior.hand_model != model.name:
        raise InputError(
            f"The prior was trained on the hand model {prior.hand_model!r}, the hands "
            f"to refine belong to {model.name!r}; load a prior for {model.name!r} or "
            f"the hand model {prior.hand_model!r}."
        )
