"""The keypoint cue of a synthetic picture: joints as a detector would find them."""

import numpy as np
from jaxtyping import Bool, Float

from data_pipelines.synthetic.config import CueNoise

Generator = np.random.Generator
VISIBLE_SCORE, HIDDEN_SCORE, OUTSIDE_FACTOR = (0.75, 1.0), (0.25, 0.7), 0.5
FIRST_JOINTS = (1, 5, 9, 13, 17)


def keypoints(
    rng: Generator,
    joints_px: Float[np.ndarray, "2 21 2"],
    box: Float[np.ndarray, "2 4"],
    shown: Bool[np.ndarray, "2"],
    hidden: Bool[np.ndarray, "2 21"],
    *,
    size: int,
    noise: CueNoise,
) -> Float[np.ndarray, "2 21 3"]:
    """Noisy keypoints with scores.

    Args:
        rng: random generator.
        joints_px: true joints.
        box: hand boxes, the unit of the noise.
        shown: hands in the picture; the others get score 0.
        hidden: joints behind something.
        size: side of the picture in pixels.
        noise: how much.

    Returns:
        x, y (pixels) and score; all zero where nothing was found.
    """
    found_px = _shaken(rng, joints_px, box, hidden, noise)
    scores = [rng.uniform(*limits, (2, 21)) for limits in (HIDDEN_SCORE, VISIBLE_SCORE)]
    score = np.where(hidden, *scores)
    outside = ((found_px < 0) | (found_px > size - 1)).any(axis=-1)
    score = score * np.where(outside, OUTSIDE_FACTOR, 1.0)
    lost = rng.random((2, 21)) < noise.dropout * np.where(hidden, 3.0, 1.0)
    lost |= rng.random((2, 1)) < noise.hand_missing
    lost |= ~shown[:, None]
    found = np.concatenate([found_px, score[..., None]], axis=-1)
    found = np.where(lost[..., None], 0.0, found)
    return _swapped(rng, found, shown, noise).astype(np.float32)


def _shaken(
    rng: Generator,
    joints_px: Float[np.ndarray, "2 21 2"],
    box: Float[np.ndarray, "2 4"],
    hidden: Bool[np.ndarray, "2 21"],
    noise: CueNoise,
) -> Float[np.ndarray, "2 21 2"]:
    """Joints with an error each and one that their hand shares."""
    side = (box[:, 2:] - box[:, :2]).max(axis=-1)[:, None, None]
    # Detectors are good on some pictures and bad on others.
    level = rng.gamma(4.0, 0.25)
    spread = noise.keypoint * np.where(hidden, noise.occluded_factor, 1.0)[..., None]
    error = spread * _heavy_tailed(rng, joints_px.shape)
    error += noise.keypoint_shift * rng.normal(size=(2, 1, 2))
    return joints_px + level * side * error


def _heavy_tailed(rng: Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Unit normal errors of which one in ten is three times as large."""
    outlier = rng.random((*shape[:-1], 1)) < 0.1
    return rng.normal(size=shape) * np.where(outlier, 3.0, 1.0)


def _swapped(
    rng: Generator,
    found: Float[np.ndarray, "2 21 3"],
    shown: Bool[np.ndarray, "2"],
    noise: CueNoise,
) -> Float[np.ndarray, "2 21 3"]:
    for hand in range(2):
        if rng.random() < noise.finger_swap:
            first = FIRST_JOINTS[rng.integers(1, 4)]
            pair = np.arange(first, first + 8)
            found[hand, pair] = found[hand, np.roll(pair, 4)]
    if shown.all() and rng.random() < noise.hand_swap:
        found = found[::-1]
    return found
