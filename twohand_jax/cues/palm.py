"""MediaPipe's palm detector and landmark network on rotated regions of a picture."""

from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, Float32, UInt8

from twohand_jax.mano.joints import WRIST, FingerBases

PALM_SIDE = 192
STRIDES = (8, 16, 16, 16)
ANCHORS_PER_LAYER = 2
SCORE_CLIP = 100.0
# The palm detector's seven points: wrist, bases of index to pinky, thumb's two.
PALM_BASES = FingerBases(5, 1, 2, 3, 4)
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
        cells = PALM_SIDE // stride
        copies = ANCHORS_PER_LAYER * STRIDES.count(stride)
        y, x = np.divmod(np.arange(cells * cells), cells)
        grid = (np.stack([x, y], axis=-1) + 0.5) / cells
        centers.append(np.repeat(grid, copies, axis=0))
    return np.concatenate(centers)


class Region(NamedTuple):
    """A square of the picture, turned about its centre.

    Attributes:
        center: its centre, pixels.
        size: its side, pixels.
        angle: radians by which its axes are turned against the picture's,
            clockwise as seen (x right, y down).
    """

    center: Float[np.ndarray, "2"]
    size: float
    angle: float


class Pyramid(NamedTuple):
    """A picture, its half, the half of that, and so on, for cutting out regions."""

    levels: tuple[UInt8[np.ndarray, "h w 3"], ...]


# Up to this longer side a picture is cut as it is; the smallest half is below the next.
PLAIN_SIDE, LEAST_SIDE = 2048, 600


def pyramid(image: UInt8[np.ndarray, "h w 3"]) -> Pyramid:
    """A large picture with its halves; a small one alone."""
    levels = [image]
    while max(image.shape) > PLAIN_SIDE and max(levels[-1].shape) > LEAST_SIDE:
        half = cv2.resize(
            levels[-1], None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA
        )
        levels.append(half)
    return Pyramid(tuple(levels))


def _level(
    picture: Pyramid, region: Region, *, side: int
) -> tuple[UInt8[np.ndarray, "h w 3"], Region]:
    """The smallest picture that shows a region at twice ``side`` pixels at least."""
    spare = max(region.size / (2 * side), 1.0)
    level = min(int(np.log2(spare)), len(picture.levels) - 1)
    whole, image = picture.levels[0], picture.levels[level]
    # Odd sides have no half, so that x and y are scaled a little differently.
    scale = np.divide(image.shape[1::-1], whole.shape[1::-1])
    center = (region.center + 0.5) * scale - 0.5
    return image, Region(center, region.size * float(scale.mean()), region.angle)


def detect_palms(
    network: Callable[[np.ndarray], list[np.ndarray]],
    image: UInt8[np.ndarray, "h w 3"] | Pyramid,
    region: Region,
    *,
    min_score: float,
    max_overlap: float = 0.3,
) -> list[Palm]:
    """Palms inside one region of a picture, best first, in picture pixels.

    Args:
        max_overlap: IoU above which two boxes are averaged into one.
    """
    raw, logits = network(cut_region(image, region, side=PALM_SIDE))
    score = 1 / (1 + np.exp(-np.clip(logits[:, 0], -SCORE_CLIP, SCORE_CLIP)))
    keep = score >= min_score
    anchors = anchor_centers()[keep]
    values = raw[keep].reshape(-1, 9, 2) / PALM_SIDE
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
    angle = pointing_angle(palm.points[PALM_BASES.MIDDLE_BASE] - palm.points[WRIST])
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


LANDMARK_SIDE = 224
# Joints that MediaPipe bounds for its tracking region: palm and first finger joints.
PALM_JOINTS = (0, 1, 2, 3, 5, 6, 9, 10, 13, 14, 17, 18)
TRACK_SCALE, TRACK_SHIFT = 2.0, -0.1


class Landmarks(NamedTuple):
    """What the network says about a region, in picture pixels and metres.

    Attributes:
        points: 21 joints x, y in pixels.
        world: 21 joints in metres about the hand's centre; x right, y down,
            z forward, the picture's axes.
        presence: probability that the region holds a hand.
        right: probability that it is a right hand.
    """

    points: Float[np.ndarray, "21 2"]
    world: Float[np.ndarray, "21 3"]
    presence: float
    right: float


def find_landmarks(
    network: Callable[[np.ndarray], list[np.ndarray]],
    image: UInt8[np.ndarray, "h w 3"] | Pyramid,
    region: Region,
    *,
    mirrored_too: bool = False,
) -> Landmarks:
    """Run the landmark network on a region.

    Args:
        mirrored_too: run it on the mirrored region as well and average, which
            steadies the side most of all.
    """
    crop = cut_region(image, region, side=LANDMARK_SIDE)
    unit = _run(network, crop)
    if mirrored_too:
        unit = _average(unit, _mirror(_run(network, crop[:, ::-1])))
    world = unit.world.copy()
    world[:, :2] = world[:, :2] @ region_rotation(region.angle).T
    return unit._replace(points=to_picture(unit.points, region), world=world)


