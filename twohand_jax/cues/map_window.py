"""The map network's region as whole pixels of a picture: cut out, and put back.

Unlike the random regions of training it neither turns nor needs a map on the device:
a resize serves pictures of every size, and averages pixels on the way down.
"""

from typing import NamedTuple

import cv2
import jax
import numpy as np
from jaxtyping import Bool, Float, Shaped, UInt8

from twohand_jax.cues import map_region

_square = jax.jit(map_region.square)


class Window(NamedTuple):
    """A square of whole pixels: its first one, which may lie outside, and its side."""

    x: int
    y: int
    side: int


def place(
    boxes: Float[np.ndarray, "2 4"], valid: Bool[np.ndarray, "2"], *, scale: float
) -> Window:
    """The square of pixels about both hands.

    Args:
        boxes: unexpanded hand boxes, pixels.
        valid: which hands are there; one at least.
        scale: side over the longer side of the box about both.
    """
    box = np.asarray(_square(boxes.astype(np.float32), valid, scale=scale), np.float64)
    side = max(round(float(box[2] - box[0])), 1)
    x, y = np.rint((box[:2] + box[2:] - (side - 1)) / 2).astype(int)
    return Window(int(x), int(y), side)


def place_boxes(
    boxes: Float[np.ndarray, "2 4"], window: Window, *, size: int
) -> Float[np.ndarray, "2 4"]:
    """Boxes in pixels of the window drawn at ``size`` pixels."""
    scale = size / window.side
    corner = np.array([window.x, window.y] * 2)
    return ((boxes - corner + 0.5) * scale - 0.5).astype(np.float32)


def cut(
    image: UInt8[np.ndarray, "h w 3"], window: Window, *, size: int
) -> UInt8[np.ndarray, "s s 3"]:
    """The window at ``size`` pixels, black outside the picture."""
    piece = np.zeros((window.side, window.side, 3), np.uint8)
    there, here = _shared(window, *image.shape[:2])
    piece[here] = image[there]
    shrinks = window.side > size
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(piece, (size, size), interpolation=method)


def enlarge(
    maps: Float[np.ndarray, "i i c"], window: Window
) -> Float[np.ndarray, "s s c"]:
    """Maps of the window in the picture's pixels."""
    fine = cv2.resize(maps, (window.side, window.side))
    return fine.reshape(window.side, window.side, maps.shape[-1])


def paste(
    values: Shaped[np.ndarray, "s s"], window: Window, height: int, width: int
) -> Shaped[np.ndarray, "h w"]:
    """The picture with the window's values and zeros elsewhere."""
    out = np.zeros((height, width), values.dtype)
    there, here = _shared(window, height, width)
    out[there] = values[here]
    return out


def _shared(
    window: Window, height: int, width: int
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Rows and columns that picture and window share, in each of them."""
    x0, x1 = np.clip([window.x, window.x + window.side], 0, width).tolist()
    y0, y1 = np.clip([window.y, window.y + window.side], 0, height).tolist()
    there = slice(y0, y1), slice(x0, x1)
    here = (
        slice(y0 - window.y, y1 - window.y),
        slice(x0 - window.x, x1 - window.x),
    )
    if x0 == x1 or y0 == y1:  # nothing is shared, also where numbers would be negative
        return (slice(0), slice(0)), (slice(0), slice(0))
    return there, here
