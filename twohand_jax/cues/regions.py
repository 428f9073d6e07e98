"""Rotated square regions of a picture: what MediaPipe's networks look at.

Everything here is numpy; coordinates are pixels with centres at integers.
"""

from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, Float32, UInt8


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


def rotation(angle: float) -> Float[np.ndarray, "2 2"]:
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
    return region.center + (points - 0.5) * region.size @ rotation(region.angle).T


def from_picture(
    points: Float[np.ndarray, "*n 2"], region: Region
) -> Float[np.ndarray, "*n 2"]:
    """Map pixels to the region's unit square; the inverse of `to_picture`."""
    return (points - region.center) @ rotation(region.angle) / region.size + 0.5


def cut(
    image: UInt8[np.ndarray, "h w 3"], region: Region, *, side: int
) -> Float32[np.ndarray, "side side 3"]:
    """Resample a region to `side`² pixels in [0, 1]; black outside the picture.

    A region larger than the output is sampled finer first and then averaged, so
    that large photographs do not alias.
    """
    fine = side * int(np.clip(np.ceil(region.size / side), 1, 8))
    axes = rotation(region.angle) * (region.size / fine)
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