def tracking_region(points: Float[np.ndarray, "21 2"]) -> Region:
    """The region in which MediaPipe would look for this hand in the next frame.

    The fingers' mean direction points up in it; the box of the palm and the first
    finger joints, in those axes, is squared, doubled and shifted to the fingers.
    """
    index, middle, ring = points[5], points[9], points[13]
    angle = pointing_angle((index + ring) / 4 + middle / 2 - points[0])
    axes = region_rotation(angle)
    upright = points[list(PALM_JOINTS)] @ axes
    low, high = upright.min(axis=0), upright.max(axis=0)
    extent = high - low
    center = (low + high) / 2 + np.array([0.0, TRACK_SHIFT * extent[1]])
    return Region(axes @ center, float(TRACK_SCALE * extent.max()), angle)


def sharpen(
    network: Callable[[np.ndarray], list[np.ndarray]],
    image: UInt8[np.ndarray, "h w 3"] | Pyramid,
    first: Landmarks,
) -> Landmarks:
    """Look again in the landmarks' own region, and at its mirror image."""
    region = tracking_region(first.points)
    return find_landmarks(network, image, region, mirrored_too=True)


def _run(
    network: Callable[[np.ndarray], list[np.ndarray]], crop: np.ndarray
) -> Landmarks:
    """The network's answer in the crop's own axes, points in the unit square."""
    pixels, presence, right, world = network(np.ascontiguousarray(crop))
    points = pixels.reshape(21, 3)[:, :2] / LANDMARK_SIDE
    return Landmarks(points, world.reshape(21, 3), float(presence[0]), float(right[0]))


def _mirror(unit: Landmarks) -> Landmarks:
    points = unit.points * [-1, 1] + [1, 0]
    return Landmarks(points, unit.world * [-1, 1, 1], unit.presence, 1 - unit.right)


def _average(first: Landmarks, second: Landmarks) -> Landmarks:
    return Landmarks(
        points=(first.points + second.points) / 2,
        world=(first.world + second.world) / 2,
        presence=(first.presence + second.presence) / 2,
        right=(first.right + second.right) / 2,
    )


def region_rotation(angle: float) -> Float[np.ndarray, "2 2"]:
    """Rotation matrix of `angle` radians, from region axes to picture axes."""
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[cos, -sin], [sin, cos]])


def whole_picture(height: int, width: int) -> Region:
    """Smallest upright square that holds a whole picture."""
    center = np.array([(width - 1) / 2, (height - 1) / 2])
    return Region(center, float(max(height, width)), 0.0)


def to_picture(
    points: Float[np.ndarray, "*n 2"], region: Region
) -> Float[np.ndarray, "*n 2"]:
    """Map points from the region's unit square ([0, 1], edge to edge) to pixels."""
    return (
        region.center + (points - 0.5) * region.size @ region_rotation(region.angle).T
    )


def from_picture(
    points: Float[np.ndarray, "*n 2"], region: Region
) -> Float[np.ndarray, "*n 2"]:
    """Map pixels to the region's unit square; the inverse of `to_picture`."""
    return (points - region.center) @ region_rotation(region.angle) / region.size + 0.5


def cut_region(
    image: UInt8[np.ndarray, "h w 3"] | Pyramid, region: Region, *, side: int
) -> Float32[np.ndarray, "side side 3"]:
    """Resample a region to `side`² pixels in [0, 1]; black outside the picture.

    A region larger than the output is sampled finer first and then averaged, so
    that large photographs do not alias.
    """
    if isinstance(image, Pyramid):
        image, region = _level(image, region, side=side)
    fine = side * int(np.clip(np.ceil(region.size / side), 1, 8))
    axes = region_rotation(region.angle) * (region.size / fine)
    origin = region.center - axes @ np.full(2, (fine - 1) / 2)
    affine = np.concatenate([axes, origin[:, None]], axis=1)
    crop = cv2.warpAffine(
        image, affine, (fine, fine), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    )
    if fine != side:
        crop = cv2.resize(crop, (side, side), interpolation=cv2.INTER_AREA)
    return crop.astype(np.float32) / 255


def tiles(height: int, width: int, part: float) -> list[Region]:
    """Overlapping upright squares that cover a picture.

    Args:
        part: their side as a part of the picture's longer side; neighbours lie at
            most 0.6 sides apart.
    """
    side = part * max(height, width)
    xs, ys = _tile_centers(width, side), _tile_centers(height, side)
    return [Region(np.array([x, y]), side, 0.0) for y in ys for x in xs]


def _tile_centers(length: int, side: float) -> Float[np.ndarray, "n"]:
    if length <= side:
        return np.array([(length - 1) / 2])
    count = int(np.ceil((length - side) / (0.6 * side))) + 1
    return np.linspace((side - 1) / 2, length - 1 - (side - 1) / 2, count)
