"""From linear light to the bytes a camera would store."""

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from data_pipelines.synthetic.render.scene import CameraEffects

Picture = Float[np.ndarray, "h w 3"]
LUMINANCE = np.array([0.2126, 0.7152, 0.0722], np.float32)
TONE_STEPS = 4096
WHITE_LEVEL = 1.6


def tone_table(*, gamma: float, contrast: float) -> Float[np.ndarray, "n"]:
    """Display value 0..1 of linear light from 0 to `WHITE_LEVEL` in `TONE_STEPS`.

    A filmic shoulder keeps highlights from clipping hard; ``contrast`` turns the curve
    about middle grey.
    """
    light = np.linspace(0, WHITE_LEVEL, TONE_STEPS)
    shoulder = light * (1 + light / WHITE_LEVEL**2) / (1 + light)
    value = np.clip(shoulder * 1.45, 0, 1) ** (gamma / 2.2)
    value = np.clip(0.45 + contrast * (value - 0.45), 0, 1)
    return value.astype(np.float32)


def motion_kernel(motion: Float[np.ndarray, "2"]) -> Float[np.ndarray, "k k"]:
    """A streak of one pixel's width along ``motion`` (x, y in pixels), sum 1."""
    length = float(np.hypot(*motion))
    reach = int(np.ceil(length / 2)) + 1
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(np.float32)
    along = (x * motion[0] + y * motion[1]) / length
    across = (x * motion[1] - y * motion[0]) / length
    beyond = np.maximum(np.abs(along) - length / 2, 0)
    weight = np.clip(1 - np.hypot(across, beyond), 0, 1).astype(np.float32)
    return weight / weight.sum()


def _lens(picture: Picture, effects: CameraEffects) -> Picture:
    """Defocus, motion and vignetting, all in linear light."""
    height, width = picture.shape[:2]
    if np.hypot(*effects.motion) > 0.5:
        picture = cv2.filter2D(picture, -1, motion_kernel(effects.motion))
    if effects.defocus > 0.25:
        picture = cv2.GaussianBlur(picture, (0, 0), effects.defocus)
    if effects.vignette > 0:
        y = np.linspace(-1, 1, height, dtype=np.float32)[:, None] ** 2
        x = np.linspace(-1, 1, width, dtype=np.float32) ** 2
        fall = 1 - np.float32(effects.vignette) * (x + y) / 2
        picture = picture * fall[..., None]
    return picture


def _reduce(picture: Picture, factor: float) -> Picture:
    """Loses detail as a small picture that was scaled up."""
    height, width = picture.shape[:2]
    size = (max(int(width / factor), 8), max(int(height / factor), 8))
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


def _sensor(
    picture: Picture, effects: CameraEffects, rng: np.random.Generator
) -> Picture:
    """Photon noise grows with the root of light, read noise does not."""
    noise = rng.standard_normal(picture.shape, dtype=np.float32)
    spread = np.float32(effects.shot_noise) * np.sqrt(np.maximum(picture, 0))
    return picture + noise * (spread + np.float32(effects.read_noise * 0.3))


def _colors(picture: Picture, effects: CameraEffects) -> Picture:
    picture = picture * effects.cast.astype(np.float32)
    grey = (picture @ LUMINANCE)[..., None]
    if effects.grey:
        return np.repeat(grey, 3, axis=-1)
    return grey + np.float32(effects.saturation) * (picture - grey)


def _jpeg(pixels: UInt8[np.ndarray, "h w 3"], quality: int) -> np.ndarray:
    options = [cv2.IMWRITE_JPEG_QUALITY, quality]
    encoded = cv2.imencode(".jpg", pixels[..., ::-1], options)[1]
    decoded = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR))
    return np.ascontiguousarray(decoded[..., ::-1])


def develop(picture: Picture, effects: CameraEffects) -> UInt8[np.ndarray, "h w 3"]:
    """Applies lens, sensor, colour, tone curve and compression, in that order."""
    rng = np.random.default_rng(effects.seed)
    picture = _lens(picture, effects)
    if effects.reduction > 1:
        picture = _reduce(picture, effects.reduction)
    picture = _colors(_sensor(picture, effects, rng), effects)
    table = tone_table(gamma=effects.gamma, contrast=effects.contrast)
    index = np.clip(picture * ((TONE_STEPS - 1) / WHITE_LEVEL), 0, TONE_STEPS - 1)
    value = table[index.astype(np.int32)]
    if effects.sharpen > 0:
        soft = cv2.GaussianBlur(value, (0, 0), 1.0)
        value = value + np.float32(effects.sharpen) * (value - soft)
    pixels = (np.clip(value, 0, 1) * 255 + 0.5).astype(np.uint8)
    return _jpeg(pixels, effects.jpeg_quality)
