"""Predictions in another joint order, hand order or frame, recognised by their shape.

Bones tell the order: read in the right one, a skeleton's bones have the proportions of
the labelled ones, in a wrong one they jump between fingers. Skeletons differ (MediaPipe
ends a fingertip inside the finger), so that where bones fit only somewhat better, the
distance to the labels must agree. Sides and axes do not change bones, only distances.
Predictions are accused when another reading fits far better; bad models' are not.
"""

from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Bool, Float

from twohand_jax.errors import InputError
from twohand_jax.mano.joints import (
    BONES,
    CANONICAL_FROM_INTERHAND,
    CANONICAL_FROM_MODEL,
    WRIST,
)

MANY = 4  # fewer hands than this say little
CLEARLY = 0.5  # another reading's misfit over that of the arrays as they are
SOMEWHAT = 0.75  # the same, where bones and distances must agree
LEAST_MISFIT = 0.2  # mean |log| of bone proportions that no right order reaches
MOST_MISFIT = 0.35  # that of no skeleton at all
LEAST_ERROR_M = 0.03
SHORTEST_M = 1e-4

# Where to find each canonical joint in arrays of another order.
ORDERS: Mapping[str, tuple[int, ...]] = {
    "MANO's, as of smplx and HO-3D (16 joints, then the fingertips)": tuple(
        CANONICAL_FROM_MODEL.tolist()
    ),
    "InterHand2.6M's (each finger from tip to base, wrist last)": tuple(
        CANONICAL_FROM_INTERHAND.tolist()
    ),
    "RHD's (wrist, then each finger from tip to base)": (
        0,
        *(4 * finger + joint for finger in range(5) for joint in (4, 3, 2, 1)),
    ),
    "canonical but for the wrist, which is last": (20, *range(20)),
    "BigHand2.2M's (wrist, five finger bases, then finger by finger)": (
        0,
        *(
            at
            for finger in range(5)
            for at in (1 + finger, *range(6 + 3 * finger, 9 + 3 * finger))
        ),
    ),
    "level by level (wrist, five finger bases, five next joints, …)": (
        0,
        *(1 + finger + 5 * level for finger in range(5) for level in range(4)),
    ),
    "from the pinky to the thumb": (
        0,
        *(4 * finger + joint for finger in (4, 3, 2, 1, 0) for joint in (1, 2, 3, 4)),
    ),
}

HandPoints = Float[np.ndarray, "n 2 21 3"]
READINGS: Mapping[str, tuple[str, Callable[[np.ndarray], np.ndarray]]] = {
    "the left hand first": ("joints[:, ::-1]", lambda joints: joints[:, ::-1]),
    "axes x right, y up, z backward, as in OpenGL": (
        "joints * [1, -1, -1]",
        lambda joints: joints * np.array([1, -1, -1], joints.dtype),
    ),
}


def proportions(
    joints: Float[np.ndarray, "h 21 3"], valid: Bool[np.ndarray, "h 21"] | None = None
) -> Float[np.ndarray, "20"]:
    """Logarithms of the median bone lengths, less their own median; NaN if unknown."""
    known = np.ones(joints.shape[:-1], bool) if valid is None else valid
    logs = np.full(len(BONES), np.nan)
    for bone, (parent, child) in enumerate(BONES):
        both = known[:, parent] & known[:, child]
        if both.any():
            ends = joints[both, child] - joints[both, parent]
            length = np.median(np.linalg.norm(ends, axis=-1))
            logs[bone] = np.log(max(length, SHORTEST_M))
    return logs - np.nanmedian(logs)


def misfit(
    joints: Float[np.ndarray, "h 21 3"], reference: Float[np.ndarray, "20"]
) -> float:
    """Mean difference of the bones' proportions from a reference."""
    return float(np.nanmean(np.abs(proportions(joints) - reference)))


def check_order(
    where: str,
    joints: Float[np.ndarray, "h 21 3"],
    target: Float[np.ndarray, "h 21 3"],
    valid: Bool[np.ndarray, "h 21"],
) -> None:
    """Refuse hands that fit another joint order clearly better.

    Args:
        where: the predictions' name in the message.
        joints: of single hands.
        target: their labels.
        valid: joints that are labelled.

    Raises:
        InputError: they do.
    """
    rooted = valid[:, WRIST]
    if rooted.sum() < MANY:
        return
    joints, target, valid = joints[rooted], target[rooted], valid[rooted]
    reference = proportions(target, valid)
    own = misfit(joints, reference)
    others = {
        name: misfit(joints[:, list(order)], reference)
        for name, order in ORDERS.items()
    }
    best = min(others, key=lambda name: others[name])
    order = list(ORDERS[best])
    nearer = error(joints[:, order], target, valid)
    agree = nearer < SOMEWHAT * error(joints, target, valid)
    limit = min((SOMEWHAT if agree else CLEARLY) * own, MOST_MISFIT)
    if own > LEAST_MISFIT and others[best] < limit:
        raise InputError(
            f"The joints of {where} look as if they were in another order: {best}. "
            f"Write joints[:, :, {order}], so that they are wrist, thumb 1-4, index "
            "1-4, middle 1-4, ring 1-4, pinky 1-4, tips last."
        )


def error(
    joints: Float[np.ndarray, "*b 21 3"],
    target: Float[np.ndarray, "*b 21 3"],
    valid: Bool[np.ndarray, "*b 21"],
) -> float:
    """Median over hands of the mean distance relative to the wrist, metres."""
    estimate, truth = (x - x[..., WRIST : WRIST + 1, :] for x in (joints, target))
    distance = np.linalg.norm(np.where(valid[..., None], estimate - truth, 0), axis=-1)
    return float(np.median(distance.sum(axis=-1) / valid.sum(axis=-1)))


def check_readings(
    where: str,
    joints: HandPoints,
    target: HandPoints,
    valid: Bool[np.ndarray, "n 2 21"],
) -> None:
    """Refuse predictions that fit the labels far better with sides or axes changed.

    Args:
        where: the predictions' name in the message.
        joints: of pictures.
        target: their labels.
        valid: joints that are labelled, of hands that were found.

    Raises:
        InputError: they do.
    """
    both = valid[..., WRIST].all(axis=-1)
    if both.sum() < MANY:
        return
    joints, target, valid = joints[both], target[both], valid[both]
    own = error(joints, target, valid)
    for name, (change, read) in READINGS.items():
        other = error(read(joints), target, valid)
        if own > LEAST_ERROR_M and other < CLEARLY * own:
            raise InputError(
                f"The hands of {where} look as if they had {name}: so read, the median "
                f"error relative to the wrist is {1000 * other:.0f} mm, as they are "
                f"{1000 * own:.0f} mm. Write {change}."
            )
