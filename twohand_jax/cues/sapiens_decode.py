"""From Sapiens' maps to the cues of a picture, on the device."""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Float32, Int, UInt8

from twohand_jax.types import LEFT, NO_CUES, RIGHT, Cues

HIGHEST = jax.lax.Precision.HIGHEST
BLUR = 11
# Sapiens' normals have y up and z towards the camera; ours y down and z forward.
NORMAL_AXES = np.array([1.0, -1.0, -1.0], np.float32)
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

    The hands against the best class that is not a hand, the foreground's best class
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


def _fingers(wrist: int, bases: tuple[int, ...], step: int) -> list[int]:
    """A wrist, and four joints of each finger counted from its base."""
    return [wrist, *(base + step * joint for base in bases for joint in range(4))]


# Keypoint set by its length: index of our 21 joints, right hand first. The 308 list
# fingers from the tip down; the 133 are COCO-WholeBody's, the left hand first.
HAND_KEYPOINTS = {
    308: np.array(
        [_fingers(41, (24, 28, 32, 36, 40), -1), _fingers(62, (45, 49, 53, 57, 61), -1)]
    ),
    133: np.array([np.arange(112, 133), np.arange(91, 112)]),
}
# Number of classes: the class of the right and of the left hand.
HAND_CLASSES = {28: {RIGHT: 14, LEFT: 5}}
BACKGROUND = 0


FOREGROUND = 2  # among the margins, after those of the hands


class View(NamedTuple):
    """What a network says about its input.

    Attributes:
        values: keypoints of both hands in the input's pixels, or a map of the whole
            input, of any size.
        T_input_image: where the input lies on the picture; upright.
        size: height and width of the input in pixels.
    """

    values: Float[np.ndarray, "..."]
    T_input_image: Float[np.ndarray, "2 3"]
    size: tuple[int, int]

    def axis(self, axis: int, length: int) -> Float[np.ndarray, "n"]:
        """Where the picture's rows (0) or columns (1) lie in the input, pixels."""
        scale, offset = self.T_input_image[1 - axis, [1 - axis, 2]]
        return np.arange(length) * scale + offset


def stitch(
    shape: tuple[int, int], valid: Bool[np.ndarray, "2"], views: Mapping[str, View]
) -> Cues:
    """Cues of a whole picture from what the networks said about a part of it.

    Args:
        shape: height and width of the picture.
        valid: which hands are there.
        views: by the cue that they are of.
    """
    cues = NO_CUES
    foreground = np.ones(shape, bool)
    if "keypoints" in views:
        points = place_keypoints(views["keypoints"]) * valid[:, None, None]
        cues = cues.put("keypoints", points, bool(valid.any()))
    if "segmentation" in views:
        margins = place_map(views["segmentation"], shape)
        inner = inside(views["segmentation"], shape)
        foreground = (margins[..., FOREGROUND] > 0) & inner
        labels = hand_labels(margins) * inner
        cues = cues.put("segmentation", labels)
    if "depth" in views:
        depth = place_map(views["depth"], shape)[..., 0]
        seen = foreground & inside(views["depth"], shape)
        cues = cues.put("depth", relative_depth(depth, seen))
    if "normals" in views:
        facing = place_map(views["normals"], shape) * NORMAL_AXES
        seen = foreground & inside(views["normals"], shape)
        cues = cues.put("normals", unit_normals(facing, seen))
    return cues


def place_keypoints(view: View) -> Float32[np.ndarray, "2 21 3"]:
    """Keypoints in picture pixels; those without a score are zeros."""
    scale, offset = np.diagonal(view.T_input_image), view.T_input_image[:, 2]
    points, score = view.values[..., :2], view.values[..., 2:]
    placed = np.concatenate([(points - offset) / scale, score], axis=-1)
    return np.where(score > 0, placed, 0.0).astype(np.float32)


def place_map(view: View, shape: tuple[int, int]) -> Float32[np.ndarray, "h w c"]:
    """A map, interpolated at every pixel of the picture.

    Bilinear with edges repeated, as PyTorch's ``interpolate`` without aligned corners.
    """
    values = view.values.astype(np.float32)
    for axis in (0, 1):
        factor = values.shape[axis] / view.size[axis]
        at = (view.axis(axis, shape[axis]) + 0.5) * factor - 0.5
        values = _interpolated(values, at, axis)
    return values


def inside(view: View, shape: tuple[int, int]) -> Bool[np.ndarray, "h w"]:
    """Which pixels of the picture the input shows."""
    rows, columns = (view.axis(axis, shape[axis]) for axis in (0, 1))
    shown = [
        (at > -0.5) & (at < size - 0.5)
        for at, size in zip((rows, columns), view.size, strict=True)
    ]
    return shown[0][:, None] & shown[1]


def hand_labels(margins: Float[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w"]:
    """0 background, 1 right, 2 left from ``sapiens_decode.hand_margins``."""
    right, left = margins[..., RIGHT], margins[..., LEFT]
    labels = np.where(right >= left, RIGHT + 1, LEFT + 1)
    return np.where(np.maximum(right, left) > 0, labels, 0).astype(np.uint8)


def unit_normals(
    normals: Float[np.ndarray, "h w 3"], foreground: Bool[np.ndarray, "h w"]
) -> Float32[np.ndarray, "h w 3"]:
    """Unit vectors over the foreground, zeros elsewhere."""
    length = np.linalg.norm(normals, axis=-1, keepdims=True)
    unit = normals / np.maximum(length, 1e-6)
    return np.where(foreground[..., None], unit, 0.0).astype(np.float32)


def relative_depth(
    depth: Float[np.ndarray, "h w"], foreground: Bool[np.ndarray, "h w"]
) -> Float32[np.ndarray, "h w"]:
    """0 near to 1 far over the foreground, and 0 elsewhere.

    Sapiens' own target is the same, so its depth keeps its direction.
    """
    if not foreground.any():
        return np.zeros(depth.shape, np.float32)
    near, far = depth[foreground].min(), depth[foreground].max()
    share = (depth - near) / max(far - near, 1e-6)
    return np.where(foreground, share, 0.0).astype(np.float32)


def _interpolated(
    values: Float[np.ndarray, "i j c"], at: Float[np.ndarray, "n"], axis: int
) -> Float[np.ndarray, "i j c"]:
    """Linear interpolation along an axis."""
    last = values.shape[axis] - 1
    at = np.clip(at, 0, last)
    low = at.astype(int)
    shape = [1, 1, 1]
    shape[axis] = len(at)
    share = (at - low).astype(np.float32).reshape(shape)
    first = values.take(low, axis)
    return first + share * (values.take(np.minimum(low + 1, last), axis) - first)
