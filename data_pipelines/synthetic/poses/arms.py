"""Which hands can meet at all, and whether their forearms have room."""

import numpy as np
from jaxtyping import Bool, Float

LENGTH = 0.2
RADIUS = 0.025
_SAMPLES = 9
# No skin lies this far from the nearest joint, twice over, metres.
_REACH = 0.1


def clear(joints: Float[np.ndarray, "n 2 21 3"]) -> Bool[np.ndarray, "n"]:
    """Whether straight forearms behind both wrists miss each other and the hands.

    Args:
        joints: canonical joints of both hands, metres.
    """
    wrist, middle = joints[..., 0, :], joints[..., 9, :]
    back = wrist - middle
    back = back / np.maximum(np.linalg.norm(back, axis=-1, keepdims=True), 1e-9)
    along = np.linspace(0.03, LENGTH, _SAMPLES)
    arms = wrist[..., None, :] + along[:, None] * back[..., None, :]
    right, left = arms[:, 0], arms[:, 1]
    return (
        (_gap(right, left) > 2 * RADIUS)
        & (_gap(right, joints[:, 1]) > RADIUS)
        & (_gap(left, joints[:, 0]) > RADIUS)
    )


def within_reach(joints: Float[np.ndarray, "n 2 21 3"]) -> Bool[np.ndarray, "n"]:
    """Whether two hands are near enough that they might touch."""
    return _gap(joints[:, 0], joints[:, 1]) < _REACH


def _gap(
    first: Float[np.ndarray, "n a 3"], second: Float[np.ndarray, "n b 3"]
) -> Float[np.ndarray, "n"]:
    offset = first[:, :, None] - second[:, None]
    return np.linalg.norm(offset, axis=-1).min((1, 2))
