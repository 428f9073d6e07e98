"""Contact sheets of records: picture with true joints, cues, depth, side by side."""

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from twohand_jax.mano.joints import BONES

# Right hands in warm, left hands in cold colours; fingers from light to dark.
HAND_COLORS = ((255, 120, 40), (60, 160, 255))
LABEL_COLORS = np.array([[0, 0, 0], [230, 90, 30], [40, 120, 230]], np.uint8)
MIN_SCORE = 0.0


def record_tile(
    image: UInt8[np.ndarray, "h w 3"],
    segmentation: UInt8[np.ndarray, "h w"],
    depth: Float[np.ndarray, "h w"],
    joints_px: Float[np.ndarray, "2 21 2"],
    joints_valid: Bool[np.ndarray, "2 21"],
    keypoints: Float[np.ndarray, "2 21 3"],
    *,
    caption: str = "",
    height: int = 256,
) -> UInt8[np.ndarray, "th tw 3"]:
    """One record as three panels: truth; segmentation and keypoint cues; depth.

    Args:
        image: picture.
        segmentation: labels, 0 background, 1 right, 2 left.
        depth: relative depth, 0 where there is none.
        joints_px: true joints in pixels of the picture.
        joints_valid: which of them to draw.
        keypoints: the keypoint cue, x, y and score.
        caption: text on the first panel.
        height: of the tile in pixels.
    """
    scale = height / image.shape[0]
    size = (max(round(image.shape[1] * scale), 1), height)
    picture = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
    colors = cv2.resize(LABEL_COLORS[segmentation], size, None, 0, 0, cv2.INTER_NEAREST)
    cues = cv2.addWeighted(picture, 0.5, colors, 0.6, 0.0)
    truth = _draw_hands(picture, joints_px, joints_valid, scale)
    found = keypoints[..., 2] > MIN_SCORE
    cues = _draw_hands(cues, keypoints[..., :2], found, scale)
    shade = np.where(depth > 0, 1.0 - 0.85 * depth, 0.0) * 255
    flat = cv2.resize(shade.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    tile = np.concatenate([truth, cues, np.repeat(flat[..., None], 3, axis=-1)], axis=1)
    _write(tile, caption)
    return tile


def grid(
    tiles: Sequence[UInt8[np.ndarray, "th tw 3"]], *, columns: int
) -> UInt8[np.ndarray, "h w 3"]:
    """Tiles row by row on a dark sheet; tiles may differ in width."""
    gap, ground = 6, 40
    height = max(tile.shape[0] for tile in tiles)
    width = max(tile.shape[1] for tile in tiles)
    rows = -(-len(tiles) // columns)
    shape = (rows * (height + gap) + gap, columns * (width + gap) + gap, 3)
    sheet = np.full(shape, ground, np.uint8)
    for number, tile in enumerate(tiles):
        row, column = divmod(number, columns)
        y, x = gap + row * (height + gap), gap + column * (width + gap)
        sheet[y : y + tile.shape[0], x : x + tile.shape[1]] = tile
    return sheet


def _draw_hands(
    picture: UInt8[np.ndarray, "h w 3"],
    points: Float[np.ndarray, "2 21 2"],
    valid: Bool[np.ndarray, "2 21"],
    scale: float,
) -> UInt8[np.ndarray, "h w 3"]:
    out = picture.copy()
    moved = np.rint((points + 0.5) * scale - 0.5).astype(int)
    for hand, color in enumerate(HAND_COLORS):
        for parent, child in BONES:
            if valid[hand, parent] and valid[hand, child]:
                ends = moved[hand, parent].tolist(), moved[hand, child].tolist()
                shade = _finger_shade(color, (child - 1) // 4)
                cv2.line(out, *ends, shade, 1, cv2.LINE_AA)
        for joint in np.flatnonzero(valid[hand]):
            cv2.circle(out, moved[hand, joint].tolist(), 2, color, -1, cv2.LINE_AA)
    return out


def _finger_shade(color: tuple[int, int, int], finger: int) -> tuple[int, ...]:
    """The thumb is white, so that a swapped hand shows."""
    if finger == 0:
        return (255, 255, 255)
    return tuple(int(value * (1.05 - 0.13 * finger)) for value in color)


def _write(tile: UInt8[np.ndarray, "h w 3"], text: str) -> None:
    font, place = cv2.FONT_HERSHEY_SIMPLEX, (4, 12)
    cv2.putText(tile, text, place, font, 0.38, (0, 0, 0), 3, cv2.LINE_AA)
    cv2.putText(tile, text, place, font, 0.38, (255, 255, 255), 1, cv2.LINE_AA)
