"""Segmentation and depth cues of a synthetic picture, with an extractor's faults."""

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from data_pipelines.synthetic.config import CueNoise

Generator = np.random.Generator
REFERENCE_SIZE = 256


def segmentation(
    rng: Generator, labels: UInt8[np.ndarray, "h w"], *, noise: CueNoise
) -> UInt8[np.ndarray, "h w"]:
    """Labels with boundaries that wander by a pixel or two, sometimes grown or thin."""
    if rng.random() < noise.clean:
        return labels
    unit = labels.shape[0] / REFERENCE_SIZE
    shift = [
        noise.boundary * unit * _smooth(rng, labels.shape, 7 * unit) for _ in range(2)
    ]
    rows, columns = np.indices(labels.shape, np.float32)
    moved = cv2.remap(labels, columns + shift[0], rows + shift[1], cv2.INTER_NEAREST)
    if rng.random() >= noise.morphology:
        return moved
    kernel = np.ones((3, 3), np.uint8)
    if rng.random() < 0.5:
        grown = cv2.dilate(moved, kernel)
        return np.where(moved > 0, moved, grown)
    whole = cv2.erode((moved > 0).astype(np.uint8), kernel)
    return moved * whole


def depth(
    rng: Generator,
    depth_m: Float[np.ndarray, "h w"],
    labels: UInt8[np.ndarray, "h w"],
    *,
    noise: CueNoise,
) -> Float[np.ndarray, "h w"]:
    """Relative depth with smooth errors: 0 near to 1 far over the foreground.

    Args:
        rng: random generator.
        depth_m: metres, 0 for the background.
        labels: hands, which get an error each (extractors misjudge the gap).
        noise: how much.
    """
    foreground = depth_m > 0
    if not foreground.any():
        return np.zeros_like(depth_m)
    unit = depth_m.shape[0] / REFERENCE_SIZE
    noisy = np.asarray(depth_m, np.float64)
    if rng.random() >= noise.clean:
        noisy = noisy + noise.depth_smooth_m * _smooth(rng, depth_m.shape, 16 * unit)
        noisy = noisy + noise.depth_fine_m * _smooth(rng, depth_m.shape, 6 * unit)
        offset = np.array([0.0, *rng.normal(0, noise.depth_hand_m, 2)])
        noisy = noisy + offset[labels]
    low, high = noisy[foreground].min(), noisy[foreground].max()
    relative = (noisy - low) / max(float(high - low), 1e-6)
    return np.where(foreground, relative, 0.0).astype(np.float32)


def _smooth(
    rng: Generator, shape: tuple[int, int], sigma: float
) -> Float[np.ndarray, "h w"]:
    """Noise of standard deviation 1 that varies over ``sigma`` pixels."""
    step = max(int(sigma), 1)
    coarse = [length // step + 3 for length in shape]
    values = rng.normal(size=coarse).astype(np.float32)
    size = (shape[1] + 2 * step, shape[0] + 2 * step)
    wide = cv2.resize(values, size, interpolation=cv2.INTER_CUBIC)
    field = wide[step : step + shape[0], step : step + shape[1]]
    return field / max(float(field.std()), 1e-6)
