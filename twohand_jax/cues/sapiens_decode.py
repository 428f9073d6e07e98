"""From Sapiens' maps to what a picture needs of them, on the device.

Keypoints are read from heat maps as in "distribution-aware" decoding (DARK, Zhang et
al., CVPR 2020, in its UDP form): the maximum, moved by one Newton step on the logarithm
of the blurred map. Only what is needed leaves the device: 42 points, or three channels.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from twohand_jax.cues.sapiens_sets import BACKGROUND, HAND_CLASSES, HAND_KEYPOINTS
from twohand_jax.types import LEFT, RIGHT

HIGHEST = jax.lax.Precision.HIGHEST
BLUR = 11
LOG_RANGE = (1e-3, 50.0)  # values of the blurred map are clipped to it
LONGEST_STEP = 2.0  # cells
EPSILON = 1e-12


def decode_keypoints(
    heatmaps: Float[Array, "b h w k"], size: tuple[int, int]
) -> Float[Array, "b 2 21 3"]:
    """Keypoints of both hands: x and y in pixels of the input, and the map's maximum.

    A map without a positive value gives the score 0.

    Args:
        heatmaps: of one of the keypoint sets.
        size: height and width of the network's input.
    """
    hands = heatmaps[..., HAND_KEYPOINTS[heatmaps.shape[-1]].ravel()]
    maps = jnp.moveaxis(hands, -1, -3)
    score = jnp.max(maps, axis=(-2, -1))
    points = refined_peaks(maps)
    rows, columns = maps.shape[-2:]
    factor = jnp.array([(size[1] - 1) / (columns - 1), (size[0] - 1) / (rows - 1)])
    found = jnp.concatenate([points * factor, score[..., None]], axis=-1)
    found = jnp.where(score[..., None] > 0, found, 0.0)
    return found.reshape(-1, 2, 21, 3)


def refined_peaks(maps: Float[Array, "*b h w"]) -> Float[Array, "*b 2"]:
    """Place of each map's maximum, x and y in cells, moved to the peak about it.

    The maximum stays where it is when the Newton step does not lead to a peak: the
    Hessian is not negative definite, or the step is longer than ``LONGEST_STEP``.
    """
    columns = maps.shape[-1]
    flat = maps.reshape(*maps.shape[:-2], -1)
    best = jnp.argmax(flat, axis=-1)
    place = jnp.stack([best % columns, best // columns], axis=-1)
    return place + _newton_step(_log_patch(maps, place))


def blurred(maps: Float[Array, "*b h w"]) -> Float[Array, "*b h w"]:
    """Gaussian of ``BLUR`` cells, zero outside; each map keeps its maximum."""
    rows, columns = (_band(size) for size in maps.shape[-2:])
    smooth = jnp.einsum("ij,...jk,kl->...il", rows, maps, columns, precision=HIGHEST)
    peak = jnp.max(smooth, axis=(-2, -1), keepdims=True)
    kept = jnp.max(maps, axis=(-2, -1), keepdims=True)
    return smooth * (kept / jnp.where(peak > 0, peak, 1.0))


def _band(size: int) -> Float[np.ndarray, "n n"]:
    """The blur along one axis as a matrix.

    OpenCV's spread for a kernel of 11 is 0.3 ((11 - 1) / 2 - 1) + 0.8 = 2.
    """
    spread = 0.3 * ((BLUR - 1) / 2 - 1) + 0.8
    offsets = np.arange(size) - np.arange(size)[:, None]
    weights = np.exp(-(offsets**2) / (2 * spread**2)) * (abs(offsets) <= BLUR // 2)
    taps = np.arange(BLUR) - BLUR // 2
    total = np.exp(-(taps**2) / (2 * spread**2)).sum()
    return (weights / total).astype(np.float32)


def _log_patch(
    maps: Float[Array, "*b h w"], place: Int[Array, "*b 2"]
) -> Float[Array, "*b 3 3"]:
    """Logarithm of the blurred map in the cells about a place, edges repeated."""
    height, width = maps.shape[-2:]
    near = jnp.arange(-1, 2)
    x = jnp.clip(place[..., :1] + near, 0, width - 1)
    y = jnp.clip(place[..., 1:] + near, 0, height - 1)
    index = (y[..., :, None] * width + x[..., None, :]).reshape(*place.shape[:-1], 9)
    flat = blurred(maps).reshape(*maps.shape[:-2], -1)
    values = jnp.take_along_axis(flat, index, axis=-1)
    return jnp.log(jnp.clip(values, *LOG_RANGE)).reshape(*place.shape[:-1], 3, 3)


def _newton_step(patch: Float[Array, "*b 3 3"]) -> Float[Array, "*b 2"]:
    """From the middle of a patch to the peak of its second-order expansion."""
    up, middle, down = (patch[..., row, 1] for row in range(3))
    left, right = patch[..., 1, 0], patch[..., 1, 2]
    dx, dy = (right - left) / 2, (down - up) / 2
    dxx, dyy = right - 2 * middle + left, down - 2 * middle + up
    corners = patch[..., 2, 2] + patch[..., 0, 0]
    dxy = (corners - right - left - down - up + 2 * middle) / 2
    determinant = dxx * dyy - dxy**2
    peaked = (dxx < 0) & (determinant > EPSILON)
    safe = jnp.where(peaked, determinant, 1.0)
    step = jnp.stack([dxy * dy - dyy * dx, dxy * dx - dxx * dy], axis=-1)
    step = step / safe[..., None]
    short = jnp.max(jnp.abs(step), axis=-1) <= LONGEST_STEP
    return jnp.where((peaked & short)[..., None], step, 0.0)


def hand_margins(scores: Float[Array, "b h w k"]) -> Float[Array, "b h w 3"]:
    """By how much the right hand, the left hand and the foreground win.

    The hands against the best class that is no hand, the foreground's best class
    against the background. Three margins stand for 28 maps when they are interpolated
    to the picture's size: what is then a hand is one by all 28, and only where other
    classes meet beside it can the hand lose a part of a cell.
    """
    classes = HAND_CLASSES[scores.shape[-1]]
    rest = [k for k in range(scores.shape[-1]) if k not in classes.values()]
    best_other = jnp.max(scores[..., np.array(rest)], axis=-1)
    foreground = [k for k in range(scores.shape[-1]) if k != BACKGROUND]
    best_inner = jnp.max(scores[..., np.array(foreground)], axis=-1)
    right, left = (scores[..., classes[side]] - best_other for side in (RIGHT, LEFT))
    return jnp.stack([right, left, best_inner - scores[..., BACKGROUND]], axis=-1)
