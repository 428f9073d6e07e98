"""The labels of a batch as comparisons want them, worked out once for all methods."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from twohand_jax import mano
from twohand_jax.evaluation import difficulty
from twohand_jax.types import HandGeometry, ManoModel, Targets


class Truth(NamedTuple):
    """Labels, and what follows from them.

    Attributes:
        targets: the labels.
        hands: the fits, each posed with its ``transl`` taken away: what is relative to
            a root in the end is compared near the origin, where float32 rounds less.
        overlap: of the hands' boxes (``difficulty.overlap``); None where only a
            protocol's figures are wanted.
        occluded: share of joints that the other hand hides (``difficulty.occlusion``),
            likewise.
    """

    targets: Targets
    hands: HandGeometry
    overlap: Float[Array, "*b"] | None = None
    occluded: Float[Array, "*b 2"] | None = None


def posed(targets: Targets, model: ManoModel) -> Truth:
    """Labels with their fits posed, for any leading batch."""
    nowhere = jnp.zeros_like(targets.mano.transl)
    return Truth(targets, mano.forward(model, targets.mano._replace(transl=nowhere)))


@jax.jit
def of_batch(targets: Targets, model: ManoModel) -> Truth:
    """Labels of a batch with all that follows, a jitted program of its own.

    A program apart writes the posed hands to memory; as part of a comparison XLA would
    pose them again in each of its sums.
    """

    def one(targets: Targets) -> Truth:
        return posed(targets, model)._replace(
            overlap=difficulty.overlap(targets),
            occluded=difficulty.occlusion(targets, model),
        )

    return jax.vmap(one)(targets)
