"""What Sapiens' networks look at: a person's box, resampled to their input size.

A box is a part of the plane in pixels, whose edges need not be whole numbers. It is
grown about its centre to the input's aspect ratio; the input is black where it reaches
beyond the picture.
"""

import cv2
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

MEAN = (123.5, 116.5, 103.5)  # RGB, 0 to 255
STD = (58.5, 57.0, 57.5)


def whole(image: UInt8[np.ndarray, "h w 3"]) -> Float[np.ndarray, "4"]:
    """The box of a whole picture."""
    return np.array([0.0, 0.0, image.shape[1], image.shape[0]])


def keypoint_map(
    box: Float[np.ndarray, "4"], size: tuple[int, int], *, margin: float
) -> Float[np.ndarray, "2 3"]:
    """``T_input_image`` of a pose network: "unbiased" in the sense of UDP.

    The box reaches from the centre of the first to that of the last pixel (Huang et
    al., CVPR 2020), which is how heat maps are decoded (``sapiens_decode``).

    Args:
        box: x0, y0, x1, y1 of a person.
        size: height and width of the input.
        margin: factor by which the box grows first; Sapiens' is 1.25.
    """
    low, extent = _window(box, size, margin)
    scale = (np.array(size[::-1]) - 1) / extent
    return np.concatenate([np.diag(scale), -(scale * low)[:, None]], axis=1)


def area_map(
    box: Float[np.ndarray, "4"], size: tuple[int, int], *, margin: float
) -> Float[np.ndarray, "2 3"]:
    """``T_input_image`` of the other networks: the box is the pixels' area.

    Args:
        box: x0, y0, x1, y1; pixel ``i`` covers ``i`` to ``i + 1``.
        size: height and width of the input.
        margin: factor by which the box grows first.
    """
    low, extent = _window(box, size, margin)
    scale = np.array(size[::-1]) / extent
    offset = scale * (0.5 - low) - 0.5
    return np.concatenate([np.diag(scale), offset[:, None]], axis=1)


def cut(
    image: UInt8[np.ndarray, "h w 3"],
    T_input_image: Float[np.ndarray, "2 3"],
    size: tuple[int, int],
) -> UInt8[np.ndarray, "i j 3"]:
    """The input of a network, bilinear, black outside the picture."""
    return cv2.warpAffine(image, T_input_image, size[::-1], flags=cv2.INTER_LINEAR)


def normalise(pictures: UInt8[Array, "*b h w 3"]) -> Float[Array, "*b h w 3"]:
    """Pixels as the networks were trained on."""
    mean, std = jnp.asarray(MEAN, jnp.float32), jnp.asarray(STD, jnp.float32)
    return (pictures.astype(jnp.float32) - mean) / std


def _window(
    box: Float[np.ndarray, "4"], size: tuple[int, int], margin: float
) -> tuple[Float[np.ndarray, "2"], Float[np.ndarray, "2"]]:
    """First corner and extent of a box grown to the input's aspect ratio."""
    center = (box[:2] + box[2:]) / 2
    width, height = margin * (box[2:] - box[:2])
    aspect = size[1] / size[0]
    extent = np.array([max(width, height * aspect), max(height, width / aspect)])
    return center - extent / 2, extent
