"""One camera for both hands of a person.

NeuralAnnot fits each hand alone, seen by a camera whose focal length and principal
point follow from the hand's own box, and so far away that the hand hardly shows any
perspective. Distances between the two hands are therefore not known, and two such
cameras cannot be one. A record has one camera, however, in which training projects the
fits (METHOD: 2.5D joints of MANO's own). Where they differ, both hands are moved before
a camera that is much further away still: rotations and shapes stay as they are, each
wrist keeps its pixel and its scale, and every other joint its pixel but for the
perspective within the hand, about its depth over its distance (1-3 % of its size).
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from twohand_jax.types import Camera

# How many times further away than the fits' own cameras.
FURTHER = 20.0
SAME_WITHIN_PX = 1e-3


def shared(cameras: Sequence[Camera]) -> Camera:
    """The one camera for hands that were fitted with these.

    Args:
        cameras: one or two.
    """
    first = cameras[0]
    stacked = [np.stack(values) for values in zip(*cameras, strict=True)]
    if all(np.ptp(values, axis=0).max() <= SAME_WITHIN_PX for values in stacked):
        return first
    focal, center = stacked
    return Camera(focal=FURTHER * focal.max(axis=0), center=center.mean(axis=0))


def moved(
    wrist: Float[np.ndarray, "3"], own: Camera, other: Camera
) -> Float[np.ndarray, "3"]:
    """Where a hand's wrist has the same pixel and scale before the other camera."""
    if own is other:
        return wrist
    depth = wrist[2] * np.mean(other.focal) / np.mean(own.focal)
    pixel = wrist[:2] / wrist[2] * own.focal + own.center
    return np.append((pixel - other.center) / other.focal * depth, depth)
