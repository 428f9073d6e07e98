"""Skin colour over the human range from a few pigments."""

import numpy as np
from jaxtyping import Float

# Dorsal skin from palest to darkest, sRGB 0-255, in equal steps of melanin.
MELANIN_SCALE = np.array(
    [
        [238, 203, 186],
        [227, 183, 159],
        [213, 160, 128],
        [180, 124, 92],
        [134, 86, 61],
        [94, 59, 44],
        [61, 40, 33],
    ],
    np.float32,
)
# Log-albedo change (R, G, B) for one unit of pigment.
HAEMOGLOBIN = np.array([-0.02, -0.45, -0.30], np.float32)
CAROTENE = np.array([0.0, -0.06, -0.35], np.float32)
PALM_MELANIN_SHARE = 0.45
PALM_HAEMOGLOBIN = 0.12


def linear_from_srgb(
    srgb: Float[np.ndarray, "*b 3"],
) -> Float[np.ndarray, "*b 3"]:
    """Turns sRGB in [0, 1] into linear light."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def skin_albedo(
    melanin: float, haemoglobin: float, carotene: float
) -> Float[np.ndarray, "3"]:
    """Linear albedo of skin.

    Args:
        melanin: 0 (palest) to 1 (darkest).
        haemoglobin: about -0.3 (bloodless) to 0.6 (flushed).
        carotene: about -0.3 to 0.5, the yellow undertone.
    """
    scale = np.log(linear_from_srgb(MELANIN_SCALE / 255))
    position = np.clip(melanin, 0, 1) * (len(scale) - 1)
    lower = min(int(position), len(scale) - 2)
    tone = scale[lower] + (position - lower) * (scale[lower + 1] - scale[lower])
    return np.exp(tone + haemoglobin * HAEMOGLOBIN + carotene * CAROTENE)


def palm_albedo(
    melanin: float, haemoglobin: float, carotene: float
) -> Float[np.ndarray, "3"]:
    """Palms hold less melanin and show more blood than the back of the hand."""
    return skin_albedo(
        melanin * PALM_MELANIN_SHARE, haemoglobin + PALM_HAEMOGLOBIN, carotene
    )
