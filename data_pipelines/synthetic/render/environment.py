"""Environment maps: diffuse light as spherical harmonics, and panoramas to look at."""

import functools
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from twohand_jax.errors import InputError

ASSET = Path(__file__).resolve().parents[1] / "assets" / "environments.npz"


class Environments(NamedTuple):
    """All maps; y up. A mean irradiance of 1 for each."""

    irradiance: Float[np.ndarray, "e 9 3"]
    panoramas: UInt8[np.ndarray, "e h w 3"]


@functools.cache
def load_environments() -> Environments:
    """Reads the maps shipped with the pipeline (18 CC0 maps, see NOTICE)."""
    if not ASSET.exists():
        raise InputError(
            f"The environment maps {ASSET.name} are missing from {ASSET.parent}; "
            "restore them from the repository or run "
            "data_pipelines.synthetic.build_environments."
        )
    with np.load(ASSET) as file:
        start = file["jpeg_start"]
        pieces = [file["jpeg"][a:b] for a, b in zip(start[:-1], start[1:], strict=True)]
        panoramas = [
            np.asarray(cv2.imdecode(piece, cv2.IMREAD_COLOR))[..., ::-1]
            for piece in pieces
        ]
        return Environments(file["irradiance"], np.stack(panoramas))


def sh_basis(directions: Float[np.ndarray, "*b 3"]) -> Float[np.ndarray, "*b 9"]:
    """Real spherical harmonics up to degree 2 of unit directions."""
    x, y, z = np.moveaxis(directions, -1, 0)
    return np.stack(
        [
            np.full_like(x, 0.282095),
            0.488603 * y,
            0.488603 * z,
            0.488603 * x,
            1.092548 * x * y,
            1.092548 * y * z,
            0.315392 * (3 * z * z - 1),
            1.092548 * x * z,
            0.546274 * (x * x - y * y),
        ],
        axis=-1,
    )


def view_panorama(
    panorama: UInt8[np.ndarray, "h w 3"],
    R_env_cam: Float[np.ndarray, "3 3"],
    *,
    tan_half_fov: float,
    size: tuple[int, int],
) -> UInt8[np.ndarray, "h2 w2 3"]:
    """What a pinhole camera turned by ``R_env_cam`` sees of a panorama."""
    height, width = size
    extent = tan_half_fov / max(height, width)
    x = (2 * np.arange(width, dtype=np.float32) + 1 - width) * extent
    y = (2 * np.arange(height, dtype=np.float32) + 1 - height) * extent
    rays = np.stack([*np.meshgrid(x, y), np.ones(size, np.float32)], axis=-1)
    rays = rays @ R_env_cam.astype(np.float32).T
    longitude = np.arctan2(rays[..., 0], rays[..., 2])
    latitude = np.arctan2(rays[..., 1], np.hypot(rays[..., 0], rays[..., 2]))
    rows, columns = panorama.shape[:2]
    map_x = (longitude / (2 * np.pi) + 0.5) * columns - 0.5
    map_y = (0.5 - latitude / np.pi) * rows - 0.5
    return cv2.remap(
        panorama, map_x, map_y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_WRAP
    )
