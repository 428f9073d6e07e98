"""Range of motion of the hand's joints, and the couplings between them.

Sources: American Academy of Orthopaedic Surgeons, "Joint Motion: Method of Measuring
and Recording" (1965), and Norkin and White, "Measurement of Joint Motion" (5th ed.,
2016), for the active ranges of fingers and thumb; Lin, Wu and Huang, "Modeling the
constraints of human hand motion" (HUMO 2000), for abduction, the coupling of the two
finger ends (DIP about two thirds of PIP) and the loss of abduction in a flexed finger;
Cooney et al., "The kinesiology of the thumb trapeziometacarpal joint" (J. Bone Joint
Surg. 63-A, 1981), for the thumb's base. The figures are rounded towards what a healthy
adult does without the other hand's help.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from data_pipelines.synthetic.poses.angles import FINGERS

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


def clamp(angles: Float[Array, "*b 21"]) -> Float[Array, "*b 21"]:
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
