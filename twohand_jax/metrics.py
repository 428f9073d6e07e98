"""Errors of reconstructed hands, as pure functions over masked batches (METHOD §7).

Positions are in metres and errors in millimetres. Every function returns a ``Mean``,
whose totals and counts add up over batches, devices and hosts, and whose ``value``
divides them. A split (single hand, interacting) is a mask. Invalid values are ignored,
even if they are NaN. A protocol chooses the points, the root and the truth
(``evaluation.protocols``).
"""

import chex
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from twohand_jax.collision.nearest import squared_distances
from twohand_jax.collision.penetration import CONTACT_DISTANCE
from twohand_jax.collision.surface import surface_distance, winding_number
from twohand_jax.geometry import alignment, boxes
from twohand_jax.mano.joints import WRIST
from twohand_jax.types import LEFT, RIGHT, Mean

MM = 1000.0
AT_ONCE = 8  # errors that are compared in one go
AXES = {"xyz": (0, 1, 2), "xy": (0, 1), "z": (2,)}


def mean_of_means(record: Mean) -> Float[Array, ""]:
    """Average the means of all entries, leaving out those without a count.

    Some evaluations keep a list for each joint and print the mean of the joints' means
    (InterWild's ``print_eval_result``, FreiHAND's ``EvalUtil``).
    """
    total = jnp.sum(record.value(empty=0.0))
    return Mean(total, jnp.sum(record.count > 0)).value()


def masked(
    errors: Float[Array, "..."], valid: Bool[Array, "..."], *, keep: int = 0
) -> Mean:
    """Sum and number of the valid errors.

    Args:
        errors: errors in any unit.
        valid: which of them count.
        keep: number of trailing axes to keep (1 for a mean of each joint).
    """
    axes = tuple(range(errors.ndim - keep))
    total = jnp.sum(jnp.where(valid, errors, 0.0), axis=axes)
    return Mean(total, jnp.sum(valid.astype(errors.dtype), axis=axes))


def relative(
    points: Float[Array, "*b n 3"], root: Float[Array, "*b 3"]
) -> Float[Array, "*b n 3"]:
    """Points relative to one of them, the root."""
    chex.assert_shape([points, root], [(..., None, 3), (..., 3)])
    return points - root[..., None, :]


def point_errors(
    estimate: Float[Array, "*b n 3"],
    target: Float[Array, "*b n 3"],
    *,
    axes: str = "xyz",
) -> Float[Array, "*b n"]:
    """Distances of corresponding points in mm: in space, in the XY plane or along Z."""
    chex.assert_equal_shape([estimate, target])
    # Coordinates first: a slice along points takes XLA on a CPU thirty times as long.
    gap = jnp.swapaxes(estimate - target, -1, -2)
    return MM * jnp.sqrt(sum(gap[..., axis, :] ** 2 for axis in AXES[axes]))


def mpjpe(
    estimate: Float[Array, "*b 2 n 3"],
    target: Float[Array, "*b 2 n 3"],
    valid: Bool[Array, "*b 2 n"],
    *,
    root: int | None = WRIST,
    axes: str = "xyz",
    keep: int = 0,
) -> Mean:
    """Mean per-joint position error, each hand relative to its own root.

    Args:
        estimate: joints of both hands in any frame, metres.
        target: true joints in the same order, metres.
        valid: joints that count. If a hand's root is invalid, none of the hand counts.
        root: joint that is subtracted (METHOD §7: 0 wrist, 9 middle base); None if the
            root is subtracted already.
        axes: "xyz", "xy" or "z".
        keep: number of trailing axes to keep: 1 for a mean of each joint, 2 for a mean
            of each hand and joint.
    """
    chex.assert_shape([estimate, target], (..., 2, None, 3))
    chex.assert_shape(valid, estimate.shape[:-1])
    if root is not None:
        estimate = relative(estimate, estimate[..., root, :])
        target = relative(target, target[..., root, :])
        valid = valid & valid[..., root : root + 1]
    errors = point_errors(estimate, target, axes=axes)
    return masked(errors, valid, keep=keep)


def mpvpe(
    estimate: Float[Array, "*b 2 v 3"],
    target: Float[Array, "*b 2 v 3"],
    estimate_root: Float[Array, "*b 2 3"],
    target_root: Float[Array, "*b 2 3"],
    valid: Bool[Array, "*b 2"],
    *,
    axes: str = "xyz",
) -> Mean:
    """Mean per-vertex position error, each hand relative to its own root joint.

    The mean is over hands, each counted with the mean of its vertices.
    """
    errors = point_errors(
        relative(estimate, estimate_root), relative(target, target_root), axes=axes
    )
    return masked(jnp.mean(errors, axis=-1), valid)


