"""The cues of a picture to look at: keypoints, segmentation and depth side by side."""

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from twohand_jax.mano.joints import BONES
from twohand_jax.types import Cues

# Right hands in warm, left hands in cold colours.
HAND_COLORS = ((255, 120, 40), (60, 160, 255))
MAX_SIDE, MIN_SIDE = 720, 240
INK = (250, 250, 250)
SHADOW = (20, 20, 20)
# Brightness at the far end of the depth; the near end has 1.
FAR = 0.25


def draw_cues(
    image: UInt8[np.ndarray, "h w 3"], boxes: Float[np.ndarray, "2 4"], cues: Cues
) -> UInt8[np.ndarray, "H W 3"]:
    """Three panels: boxes with keypoints, labels over the picture, depth.

    Args:
        image: the picture; its longer side is drawn with 240 to 720 pixels.
        boxes: of the hands, pixels; empty ones are not drawn.
        cues: of the picture; a panel without its cue says so.
    """
    longer = max(image.shape[:2])
    factor = float(np.clip(longer, MIN_SIDE, MAX_SIDE)) / longer
    size = (
        max(1, round(image.shape[1] * factor)),
        max(1, round(image.shape[0] * factor)),
    )
    way = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    small = cv2.resize(image, size, interpolation=way)
    panels = [
        _hands_panel(small, boxes, cues, factor),
        _label_panel(small, cues, size),
        _depth_panel(cues, size),
    ]
    flags = (cues.has_keypoints, cues.has_segmentation, cues.has_depth)
    for panel, name, is_there in zip(panels, Cues._fields, flags, strict=False):
        _write(panel, name if is_there else f"no {name}")
    gap = np.full((size[1], max(4, size[0] // 100), 3), 255, np.uint8)
    return np.concatenate([panels[0], gap, panels[1], gap, panels[2]], axis=1)


def _hands_panel(
    picture: UInt8[np.ndarray, "h w 3"],
    boxes: Float[np.ndarray, "2 4"],
    cues: Cues,
    factor: float,
) -> UInt8[np.ndarray, "h w 3"]:
    panel = picture.copy()
    thick = max(1, round(max(panel.shape) / 300))

    def pixel(point: np.ndarray) -> tuple[int, int]:
        return round(float(point[0]) * factor), round(float(point[1]) * factor)

    for box, points, color in zip(boxes, cues.keypoints, HAND_COLORS, strict=True):
        if (box[2:] > box[:2]).all():
            cv2.rectangle(panel, pixel(box[:2]), pixel(box[2:]), color, thick)
        for parent, child in BONES:
            if points[parent, 2] > 0 and points[child, 2] > 0:
                ends = pixel(points[parent]), pixel(points[child])
                cv2.line(panel, *ends, color, thick + 1, cv2.LINE_AA)
        for point in points[points[:, 2] > 0]:
            cv2.circle(panel, pixel(point), thick + 1, INK, -1, cv2.LINE_AA)
    return panel


def _label_panel(
    picture: UInt8[np.ndarray, "h w 3"], cues: Cues, size: tuple[int, int]
) -> UInt8[np.ndarray, "h w 3"]:
    if not cues.has_segmentation:
        return picture // 2
    labels = cv2.resize(cues.segmentation, size, interpolation=cv2.INTER_NEAREST)
    paint = np.array([SHADOW, *HAND_COLORS], np.uint8)[labels]
    share = np.where(labels > 0, 0.6, 0.35)[..., None]
    return np.rint(picture * (1 - share) + paint * share).astype(np.uint8)


def _depth_panel(cues: Cues, size: tuple[int, int]) -> UInt8[np.ndarray, "h w 3"]:
    there = cues.segmentation > 0 if cues.has_segmentation else cues.depth > 0
    near = np.where(there & bool(cues.has_depth), 1 - (1 - FAR) * cues.depth, 0.0)
    grey = cv2.resize(near.astype(np.float32), size, interpolation=cv2.INTER_NEAREST)
    return np.repeat(np.rint(grey * 255).astype(np.uint8)[..., None], 3, axis=-1)


def _write(panel: UInt8[np.ndarray, "h w 3"], text: str) -> None:
    scale = max(panel.shape) / 900
    place = (round(12 * scale), panel.shape[0] - round(14 * scale))
    for color, thick in ((SHADOW, 4), (INK, 1)):
        width = max(1, round(thick * scale * 1.5))
        font = cv2.FONT_HERSHEY_SIMPLEX
        cv2.putText(panel, text, place, font, scale, color, width, cv2.LINE_AA)
