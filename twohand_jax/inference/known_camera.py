"""Which camera a picture is taken to have: the caller's, EXIF's, or a usual one."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from twohand_jax.errors import InputError
from twohand_jax.geometry import cameras
from twohand_jax.types import Camera

GIVEN, EXIF, DIAGONAL, MIDDLE = "given", "exif", "diagonal", "middle"


class KnownCamera(NamedTuple):
    """A camera and where it comes from.

    Attributes:
        camera: of the picture.
        focal_from: "given", "exif", or "diagonal": as long as the picture's diagonal.
        center_from: "given", or "middle" of the picture.
    """

    camera: Camera
    focal_from: str
    center_from: str


def choose(
    height: int,
    width: int,
    *,
    camera: Camera | None = None,
    focal: float | Sequence[float] | np.ndarray | None = None,
    center: Sequence[float] | np.ndarray | None = None,
    exif: float | None = None,
) -> KnownCamera:
    """The camera of a picture by the best that is known.

    Args:
        height: of the picture, pixels.
        width: of the picture, pixels.
        camera: the caller's, instead of the next two.
        focal: the caller's focal length in pixels, one number or one for x and for y.
        center: the caller's principal point, pixels.
        exif: focal length in pixels that the file tells.

    Raises:
        InputError: a number is not possible, or a camera is given and parts of it too.
    """
    if camera is not None:
        if focal is not None or center is not None:
            raise InputError(
                "Give either a camera, or its focal length and principal point."
            )
        focal, center = _of_camera(camera)
    chosen = cameras.default(height, width)
    focal_from, center_from = DIAGONAL, MIDDLE
    if focal is not None:
        chosen = chosen._replace(focal=_pair(focal, "The focal length", least=0.0))
        focal_from = GIVEN
    elif exif is not None:
        chosen = chosen._replace(focal=np.full(2, exif, np.float32))
        focal_from = EXIF
    if center is not None:
        chosen = chosen._replace(center=_pair(center, "The principal point"))
        center_from = GIVEN
    return KnownCamera(chosen, focal_from, center_from)


def _of_camera(camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    try:
        focal, center = (np.asarray(value, np.float32) for value in camera)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"A camera must be a Camera(focal, center) in pixels, not {camera!r}."
        ) from error
    return focal, center


def _pair(
    value: float | Sequence[float] | np.ndarray, what: str, least: float = -np.inf
) -> Float[np.ndarray, "2"]:
    """Numbers of a camera for x and y; a single one is both."""
    pair = np.asarray(value, np.float32)
    if pair.shape not in ((), (2,)) or not ((pair > least) & (pair < np.inf)).all():
        number = "positive" if least == 0.0 else "finite"
        raise InputError(
            f"{what} must be a {number} number, or two of them for x and y, in pixels, "
            f"not {value}."
        )
    return np.broadcast_to(pair, (2,)).copy()