def mrrpe(
    estimate: Float[Array, "*b 3"],
    target: Float[Array, "*b 3"],
    valid: Bool[Array, "*b"],
) -> Mean:
    """Mean relative-root position error: that of left wrist minus right wrist."""
    chex.assert_shape([estimate, target], (*valid.shape, 3))
    return masked(MM * jnp.linalg.norm(estimate - target, axis=-1), valid)


def rrve(
    estimate: Float[Array, "*b 2 v 3"],
    target: Float[Array, "*b 2 v 3"],
    estimate_wrist: Float[Array, "*b 2 3"],
    target_wrist: Float[Array, "*b 2 3"],
    valid: Bool[Array, "*b 2"],
) -> Mean:
    """Mean vertex error of both hands relative to the right wrist, if both are there.

    The mean is over pictures, each counted with the mean of all vertices.
    """
    errors = point_errors(
        relative(estimate, estimate_wrist[..., RIGHT, None, :]),
        relative(target, target_wrist[..., RIGHT, None, :]),
    )
    both = valid[..., RIGHT] & valid[..., LEFT]
    return masked(jnp.mean(errors, axis=(-2, -1)), both)


def pa_errors(
    estimate: Float[Array, "*b n 3"],
    target: Float[Array, "*b n 3"],
    valid: Bool[Array, "*b n"],
    *,
    allow_reflection: bool = False,
) -> Float[Array, "*b n"]:
    """Point errors (mm) after aligning each set by the best similarity.

    FreiHAND's official evaluation allows reflections.
    """
    chex.assert_shape(valid, estimate.shape[:-1])
    estimate = jnp.where(valid[..., None], estimate, 0.0)
    target = jnp.where(valid[..., None], target, 0.0)
    aligned = alignment.procrustes(
        estimate, target, valid, allow_reflection=allow_reflection
    )
    return point_errors(aligned, target)


def pa_mpjpe(
    estimate: Float[Array, "*b 2 n 3"],
    target: Float[Array, "*b 2 n 3"],
    valid: Bool[Array, "*b 2 n"],
    *,
    allow_reflection: bool = False,
) -> Mean:
    """MPJPE after aligning each hand by scale, rotation and translation."""
    errors = pa_errors(estimate, target, valid, allow_reflection=allow_reflection)
    return masked(errors, valid)


def pa_mpvpe(
    estimate: Float[Array, "*b 2 v 3"],
    target: Float[Array, "*b 2 v 3"],
    valid: Bool[Array, "*b 2"],
    *,
    allow_reflection: bool = False,
) -> Mean:
    """MPVPE after aligning each hand's vertices by scale, rotation and translation."""
    chex.assert_shape(estimate, (*valid.shape, None, 3))
    every = jnp.broadcast_to(valid[..., None], estimate.shape[:-1])
    return pa_mpjpe(estimate, target, every, allow_reflection=allow_reflection)


def scaled_to_bone(
    points: Float[Array, "*b n 3"],
    bone: Float[Array, "*b 3"],
    target_bone: Float[Array, "*b 3"],
) -> Float[Array, "*b n 3"]:
    """Scale root-relative points such that a bone has its true length.

    If the bone has no length (an absent hand), the points are unchanged.
    """
    length = jnp.linalg.norm(bone, axis=-1)
    true_length = jnp.linalg.norm(target_bone, axis=-1)
    known = length > 0
    factor = jnp.where(known, true_length / jnp.where(known, length, 1.0), 1.0)
    return points * factor[..., None, None]


def box_iou(
    estimate: Float[Array, "*b 4"],
    target: Float[Array, "*b 4"],
    valid: Bool[Array, "*b"],
) -> Mean:
    """Intersection over union of boxes, in [0, 1]."""
    return masked(boxes.iou(estimate, target), valid)


def f_score(
    estimate: Float[Array, "*b n 3"],
    target: Float[Array, "*b m 3"],
    valid: Bool[Array, "*b"],
    *,
    threshold_mm: float,
) -> Mean:
    """Harmonic mean of precision and recall of surface points, in [0, 1].

    A point counts as right if the nearest point of the other set is closer than the
    threshold (Knapitsch et al., 2017; FreiHAND uses 5 and 15 mm).
    """
    (only,) = f_scores(estimate, target, valid, thresholds_mm=(threshold_mm,))
    return only


