"""MediaPipe's palm detector: anchors, decoding, weighted suppression.

The network (192×192, single-shot detector with 2016 anchors) finds palms: a square
box, a score and seven points, of which the wrist (0) and the base of the middle
finger (2) give the direction of the hand. Numbers from MediaPipe's palm detection
graphs (google-ai-edge/mediapipe, Apache-2.0).
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from twohand_jax.cues.regions import Region, cut, to_picture

INPUT_SIDE = 192
STRIDES = (8, 16, 16, 16)
ANCHORS_PER_LAYER = 2
SCORE_CLIP = 100.0
WRIST, MIDDLE_BASE = 0, 2
ROI_SCALE, ROI_SHIFT = 2.6, -0.5


class Palm(NamedTuple):
    """One palm: score in [0, 1], square box side and seven points (+ centre), px."""

    score: float
    center: Float[np.ndarray, "2"]
    size: float
    points: Float[np.ndarray, "7 2"]


def anchor_centers() -> Float[np.ndarray, "2016 2"]:
    """Anchor centres in the unit square; all anchors have the same size, 1.

    Layers that share a stride share a grid, so each of its cells holds the anchors
    of all of them.
    """
    centers = []
    for stride in sorted(set(STRIDES)):
        cells = INPUT_SIDE // stride
        copies = ANCHORS_PER_LAYER * STRIDES.count(stride)
        y, x = np.divmod(np.arange(cells * cells), cells)
        grid = (np.stack([x, y], axis=-1) + 0.5) / cells
        centers.append(np.repeat(grid, copies, axis=0))
    return np.concatenate(centers)


def detect_palms(
    network: Callable[[np.ndarray], list[np.ndarray]],
    image: UInt8[np.ndarray, "h w 3"],
    region: Region,
    *,
    min_score: float,
    max_overlap: float = 0.3,
) -> list[Palm]:
    """Palms inside one region of a picture, best first, in picture pixels.

    Args:
        max_overlap: IoU above which two boxes are averaged into one.
    """
    raw, logits = network(cut(image, region, side=INPUT_SIDE))
    score = 1 / (1 + np.exp(-np.clip(logits[:, 0], -SCORE_CLIP, SCORE_CLIP)))
    keep = score >= min_score
    anchors = anchor_centers()[keep]
    values = raw[keep].reshape(-1, 9, 2) / INPUT_SIDE
    values[:, [0, *range(2, 9)]] += anchors[:, None]
    palms = suppress(score[keep], values, max_overlap=max_overlap)
    return [_place(score, values, region) for score, values in palms]


def suppress(
    scores: Float[np.ndarray, "n"],
    values: Float[np.ndarray, "n 9 2"],
    *,
    max_overlap: float,
) -> list[tuple[float, Float[np.ndarray, "9 2"]]]:
    """Weighted non-maximum suppression: overlapping boxes average by score.

    Args:
        values: rows are centre, width and height, then seven points.
    """
    boxes = np.concatenate(
        [values[:, 0] - values[:, 1] / 2, values[:, 0] + values[:, 1] / 2], axis=1
    )
    left = np.argsort(-scores)
    kept = []
    while left.size:
        near = box_iou(boxes[left[0]], boxes[left]) > max_overlap
        near[0] = True
        group = left[near]
        mean = np.average(values[group], axis=0, weights=scores[group])
        kept.append((float(scores[left[0]]), mean))
        left = left[~near]
    return kept


def box_iou(
    box: Float[np.ndarray, "4"], boxes: Float[np.ndarray, "n 4"]
) -> Float[np.ndarray, "n"]:
    """Intersection over union of one xyxy box with others; 0 for empty unions."""
    low = np.maximum(box[:2], boxes[:, :2])
    high = np.minimum(box[2:], boxes[:, 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=-1)
    union = np.prod(box[2:] - box[:2]) + np.prod(boxes[:, 2:] - boxes[:, :2], axis=-1)
    return shared / np.maximum(union - shared, 1e-9)


def hand_region(palm: Palm) -> Region:
    """The square that holds the whole hand of a palm, fingers up."""
    angle = pointing_angle(palm.points[MIDDLE_BASE] - palm.points[WRIST])
    up = np.array([np.sin(angle), -np.cos(angle)])
    center = palm.center - ROI_SHIFT * palm.size * up
    return Region(center, ROI_SCALE * palm.size, angle)


def pointing_angle(direction: Float[np.ndarray, "2"]) -> float:
    """Angle of the region in which a picture direction points straight up."""
    return float(np.arctan2(direction[0], -direction[1]))


def _place(score: float, values: np.ndarray, region: Region) -> Palm:
    points = to_picture(values, region)
    size = float(values[1].max()) * region.size
    return Palm(score, points[0], size, points[2:])
