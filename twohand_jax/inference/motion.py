"""People of a clip with one shape each and their motion, from what frames showed."""

from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Float
from scipy.spatial.transform import Rotation, Slerp

from twohand_jax.inference import fit, smoothing
from twohand_jax.inference.estimates import Estimates
from twohand_jax.inference.programs import Programs
from twohand_jax.inference.smoothing import Evidence, Motion, SmoothingConfig
from twohand_jax.inference.tracks import SeenHands, track
from twohand_jax.types import Camera, ManoModel

LEAST_WEIGHT = 0.05  # of a doubtful frame in a person's shape
UNTRUSTED = 1e-6  # score of keypoints that only say that a hand is there


class PersonMotion(NamedTuple):
    """One person in all frames of a clip; hands that are not there hold anything.

    Attributes:
        betas: of both hands, in all frames.
        motion: of both hands.
        present: where a hand is there.
        bridged: where it was not seen, but before and after.
        score: how sure the detector is; of a bridged hand the less sure neighbour's.
        box: x0, y0, x1, y1, pixels, as detected; between neighbours where bridged.
    """

    betas: Float[np.ndarray, "10"]
    motion: Motion
    present: Bool[np.ndarray, "f 2"]
    bridged: Bool[np.ndarray, "f 2"]
    score: Float[np.ndarray, "f 2"]
    box: Float[np.ndarray, "f 2 4"]


def people(
    estimates: Estimates,
    interval: float,
    model: ManoModel,
    camera: Camera,
    *,
    fits: bool = True,
    most: int | None = None,
    config: SmoothingConfig = smoothing.DEFAULT,
    programs: Programs | None = None,
) -> list[PersonMotion]:
    """The people of a clip, those seen most first.

    Args:
        estimates: of all frames.
        interval: seconds between two frames.
        model: hand model.
        camera: of all frames.
        fits: whether keypoints and joints in metres count.
        most: how many people are kept; None for all.
        config: see ``smoothing.smooth``.
        programs: where compiled programs are kept.
    """
    seen = SeenHands(*(getattr(estimates, name) for name in SeenHands._fields))
    tracks = track(seen, len(estimates.number), interval)
    found = []
    for person in range(tracks.row.shape[1])[:most]:
        rows, bridged = tracks.row[:, person], tracks.bridged[:, person]
        found.append(
            _person(
                estimates,
                rows,
                bridged,
                interval,
                model,
                camera,
                fits,
                config,
                programs,
            )
        )
    return found


def _person(
    estimates: Estimates,
    rows: np.ndarray,
    bridged: Bool[np.ndarray, "f 2"],
    interval: float,
    model: ManoModel,
    camera: Camera,
    fits: bool,
    config: SmoothingConfig,
    programs: Programs | None,
) -> PersonMotion:
    present = (rows >= 0) | bridged
    evidence = evidence_of(estimates, rows, present, fits=fits)
    betas = person_shape(estimates, rows)
    some = np.flatnonzero(present.any(axis=1))
    span = slice(some[0], some[-1] + 1)
    part = jax.tree.map(lambda leaf: leaf[span], evidence)
    solved = smoothing.smooth(
        model, part, betas, camera, interval, config=config, programs=programs
    )
    motion = jax.tree.map(np.copy, evidence.network)
    for whole, own in zip(motion, solved, strict=True):
        whole[span] = own
    score = np.stack([_held(estimates.score, one) for one in rows.T], axis=1)
    box = np.stack([_between(estimates.box, one) for one in rows.T], axis=1)
    return PersonMotion(betas, motion, present, bridged, score * present, box)


def person_shape(estimates: Estimates, rows: np.ndarray) -> Float[np.ndarray, "10"]:
    """Mean of the fitted shapes of both hands; the network's where none was fitted."""
    used = rows[rows >= 0]
    fitted = used[np.isfinite(estimates.shape[used]).all(axis=1)]
    values, used = (
        (estimates.shape[fitted], fitted)
        if len(fitted)
        else (estimates.betas[used], used)
    )
    weight = np.maximum(estimates.trust[used] * estimates.score[used], LEAST_WEIGHT)
    mean = np.average(values.astype(np.float64), axis=0, weights=weight)
    return np.clip(mean, -fit.MAX_BETA, fit.MAX_BETA).astype(np.float32)


def evidence_of(
    estimates: Estimates,
    rows: np.ndarray,
    present: Bool[np.ndarray, "f 2"],
    *,
    fits: bool = True,
) -> Evidence:
    """What is known of a person, frames between filled from those beside them."""
    sides = [_network(estimates, one) for one in rows.T]
    network = Motion(*(np.stack(parts, axis=1) for parts in zip(*sides, strict=True)))
    is_seen = (rows >= 0)[..., None, None]
    keypoints = np.where(is_seen, estimates.keypoints[rows], 0).astype(np.float32)
    world = np.where(is_seen, estimates.world[rows], 0).astype(np.float32)
    trust = estimates.trust[rows][..., None]
    keypoints[..., 2] *= trust if fits else UNTRUSTED
    # A hand that is hardly believed is there all the same.
    known = keypoints[..., 2] > 0
    keypoints[..., 2] = np.where(is_seen[..., 0] & ~known, UNTRUSTED, keypoints[..., 2])
    return Evidence(network, keypoints, world, present)


def _network(estimates: Estimates, rows: np.ndarray) -> Motion:
    at = np.flatnonzero(rows >= 0)
    if not len(at):
        return Motion(*(np.zeros((len(rows), *s)) for s in ((3,), (15, 3), (3,))))
    turns = Rotation.from_rotvec(estimates.orient[rows[at]].astype(np.float64))
    when = np.clip(np.arange(len(rows)), at[0], at[-1])
    orient = Slerp(at, turns)(when).as_rotvec() if len(at) > 1 else turns.as_rotvec()
    orient = np.broadcast_to(orient, (len(rows), 3))
    pose, wrist = (
        _between(values, rows) for values in (estimates.pose, estimates.wrist)
    )
    return Motion(orient, pose, wrist)


def _between(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Values of the seen frames, linear in between, held before and after."""
    at = np.flatnonzero(rows >= 0)
    if not len(at):
        return np.zeros((len(rows), *values.shape[1:]))
    flat = values[rows[at]].reshape(len(at), -1)
    frames = np.arange(len(rows))
    columns = [np.interp(frames, at, column) for column in flat.T]
    return np.stack(columns, axis=1).reshape(len(rows), *values.shape[1:])


def _held(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Values of the seen frames; in between the lesser of both neighbours."""
    at = np.flatnonzero(rows >= 0)
    if not len(at):
        return np.zeros(len(rows))
    frames = np.arange(len(rows))
    before = at[np.clip(np.searchsorted(at, frames, side="right") - 1, 0, None)]
    after = at[np.clip(np.searchsorted(at, frames), None, len(at) - 1)]
    return np.minimum(values[rows[before]], values[rows[after]])