def f_scores(
    estimate: Float[Array, "*b n 3"],
    target: Float[Array, "*b m 3"],
    valid: Bool[Array, "*b"],
    *,
    thresholds_mm: tuple[float, ...],
) -> list[Mean]:
    """``f_score`` at several thresholds, with one search for neighbours."""
    chex.assert_shape([estimate, target], (*valid.shape, None, 3))
    nearest = [MM * jnp.sqrt(each) for each in squared_distances(estimate, target)]
    scores = []
    for threshold in thresholds_mm:
        precision, recall = (
            jnp.mean((distance < threshold).astype(jnp.float32), axis=-1)
            for distance in nearest
        )
        total = precision + recall
        score = 2 * precision * recall / jnp.where(total > 0, total, 1.0)
        scores.append(masked(score, valid))
    return scores


def contact(
    vertices: Float[Array, "*b 2 v 3"],
    faces: Int[Array, "2 f 3"],
    valid: Bool[Array, "*b"],
    *,
    contact_distance: float = CONTACT_DISTANCE,
) -> dict[str, Mean]:
    """How far hands penetrate each other: ``depth`` in mm, and the ``contact`` ratio.

    ``depth`` is that of the deepest vertex of either hand below the other's surface.
    ``contact`` is the share of all vertices that are inside the other hand or within
    ``contact_distance`` of its surface. ``collision.measure`` gives the same numbers
    and, on the host, the exact volume.

    Args:
        vertices: vertices of both hands, metres.
        faces: faces of each side, closed (``mano.topology.close_wrist``).
        valid: pictures whose two hands count.
        contact_distance: largest distance at which a vertex touches the other hand,
            metres.
    """
    chex.assert_shape([vertices, faces], [(*valid.shape, 2, None, 3), (2, None, 3)])
    vertices = jnp.where(valid[..., None, None, None], vertices, 0.0)
    depths, touching = [], []
    for side, other in ((RIGHT, LEFT), (LEFT, RIGHT)):
        points, mesh = vertices[..., side, :, :], vertices[..., other, :, :]
        inside = winding_number(points, mesh, faces[other]) > 0.5
        distance = surface_distance(points, mesh, faces[other])
        depths.append(jnp.max(jnp.where(inside, distance, 0.0), axis=-1))
        touching.append(inside | (distance < contact_distance))
    share = jnp.mean(jnp.concatenate(touching, axis=-1), axis=-1)
    deepest = MM * jnp.maximum(*depths)
    return {"depth": masked(deepest, valid), "contact": masked(share, valid)}


def pck(
    errors_mm: Float[Array, "..."],
    valid: Bool[Array, "..."],
    *,
    max_mm: float = 50.0,
    steps: int = 100,
) -> Mean:
    """Share of errors up to each of ``steps`` thresholds from 0 to ``max_mm``."""
    thresholds = jnp.asarray(np.linspace(0.0, max_mm, steps), errors_mm.dtype)
    errors = jnp.where(valid, errors_mm, jnp.inf).reshape(-1)
    filled = jnp.pad(errors, (0, -errors.size % AT_ONCE), constant_values=jnp.inf)
    groups = filled.reshape(-1, AT_ONCE)
    # Eight at a time, the table that a CPU writes and sums is an eighth as large.
    right = jnp.zeros((len(groups), steps), errors.dtype)
    for k in range(AT_ONCE):
        right = jnp.where(groups[:, [k]] <= thresholds, right + 1, right)
    count = jnp.sum(valid.astype(errors.dtype))
    return Mean(jnp.sum(right, axis=0), jnp.broadcast_to(count, (steps,)))


def auc(curve: Mean) -> Float[Array, ""]:
    """Area under a ``pck`` curve over its range, in [0, 1], by trapezoids."""
    share = curve.value()
    return jnp.mean((share[1:] + share[:-1]) / 2)


def acceleration_error(
    estimate: Float[Array, "*b t 2 n 3"],
    target: Float[Array, "*b t 2 n 3"],
    valid: Bool[Array, "*b t 2 n"],
) -> Mean:
    """Error of accelerations in mm per frame², from second central differences.

    A joint counts in a frame if it is valid in this one and in both neighbours.
    """
    chex.assert_shape([estimate, target], (*valid.shape, 3))

    def acceleration(points: Float[Array, "*b t 2 n 3"]) -> Array:
        before, now, after = (
            points[..., :-2, :, :, :],
            points[..., 1:-1, :, :, :],
            points[..., 2:, :, :, :],
        )
        return before - 2 * now + after

    errors = point_errors(acceleration(estimate), acceleration(target))
    neighbours = valid[..., :-2, :, :] & valid[..., 1:-1, :, :] & valid[..., 2:, :, :]
    return masked(errors, neighbours)
