"""MediaPipe's hand landmark network on one rotated region of a picture."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from twohand_jax.cues.palm import pointing_angle
from twohand_jax.cues.regions import Region, cut, rotation, to_picture

INPUT_SIDE = 224
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
    image: UInt8[np.ndarray, "h w 3"],
    region: Region,
    *,
    mirrored_too: bool = False,
) -> Landmarks:
    """Run the landmark network on a region.

    Args:
        mirrored_too: run it on the mirrored region as well and average, which
            steadies the side most of all.
    """
    crop = cut(image, region, side=INPUT_SIDE)
    unit = _run(network, crop)
    if mirrored_too:
        unit = _average(unit, _mirror(_run(network, crop[:, ::-1])))
    world = unit.world.copy()
    world[:, :2] = world[:, :2] @ rotation(region.angle).T
    return unit._replace(points=to_picture(unit.points, region), world=world)


def tracking_region(points: Float[np.ndarray, "21 2"]) -> Region:
    """The region in which MediaPipe would look for this hand in the next frame.

    The fingers' mean direction points up in it; the box of the palm and the first
    finger joints, in those axes, is squared, doubled and shifted to the fingers.
    """
    index, middle, ring = points[5], points[9], points[13]
    angle = pointing_angle((index + ring) / 4 + middle / 2 - points[0])
    axes = rotation(angle)
    upright = points[list(PALM_JOINTS)] @ axes
    low, high = upright.min(axis=0), upright.max(axis=0)
    extent = high - low
    center = (low + high) / 2 + np.array([0.0, TRACK_SHIFT * extent[1]])
    return Region(axes @ center, float(TRACK_SCALE * extent.max()), angle)


def sharpen(
    network: Callable[[np.ndarray], list[np.ndarray]],
    image: UInt8[np.ndarray, "h w 3"],
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
    points = pixels.reshape(21, 3)[:, :2] / INPUT_SIDE
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
