"""Forearms and sleeves: tubes that grow from the wrist's boundary loop."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

RING_DISTANCES = np.array(
    [0.006, 0.014, 0.024, 0.036, 0.05, 0.07, 0.095, 0.13, 0.18, 0.25, 0.36, 0.6]
)
BEND_LENGTH = 0.05
# Toward the camera an arm may come at most to this cosine, else it hides its hand.
TOWARD_CAMERA_LIMIT = 0.5
# An arm keeps this far (m) from the other hand, if another bend of its wrist allows it.
CLEARANCE = 0.045
OTHER_BENDS = np.array([[-1, 1], [1, -1], [-1, -1], [0, 0], [1, 3], [1, -3], [2.5, 1]])


class Centerline(NamedTuple):
    """A wrist's frame (columns: wide axis, flat axis, outward) and the bent end."""

    origin: Float[np.ndarray, "3"]
    frame: Float[np.ndarray, "3 3"]
    end: Float[np.ndarray, "3"]
    offsets: Float[np.ndarray, "n 3"]
    grow: float


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.maximum(np.linalg.norm(vector, axis=-1, keepdims=True), 1e-12)


def _wrist_frame(
    offsets: Float[np.ndarray, "n 3"], inward: Float[np.ndarray, "3"]
) -> Float[np.ndarray, "3 3"]:
    outward = _unit(np.cross(offsets, np.roll(offsets, -1, axis=0)).sum(axis=0))
    outward = -outward if outward @ inward > 0 else outward
    flat = offsets - np.outer(offsets @ outward, outward)
    wide = _unit(np.linalg.svd(flat, full_matrices=False)[2][0])
    return np.stack([wide, np.cross(outward, wide), outward], axis=1)


def _away_from_camera(
    direction: Float[np.ndarray, "3"], view: Float[np.ndarray, "3"]
) -> Float[np.ndarray, "3"]:
    """Turns a direction that runs at the camera sideways, as far as needed."""
    along = direction @ view
    if along > -TOWARD_CAMERA_LIMIT:
        return direction
    sideways = direction - along * view
    sideways = sideways if np.linalg.norm(sideways) > 1e-3 else np.array([0.0, 1, 0])
    sine = np.sqrt(1 - TOWARD_CAMERA_LIMIT**2)
    return _unit(sine * _unit(sideways) - TOWARD_CAMERA_LIMIT * view)


def centerline(
    loop: Float[np.ndarray, "n 3"],
    hand_center: Float[np.ndarray, "3"],
    *,
    bend: Float[np.ndarray, "2"],
    grow: float,
) -> Centerline:
    """Where the forearm runs.

    Args:
        loop: the wrist's boundary loop, metres, camera frame.
        hand_center: a point of the hand, on the other side of the loop than the arm.
        bend: flexion and deviation of the wrist, radians.
        grow: relative growth of the girth at 0.2 m from the wrist.
    """
    origin = loop.mean(axis=0)
    frame = _wrist_frame(loop - origin, hand_center - origin)
    flexion, deviation = np.tan(np.clip(bend, -1.2, 1.2))
    end = _unit(frame @ np.array([deviation, flexion, 1.0]))
    end = _away_from_camera(end, _unit(origin))
    return Centerline(origin, frame, end, (loop - origin) @ frame, grow)


def _clearance(line: Centerline, others: Float[np.ndarray, "m 3"]) -> float:
    steps = np.linspace(0.03, 0.24, 6)
    tangents = _tangents(line, steps)
    axis = line.origin + 0.02 * line.frame[:, 2] + steps[:, None] * tangents
    gaps = np.linalg.norm(others[:, None] - axis, axis=-1)
    return float(gaps.min())


def clear_centerline(
    loop: Float[np.ndarray, "n 3"],
    hand_center: Float[np.ndarray, "3"],
    others: Float[np.ndarray, "m 3"],
    *,
    bend: Float[np.ndarray, "2"],
    grow: float,
) -> Centerline:
    """A forearm as in `centerline` that does not run through other things' points.

    Where the wanted bend would, related bends are tried; the clearest one is taken.
    """
    best = centerline(loop, hand_center, bend=bend, grow=grow)
    widest = _clearance(best, others) if len(others) else np.inf
    for factor in OTHER_BENDS:
        if widest >= CLEARANCE:
            break
        line = centerline(loop, hand_center, bend=bend * factor, grow=grow)
        gap = _clearance(line, others)
        best, widest = (line, gap) if gap > widest else (best, widest)
    return best


def _tangents(
    line: Centerline, distances: Float[np.ndarray, "r"]
) -> Float[np.ndarray, "r 3"]:
    t = np.clip(distances / BEND_LENGTH, 0, 1)[:, None]
    weight = t * t * (3 - 2 * t)
    return _unit((1 - weight) * line.frame[:, 2] + weight * line.end)


def tube_rings(
    line: Centerline,
    distances: Float[np.ndarray, "r"],
    *,
    thickness: Float[np.ndarray, "r n"] | float = 0.0,
) -> Float[np.ndarray, "r n 3"]:
    """Rings of the forearm at distances (m) along it, ``thickness`` (m) off the skin.

    The cross-section starts as the wrist's loop, becomes rounder and grows.
    """
    fine = np.linspace(0, max(float(distances.max()), 1e-3), 65)
    steps = _tangents(line, (fine[1:] + fine[:-1]) / 2) * (fine[1] - fine[0])
    path = np.concatenate([np.zeros((1, 3)), np.cumsum(steps, axis=0)])
    center = np.stack([np.interp(distances, fine, path[:, k]) for k in range(3)], 1)
    tangent = _tangents(line, distances)
    wide = _unit(line.frame[:, 0] - (tangent @ line.frame[:, 0])[:, None] * tangent)
    flat = np.cross(tangent, wide)
    growth = 1 + line.grow * np.clip(distances / 0.2, 0, 1.4)[:, None]
    rounding = 1 + 0.3 * np.clip(distances / 0.12, 0, 1)[:, None]
    a = line.offsets[:, 0] * growth
    b = line.offsets[:, 1] * growth * rounding
    radius = np.maximum(np.hypot(a, b), 1e-6)
    puff = 1 + thickness / radius
    keep = np.exp(-distances / 0.012)[:, None, None]
    lag = keep * (line.offsets[:, 2:3] * tangent[:, None])
    ring = (a * puff)[..., None] * wide[:, None] + (b * puff)[..., None] * flat[:, None]
    return line.origin + center[:, None] + ring + lag


def sleeve_rings(
    line: Centerline,
    *,
    start: float,
    thickness: float,
    phases: Float[np.ndarray, "6"],
    num_rings: int,
) -> Float[np.ndarray, "r n 3"]:
    """A sleeve's rings: a lip that starts on the skin, then wrinkled cloth."""
    end = RING_DISTANCES[-1] + 0.02
    spread = np.linspace(0, 1, num_rings - 2) ** 1.4
    distances = np.concatenate([[start] * 2, start + 0.004 + spread * (end - start)])
    angle = np.arange(len(line.offsets)) / len(line.offsets) * 2 * np.pi
    wave = sum(
        np.sin(distances[:, None] * (60 + 35 * k) + k * angle + phases[k])
        + np.sin((k + 2) * angle + phases[k + 3] + distances[:, None] * 30)
        for k in range(3)
    )
    cloth = np.maximum(thickness * (1 + 0.14 * wave), 0.0015)
    cloth[0] = -0.001
    cloth[1] *= 0.8
    return tube_rings(line, distances, thickness=cloth)
