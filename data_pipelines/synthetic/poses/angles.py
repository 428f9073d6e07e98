"""Anatomical joint angles of a hand, their ranges, and the rotations they stand for."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from twohand_jax.geometry import rotations
from twohand_jax.mano.joints import MANO16, WRIST
from twohand_jax.types import RIGHT, ManoModel

HIGHEST = jax.lax.Precision.HIGHEST
FINGERS = ("index", "middle", "ring", "pinky")
FINGER_ANGLES = ("mcp_flexion", "mcp_abduction", "pip_flexion", "dip_flexion")
THUMB_ANGLES = ("radial", "palmar", "opposition", "mcp_flexion", "ip_flexion")
NAMES = tuple(f"{f}_{a}" for f in FINGERS for a in FINGER_ANGLES) + tuple(
    f"thumb_{a}" for a in THUMB_ANGLES
)
COUNT = len(NAMES)
# First model joint of each finger, in the order of FINGERS.
BASES = (MANO16.INDEX_BASE, MANO16.MIDDLE_BASE, MANO16.RING_BASE, MANO16.PINKY_BASE)
# Abduction is away from the middle finger, rotation about the dorsal axis towards the
# thumb: the sign that turns one into the other.
ABDUCTION_SIGN = (1.0, 1.0, -1.0, -1.0)
# Direction the pad of the thumb faces, along (distal, palmar, radial); only its part
# across the thumb counts.
THUMB_PAD = (0.3, 0.6, -0.75)


class HandAxes(NamedTuple):
    """Axes of one model's right hand in its rest frame.

    ``palm`` has the rows distal, palmar, radial; ``thumb`` the rows along the
    metacarpal, out of the pad, flexion axis. ``rest`` holds the angles the template
    already has (the fingers' only; the thumb's are in ``thumb``).
    """

    flexion: Float[Array, "4 3"]
    abduction: Float[Array, "4 3"]
    palm: Float[Array, "3 3"]
    thumb: Float[Array, "3 3"]
    rest: Float[Array, "21"]


def skeleton(model: ManoModel) -> HandAxes:
    """Derive the axes of a model's right hand from its rest joints (on the host)."""
    joints = np.asarray(model.joint_template[RIGHT], np.float64)
    palm = _palm_frame(joints)
    distal, palmar, radial = palm
    flexion, abduction, rest = [], [], np.zeros(COUNT)
    for k, base in enumerate(BASES):
        bones = np.diff(joints[base : base + 3], axis=0)
        flat = bones[0] - (bones[0] @ palmar) * palmar
        axis = _unit(np.cross(flat, palmar))
        flexion.append(axis)
        abduction.append(-ABDUCTION_SIGN[k] * palmar)
        towards_thumb = np.arctan2(flat @ radial, flat @ distal)
        rest[4 * k + 1] = ABDUCTION_SIGN[k] * towards_thumb
        rest[4 * k] = np.arctan2(bones[0] @ palmar, np.linalg.norm(flat))
        rest[4 * k + 2] = _angle_about(bones[0], bones[1], axis)
    thumb_along = _unit(joints[MANO16.THUMB_BASE + 1] - joints[MANO16.THUMB_BASE])
    thumb = _thumb_frame(jnp.asarray(thumb_along), jnp.asarray(palm))
    chain = np.diff(joints[MANO16.THUMB_BASE : MANO16.THUMB_BASE + 3], axis=0)
    rest[19] = _angle_about(chain[0], chain[1], np.asarray(thumb)[2])
    arrays = (np.stack(flexion), np.stack(abduction), palm, thumb, rest)
    return HandAxes(*(jnp.asarray(x, jnp.float32) for x in arrays))


def to_matrices(
    bones: HandAxes, angles: Float[Array, "*b 21"]
) -> Float[Array, "*b 15 3 3"]:
    """Rotations of the model's 15 joints, absolute (mean pose not subtracted)."""
    offset = angles - bones.rest
    fingers = offset[..., :16].reshape(*offset.shape[:-1], 4, 4)
    flex = fingers[..., jnp.array([0, 2, 3])][..., None] * bones.flexion[:, None]
    flex = rotations.axis_angle_to_matrix(flex)
    spread = rotations.axis_angle_to_matrix(fingers[..., 1, None] * bones.abduction)
    base = jnp.matmul(flex[..., 0, :, :], spread, precision=HIGHEST)
    chains = jnp.concatenate([base[..., None, :, :], flex[..., 1:, :, :]], axis=-3)
    thumb = _thumb_matrices(bones, angles, offset)
    index, middle, ring, pinky = (chains[..., k, :, :, :] for k in range(4))
    return jnp.concatenate([index, middle, pinky, ring, thumb], axis=-3)


def to_axis_angle(
    bones: HandAxes, angles: Float[Array, "*b 21"]
) -> Float[Array, "*b 15 3"]:
    """The same rotations as axis-angle vectors."""
    return rotations.matrix_to_axis_angle(to_matrices(bones, angles))


