"""The canvas: the part of a picture from which hand crops are cut on the device.

A canvas covers the crops of both hands and has a fixed size, so that pictures of any
size form a batch and share a compiled program. It is a square window of the picture. A
window larger than the canvas is shrunk by area averaging, so that the bilinear crops do
not alias; a window is never enlarged. A picture that fits is used unchanged. Training,
evaluation and photographs all use this code; only training asks for extra room, for its
random motions.
"""

import dataclasses
import math

import cv2
import numpy as np

from twohand_jax import fields
from twohand_jax.geometry import boxes

# What augmentation adds: scale up to 1.25 and a turned square's diagonal.
TRAINING_ROOM = 1.25 * 2**0.5


@dataclasses.dataclass(frozen=True, kw_only=True)
class CanvasConfig:
    """Size and coverage of the canvas.

    Attributes:
        size: side of the canvas in pixels.
        crop_size: side of a hand's crop in pixels.
        crop_scale: side of a hand's crop over the longer side of its box.
        aspect: width over height of what the network sees of a crop (``CropConfig``).
        room: factor on the crops' sides that the canvas covers.
        finest: the canvas shows a hand at most this many times as fine as its crop.
    """

    size: int = 512
    crop_size: int = 256
    crop_scale: float = 2.0
    aspect: float = 1.0
    room: float = 1.0
    finest: float = 3.0

    def __post_init__(self) -> None:
        fields.check(
            self,
            size=fields.COUNT,
            crop_size=fields.COUNT,
            crop_scale=fields.POSITIVE,
            aspect=fields.Range(low=0, open_low=True, high=1),
            room=fields.POSITIVE,
            finest=fields.POSITIVE,
        )


@dataclasses.dataclass(frozen=True)
class Window:
    """A square of the picture, ``x`` and ``y`` its first pixel, and its ``side``."""

    x: int
    y: int
    side: int

    def T_canvas_image(self, size: int) -> np.ndarray:
        """Affine ``(2, 3)`` float32 from pixels of the picture to the canvas."""
        scale = size / self.side
        shift = 0.5 * scale - 0.5
        return np.array(
            [
                [scale, 0.0, shift - self.x * scale],
                [0.0, scale, shift - self.y * scale],
            ],
            np.float32,
        )

    def is_unchanged(self, size: int) -> bool:
        """Whether the picture lies on a canvas of this size as it is."""
        return (self.x, self.y, self.side) == (0, 0, size)

    def shared(
        self, height: int, width: int
    ) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
        """Rows and columns that picture and window share, in each of them."""
        x0, x1 = np.clip([self.x, self.x + self.side], 0, width).tolist()
        y0, y1 = np.clip([self.y, self.y + self.side], 0, height).tolist()
        if x0 == x1 or y0 == y1:
            return (slice(0), slice(0)), (slice(0), slice(0))
        there = slice(y0, y1), slice(x0, x1)
        here = slice(y0 - self.y, y1 - self.y), slice(x0 - self.x, x1 - self.x)
        return there, here

    def pixels(self, image: np.ndarray) -> np.ndarray:
        """The square ``(side, side)``, or with channels; zero outside the image."""
        there, here = self.shared(*image.shape[:2])
        piece = image[there]
        if piece.shape[:2] == (self.side, self.side):
            return np.ascontiguousarray(piece)
        out = np.zeros((self.side, self.side, *image.shape[2:]), image.dtype)
        out[here] = piece
        return out

    def cut(self, image: np.ndarray, size: int, way: int) -> np.ndarray:
        """The square drawn ``size`` pixels wide; ``way`` is OpenCV's interpolation."""
        return cv2.resize(self.pixels(image), (size, size), interpolation=way)

    def move(self, points: np.ndarray, size: int) -> np.ndarray:
        """Points ``(…, 2)`` of the picture where the square is drawn ``size`` wide."""
        return (points - (self.x, self.y) + 0.5) * (size / self.side) - 0.5


def place_canvas(
    height: int,
    width: int,
    box: np.ndarray,
    valid: np.ndarray,
    *,
    config: CanvasConfig,
) -> Window:
    """The square of a picture that goes onto the canvas.

    Args:
        height: of the picture, pixels.
        width: of the picture, pixels.
        box: ``(2, 4)`` hand boxes, pixels.
        valid: ``(2,)`` which boxes count; with none the whole picture is taken.
        config: size and coverage.
    """
    coarse = _coarsest(box, valid, config)
    if max(height, width, coarse) <= config.size:
        return Window(0, 0, config.size)
    x0, y0, x1, y1 = _covered(height, width, box, valid, config)
    side = max(x1 - x0, y1 - y0, config.size, coarse)
    return Window(_slide(x0, x1, side, width), _slide(y0, y1, side, height), side)


def cut_canvas(
    image: np.ndarray, window: Window, out: np.ndarray, *, nearest: bool
) -> None:
    """Write the window of an image into ``out``; zero outside of the image.

    Args:
        image: ``(h, w)`` or ``(h, w, c)``.
        window: square to take.
        out: ``(size, size)`` or ``(size, size, c)`` of the same type.
        nearest: for labels and masked maps, which must not be mixed.
    """
    size = out.shape[0]
    height, width = image.shape[:2]
    if window.is_unchanged(size):
        rows, columns = min(height, size), min(width, size)
        out[:rows, :columns] = image[:rows, :columns]
        out[rows:] = 0
        out[:, columns:] = 0
        return
    piece = window.pixels(image)
    if window.side == size:
        out[...] = piece
        return
    method = cv2.INTER_NEAREST_EXACT if nearest else cv2.INTER_AREA
    cv2.resize(piece, (size, size), dst=out, interpolation=method)


def _coarsest(box: np.ndarray, valid: np.ndarray, config: CanvasConfig) -> int:
    """Side of the window at which the smaller hand is ``finest`` times too fine."""
    if not valid.any():
        return 0
    sides = _sides(box[valid], config)
    pixels = config.finest * config.crop_size
    return math.ceil(config.size * float(sides.min()) / pixels)


def _sides(box: np.ndarray, config: CanvasConfig) -> np.ndarray:
    """Sides of the crops of boxes ``(n, 4)``, pixels."""
    square = boxes.square(box, aspect=config.aspect)
    return boxes.size(square)[:, 0] * config.crop_scale


def _covered(
    height: int, width: int, box: np.ndarray, valid: np.ndarray, config: CanvasConfig
) -> tuple[int, int, int, int]:
    """Union of the hands' expanded squares, inside of the picture, whole pixels."""
    if not valid.any():
        return 0, 0, width, height
    low, high = box[valid, :2], box[valid, 2:]
    half = _sides(box[valid], config)[:, None] / 2 * config.room
    middle = (low + high) / 2
    x0, y0 = np.floor((middle - half).min(axis=0))
    x1, y1 = np.ceil((middle + half).max(axis=0)) + 1
    return (
        int(np.clip(x0, 0, width - 1)),
        int(np.clip(y0, 0, height - 1)),
        int(np.clip(x1, 1, width)),
        int(np.clip(y1, 1, height)),
    )


def _slide(low: int, high: int, side: int, length: int) -> int:
    """First pixel of ``side`` pixels about [low, high) that waste least outside."""
    if side >= length:
        return -((side - length) // 2)
    start = (low + high - side) // 2
    return min(max(start, 0), length - side)
