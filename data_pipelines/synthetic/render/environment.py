"""Environment maps: diffuse light as spherical harmonics, and panoramas to look at."""

import argparse
import base64
import functools
import tempfile
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from twohand_jax import files
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
            "twohand_jax.pipelines.synthetic.render.environment."
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


PANORAMA_SIZE = (512, 256)
JPEG_QUALITY = 80
COSINE_LOBE = np.repeat([np.pi, 2 * np.pi / 3, np.pi / 4], [1, 3, 5])
HIGHLIGHT_LIMIT = 40.0


def read_package_map(path: Path) -> Float[np.ndarray, "h w 3"]:
    """Reads one ``*.exr.js`` file: a JavaScript string holding a base64 OpenEXR."""
    import OpenEXR

    text = path.read_text()
    if "base64," not in text:
        raise InputError(
            f"{path} holds no base64 OpenEXR; expected a file of @pmndrs/assets 1.7.0."
        )
    payload = text.split("base64,", 1)[1].split("'", 1)[0]
    with tempfile.NamedTemporaryFile(suffix=".exr") as temporary:
        temporary.write(base64.b64decode(payload))
        temporary.flush()
        with OpenEXR.File(temporary.name) as file:
            return np.asarray(file.channels()["RGB"].pixels, np.float32)


def pixel_directions(height: int, width: int) -> Float[np.ndarray, "h w 3"]:
    """Unit directions of a latitude-longitude map's pixels, y up, z at its middle."""
    longitude = (np.arange(width) + 0.5) / width * 2 * np.pi - np.pi
    latitude = np.pi / 2 - (np.arange(height) + 0.5) / height * np.pi
    longitude, latitude = np.meshgrid(longitude, latitude)
    ring = np.cos(latitude)
    return np.stack(
        [ring * np.sin(longitude), np.sin(latitude), ring * np.cos(longitude)], axis=-1
    )


def repair_highlights(
    radiance: Float[np.ndarray, "h w 3"],
) -> Float[np.ndarray, "h w 3"]:
    """Clips highlights; channels that overflowed in compression become white."""
    brightest = np.nanmax(radiance, axis=-1, keepdims=True)
    overflowed = ~(radiance >= 0) & (brightest > 1)
    repaired = np.where(overflowed, brightest, radiance)
    return np.clip(np.nan_to_num(repaired), 0, HIGHLIGHT_LIMIT)


def irradiance_coefficients(
    radiance: Float[np.ndarray, "h w 3"],
) -> Float[np.ndarray, "9 3"]:
    """Cosine-convolved SH of a map, scaled so that its mean irradiance is 1."""
    directions = pixel_directions(*radiance.shape[:2])
    area = np.sqrt(np.maximum(1 - directions[..., 1] ** 2, 0))
    area *= 4 * np.pi / area.sum()
    basis = sh_basis(directions)
    moments = np.einsum("hwk,hwc,hw->kc", basis, radiance, area)
    coefficients = moments * COSINE_LOBE[:, None]
    mean_irradiance = coefficients[0].mean() * sh_basis(np.array([0.0, 0, 1]))[0]
    return (coefficients / mean_irradiance).astype(np.float32)


def panorama(radiance: Float[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h2 w2 3"]:
    """A small sRGB version whose median brightness is that of a normal photograph."""
    small = cv2.resize(radiance, PANORAMA_SIZE, interpolation=cv2.INTER_AREA)
    exposed = small * (0.2 / np.median(small.mean(axis=-1)))
    tone_mapped = exposed * (1 + exposed / 9) / (1 + exposed)
    display = np.clip(tone_mapped, 0, 1) ** (1 / 2.2)
    return (display * 255 + 0.5).astype(np.uint8)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("package", type=Path, help="the unpacked @pmndrs/assets")
    paths = sorted((parser.parse_args().package / "hdri").glob("*.exr.js"))
    if not paths:
        raise InputError("The package folder has no hdri/*.exr.js; unpack it first.")
    coefficients, blobs = [], []
    for path in paths:
        radiance = repair_highlights(read_package_map(path))
        coefficients.append(irradiance_coefficients(radiance))
        bgr = cv2.cvtColor(panorama(radiance), cv2.COLOR_RGB2BGR)
        quality = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
        blobs.append(cv2.imencode(".jpg", bgr, quality)[1].ravel())
    arrays = {
        "name": np.array([path.name.split(".")[0] for path in paths]),
        "irradiance": np.stack(coefficients),
        "jpeg": np.concatenate(blobs),
        "jpeg_start": np.cumsum([0] + [len(blob) for blob in blobs]),
    }
    files.write_npz(ASSET, arrays, compressed=False)


if __name__ == "__main__":
    main()
