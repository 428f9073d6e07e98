"""The part of a picture that holds both hands' crops, at one fixed size.

One canvas size means one compiled program for pictures of every size. Pixels are
averaged on the way down, so that the bilinear crops cut from the canvas do not alias.
"""

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32, Num, UInt8

FINEST = 2.0


def cut_canvas(
    image: UInt8[np.ndarray, "h w 3"],
    boxes: Float[np.ndarray, "2 4"],
    present: Bool[np.ndarray, "2"],
    *,
    size: int,
    crop_size: int,
    crop_scale: float,
) -> tuple[UInt8[np.ndarray, "s s 3"], Float32[np.ndarray, "2 3"]]:
    """Cut the canvas for the hands that are there.

    Args:
        image: the whole picture, RGB.
        boxes: hand boxes in picture pixels, not yet expanded.
        present: which boxes count; one at least.
        size: side of the canvas in pixels.
        crop_size: side of a hand's crop in pixels; the canvas shows a hand at most
            ``FINEST`` times as fine.
        crop_scale: side of a crop over the longer side of its box.

    Returns:
        The canvas, black outside the picture, and ``T_canvas_image``.
    """
    height, width = image.shape[:2]
    side = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, keepdims=True) * crop_scale
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    low = np.floor((middle - side / 2)[present].min(axis=0)).astype(int) - 1
    high = np.ceil((middle + side / 2)[present].max(axis=0)).astype(int) + 2
    x0, y0 = np.clip(low, 0, [width - 1, height - 1])
    x1, y1 = np.maximum(np.clip(high, 1, [width, height]), [x0 + 1, y0 + 1])
    piece = image[y0:y1, x0:x1]
    fine = FINEST * crop_size / side[present].min()
    factor = min(size / max(piece.shape[:2]), fine, 1.0)
    columns = max(1, round(piece.shape[1] * factor))
    rows = max(1, round(piece.shape[0] * factor))
    canvas = np.zeros((size, size, 3), np.uint8)
    canvas[:rows, :columns] = cv2.resize(
        piece, (columns, rows), interpolation=cv2.INTER_AREA
    )
    scale = np.array([columns / piece.shape[1], rows / piece.shape[0]])
    shift = 0.5 * scale - 0.5 - scale * [x0, y0]
    return canvas, np.column_stack([np.diag(scale), shift]).astype(np.float32)


def cut_map(
    values: Num[np.ndarray, "h w"],
    T_canvas_image: Float32[np.ndarray, "2 3"],
    *,
    size: int,
) -> Num[np.ndarray, "s s"]:
    """A map of the picture as it lies on the canvas: nearest pixels, 0 outside.

    Args:
        values: labels, or anything that must not be mixed.
        T_canvas_image: from ``cut_canvas``.
        size: side of the canvas in pixels.
    """
    return cv2.warpAffine(
        values, T_canvas_image, (size, size), flags=cv2.INTER_NEAREST, borderValue=0.0
    )
