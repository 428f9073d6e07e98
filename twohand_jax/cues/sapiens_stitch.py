"""From what Sapiens' networks say about their input to the whole picture's pixels."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float32, UInt8

from twohand_jax.cues.extraction import no_cues
from twohand_jax.types import LEFT, RIGHT, Cues

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
    cues = no_cues(*shape)
    foreground = np.ones(shape, bool)
    if "keypoints" in views:
        points = place_keypoints(views["keypoints"]) * valid[:, None, None]
        cues = cues._replace(keypoints=points, has_keypoints=np.asarray(valid.any()))
    if "segmentation" in views:
        margins = place_map(views["segmentation"], shape)
        inner = inside(views["segmentation"], shape)
        foreground = (margins[..., FOREGROUND] > 0) & inner
        labels = hand_labels(margins) * inner
        cues = cues._replace(segmentation=labels, has_segmentation=np.ones((), bool))
    if "depth" in views:
        depth = place_map(views["depth"], shape)[..., 0]
        seen = foreground & inside(views["depth"], shape)
        depth = relative_depth(depth, seen)
        cues = cues._replace(depth=depth, has_depth=np.ones((), bool))
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
