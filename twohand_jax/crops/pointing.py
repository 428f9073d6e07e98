"""Which way a hand points in its picture: by how much its box and crop are turned.

The angle of a hand is that of its wrist's way to the base of its middle finger: 0 where
the fingers point up, in radians, x towards y (clockwise as seen). MediaPipe turns what
its landmark network sees in the same way (``cues.palm``).
"""

from jaxtyping import Bool, Float

from twohand_jax.mano.joints import CANONICAL, WRIST
from twohand_jax.types import Array, Cues, Targets, array_module

ENDS = WRIST, CANONICAL.MIDDLE_BASE


def pointing_angles(
    points: Float[Array, "*b 21 2"], known: Bool[Array, "*b 21"]
) -> Float[Array, "*b"]:
    """The angle of each hand; 0 where one of the two joints is not known.

    Args:
        points: 2D joints, pixels.
        known: joints that count.
    """
    xp = array_module(points, known)
    x, y = xp.moveaxis(points[..., ENDS[1], :] - points[..., ENDS[0], :], -1, 0)
    tells = _has_ends(known) & ((x != 0) | (y != 0))
    return xp.arctan2(xp.where(tells, x, 0.0), xp.where(tells, -y, 1.0))


def record_angles(targets: Targets, cues: Cues) -> Float[Array, "*b 2"]:
    """The angles of a record's hands: by its keypoints, else by its labels.

    Args:
        targets: labels of the picture.
        cues: of the picture; its keypoints count whether or not a network sees them.
    """
    labelled, valid = targets.joints_2d, targets.joints_2d_valid
    by_labels = pointing_angles(labelled, valid)
    if "keypoints" not in cues.values:
        return by_labels
    keypoints = cues.values["keypoints"]
    known = (keypoints[..., 2] > 0) & cues.has("keypoints")[..., None, None]
    xp = array_module(keypoints)
    found = pointing_angles(keypoints[..., :2], known)
    return xp.where(_has_ends(known), found, by_labels)


def _has_ends(known: Bool[Array, "*b 21"]) -> Bool[Array, "*b"]:
    return known[..., ENDS[0]] & known[..., ENDS[1]]