def _thumb_matrices(
    bones: HandAxes, angles: Float[Array, "*b 21"], offset: Float[Array, "*b 21"]
) -> Float[Array, "*b 3 3 3"]:
    radial, palmar, opposition = (angles[..., k] for k in (16, 17, 18))
    along = jnp.stack(
        [
            jnp.cos(palmar) * jnp.cos(radial),
            jnp.sin(palmar),
            jnp.cos(palmar) * jnp.sin(radial),
        ],
        axis=-1,
    )
    along = jnp.einsum("...k,kj->...j", along, bones.palm, precision=HIGHEST)
    target = _thumb_frame(along, bones.palm)
    base = jnp.einsum("...ki,kj->...ij", target, bones.thumb, precision=HIGHEST)
    # Pronation turns the pad from facing the palm's edge towards the fingertips.
    turn = rotations.axis_angle_to_matrix(-opposition[..., None] * bones.thumb[0])
    base = jnp.matmul(base, turn, precision=HIGHEST)
    flex = rotations.axis_angle_to_matrix(offset[..., 19:, None] * bones.thumb[2])
    return jnp.concatenate([base[..., None, :, :], flex], axis=-3)


def _thumb_frame(
    along: Float[Array, "*b 3"], palm: Float[Array, "3 3"]
) -> Float[Array, "*b 3 3"]:
    pad = jnp.asarray(THUMB_PAD) @ palm
    pad = pad - jnp.sum(pad * along, axis=-1, keepdims=True) * along
    pad = pad / jnp.linalg.norm(pad, axis=-1, keepdims=True)
    return jnp.stack([along, pad, jnp.cross(along, pad)], axis=-2)


def _palm_frame(joints: Float[np.ndarray, "16 3"]) -> Float[np.ndarray, "3 3"]:
    """Rows distal (wrist to middle base), palmar, radial (towards the thumb)."""
    index, middle, _, pinky = joints[list(BASES)]
    distal = _unit(middle - joints[WRIST])
    across = index - pinky
    radial = _unit(across - (across @ distal) * distal)
    return np.stack([distal, np.cross(radial, distal), radial])


def _angle_about(
    start: Float[np.ndarray, "3"],
    end: Float[np.ndarray, "3"],
    axis: Float[np.ndarray, "3"],
) -> float:
    """Signed angle from one bone to the next about an axis."""
    start, end = start - (start @ axis) * axis, end - (end @ axis) * axis
    return float(np.arctan2(np.cross(start, end) @ axis, start @ end))


def _unit(vector: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3"]:
    return vector / np.linalg.norm(vector)


# Degrees (low, high); the middle finger abducts to either side.
FINGER_DEG = {
    "mcp_flexion": (-20.0, 90.0),
    "mcp_abduction": (-12.0, 25.0),
    "pip_flexion": (0.0, 110.0),
    "dip_flexion": (-5.0, 80.0),
}
MIDDLE_ABDUCTION_DEG = (-10.0, 10.0)
THUMB_DEG = {
    "radial": (5.0, 65.0),
    "palmar": (0.0, 60.0),
    "opposition": (-15.0, 50.0),
    "mcp_flexion": (-10.0, 60.0),
    "ip_flexion": (-20.0, 80.0),
}
# A finger end bends with its middle joint: DIP between these shares of PIP, plus slack.
DIP_SHARE = (0.3, 0.9)
DIP_SLACK_DEG = 12.0


def _table() -> Float[np.ndarray, "2 21"]:
    rows = []
    for finger in FINGERS:
        ranges = dict(FINGER_DEG)
        if finger == "middle":
            ranges["mcp_abduction"] = MIDDLE_ABDUCTION_DEG
        rows += list(ranges.values())
    return np.deg2rad(np.asarray(rows + list(THUMB_DEG.values())).T)


LOW, HIGH = _table()


def clamp_angles(angles: Float[Array, "*b 21"]) -> Float[Array, "*b 21"]:
    """The nearest angles that a hand can take, joint by joint, then the couplings.

    Abduction shrinks to a quarter of its range as the finger's base bends to 90
    degrees; the finger end follows the middle joint.
    """
    angles = jnp.clip(angles, LOW, HIGH)
    fingers = angles[..., :16].reshape(*angles.shape[:-1], 4, 4)
    mcp, spread, pip, dip = (fingers[..., k] for k in range(4))
    room = 1.0 - 0.75 * jnp.clip(mcp / (jnp.pi / 2), 0.0, 1.0)
    low, high = (x[:16].reshape(4, 4)[:, 1] for x in (LOW, HIGH))
    spread = jnp.clip(spread, low * room, high * room)
    slack = jnp.deg2rad(DIP_SLACK_DEG)
    dip = jnp.clip(dip, DIP_SHARE[0] * pip - slack, DIP_SHARE[1] * pip + slack)
    fingers = jnp.stack([mcp, spread, pip, dip], axis=-1)
    flat = fingers.reshape(*angles.shape[:-1], 16)
    return jnp.clip(jnp.concatenate([flat, angles[..., 16:]], axis=-1), LOW, HIGH)
