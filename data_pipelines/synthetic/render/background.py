"""What lies behind the hands: places, clutter, dark studios, plain walls."""

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from twohand_jax.pipelines.synthetic.render.environment import (
    load_environments,
    view_panorama,
)
from twohand_jax.pipelines.synthetic.render.hand_mesh import (
    linear_from_srgb,
    skin_albedo,
)
from twohand_jax.pipelines.synthetic.render.sample_scene import (
    BACKGROUNDS,
    Background,
    Light,
)

Generator = np.random.Generator
LinearImage = Float[np.ndarray, "h w 3"]
SRGB_TO_LINEAR = linear_from_srgb(np.arange(256) / 255).astype(np.float32)


def _point(place: np.ndarray, *, scale: float = 1.0) -> tuple[int, int]:
    """A place (x, y) as OpenCV wants it, in units of 1 / ``scale`` pixels."""
    return int(place[0] * scale), int(place[1] * scale)


def _blur(picture: LinearImage, sigma: float) -> LinearImage:
    """Gaussian blur, at reduced size when wide."""
    if sigma < 0.3:
        return picture
    step = max(1, int(sigma / 2))
    height, width = picture.shape[:2]
    size = (max(width // step, 4), max(height // step, 4))
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), sigma / step)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)


def noise_octaves(
    rng: Generator, size: tuple[int, int], *, cells: int, roughness: float
) -> Float[np.ndarray, "h w"]:
    """Value noise in about -1..1: grids of 2x finer cells, each weaker."""
    height, width = size
    total = np.zeros(size, np.float32)
    weight, norm = 1.0, 0.0
    while cells < max(size):
        grid = rng.uniform(-1, 1, (cells + 3, cells + 3)).astype(np.float32)
        fine = cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)
        total += weight * fine
        norm += weight
        weight *= roughness
        cells *= 2
    return total / max(norm, 1e-6) * 1.5


def _color(rng: Generator) -> Float[np.ndarray, "3"]:
    value = rng.beta(1.0, 1.3)
    return value * (1 - rng.beta(1, 2) * rng.uniform(0, 1, 3))


def plain_wall(rng: Generator, size: tuple[int, int]) -> LinearImage:
    """One colour under uneven light, with a fine grain."""
    height, width = size
    light = noise_octaves(rng, size, cells=1, roughness=0.25)
    grain = noise_octaves(rng, size, cells=24, roughness=0.9)
    slope = np.linspace(-0.5, 0.5, width) * rng.normal(0, 0.5)
    slope = slope + np.linspace(-0.5, 0.5, height)[:, None] * rng.normal(0, 0.5)
    level = slope + light * rng.uniform(0, 0.4) + grain * rng.uniform(0, 0.12)
    return np.exp(level).astype(np.float32)[..., None] * _color(rng).astype(np.float32)


def _stripes(rng: Generator, size: tuple[int, int]) -> Float[np.ndarray, "h w 1"]:
    """Stripes or checks in a random direction, 0..1."""
    y, x = np.mgrid[: size[0], : size[1]].astype(np.float32)
    angle, period = rng.uniform(0, np.pi), np.exp(rng.uniform(1.5, 4.2))
    u = np.sin((x * np.cos(angle) + y * np.sin(angle)) * 2 * np.pi / period)
    if rng.random() < 0.5:
        u = u * np.sin((y * np.cos(angle) - x * np.sin(angle)) * 2 * np.pi / period)
    return np.clip(u * rng.uniform(0.8, 8) + 0.5, 0, 1)[..., None]


def _draw_shapes(rng: Generator, picture: LinearImage) -> None:
    """Polygons, ellipses and bars of any colour, some of them like skin."""
    height, width = picture.shape[:2]
    reach = max(height, width)
    for _ in range(int(rng.integers(3, 22))):
        center = rng.uniform(-0.1, 1.1, 2) * [width, height]
        color = _color(rng)
        if rng.random() < 0.2:
            color = skin_albedo(rng.beta(1.1, 1.5), 0.1, 0.05) * rng.uniform(0.3, 1.2)
        shade, size = color.tolist(), reach * np.exp(rng.uniform(-3.2, -0.7))
        kind = rng.integers(3)
        if kind == 0:
            axes = _point(size * rng.uniform(0.3, 1, 2))
            spin = float(rng.uniform(0, 180))
            middle = _point(center)
            cv2.ellipse(picture, middle, axes, spin, 0, 360, shade, -1, cv2.LINE_AA)
        elif kind == 1:
            angle = np.sort(rng.uniform(0, 2 * np.pi, int(rng.integers(3, 8))))
            points = np.stack([np.cos(angle), np.sin(angle)], 1) * size + center
            cv2.fillPoly(picture, [points.astype(np.int32)], shade, cv2.LINE_AA)
        else:
            end = center + rng.normal(0, 1, 2) * reach * 0.5
            width_px = int(rng.integers(1, 25))
            ends = _point(center), _point(end)
            cv2.line(picture, ends[0], ends[1], shade, width_px, cv2.LINE_AA)


def clutter(rng: Generator, size: tuple[int, int]) -> LinearImage:
    """Noise, stripes and overlapping shapes: no scene, but full of edges."""
    mix = noise_octaves(rng, size, cells=int(rng.integers(1, 12)), roughness=0.7)
    mix = np.clip(mix * rng.uniform(0.5, 4) + 0.5, 0, 1)[..., None]
    first, second, third = (_color(rng).astype(np.float32) for _ in range(3))
    picture = first + (second - first) * mix
    if rng.random() < 0.4:
        picture = picture + (third - picture) * _stripes(rng, size)
    picture = np.ascontiguousarray(picture, np.float32)
    if rng.random() < 0.75:
        _draw_shapes(rng, picture)
    grain = noise_octaves(rng, size, cells=32, roughness=0.9)
    return picture * np.exp(rng.uniform(0, 0.35) * grain)[..., None]


def studio(rng: Generator, size: tuple[int, int]) -> LinearImage:
    """A dark capture stage: points of light on a rig, perhaps a dark torso."""
    height, width = size
    picture = np.full((*size, 3), rng.uniform(0, 0.01), np.float32)
    spacing, lean = rng.uniform(0.16, 0.5) * max(size), rng.normal(0, 0.25)
    origin = rng.uniform(0, spacing, 2)
    count = int(1.5 * max(size) / spacing) + 2
    tint = np.exp(rng.normal(0, 0.08, 3))
    for row in range(-1, count):
        for column in range(-1, count):
            if rng.random() < 0.25:
                continue
            place = origin + spacing * np.array(
                [column + lean * row, row - lean * column]
            )
            place = place + rng.normal(0, 0.04 * spacing, 2)
            _draw_lamp(rng, picture, place, tint)
    if rng.random() < 0.5:
        _draw_torso(rng, picture)
    return picture


def _draw_lamp(
    rng: Generator,
    picture: LinearImage,
    place: Float[np.ndarray, "2"],
    tint: np.ndarray,
) -> None:
    """A bright dot with a starry halo."""
    scale = max(picture.shape[:2]) / 256
    middle = _point(place, scale=16)
    power = rng.uniform(0.5, 3)
    radius = int(16 * scale * rng.uniform(1.0, 4.0))
    for turn in np.arange(4) * np.pi / 4 + 0.2:
        arm = np.array([np.cos(turn), np.sin(turn)]) * radius * 2.5
        ends = _point(place * 16 - arm), _point(place * 16 + arm)
        glow = (tint * 0.2 * power).tolist()
        cv2.line(picture, ends[0], ends[1], glow, 1, cv2.LINE_AA, 4)
    cv2.circle(picture, middle, radius, (tint * power).tolist(), -1, cv2.LINE_AA, 4)


def _draw_torso(rng: Generator, picture: LinearImage) -> None:
    """A dim, softly lit body that hides part of the rig."""
    height, width = picture.shape[:2]
    middle = rng.uniform(-0.1, 1.1) * width
    half = rng.uniform(0.2, 0.45) * width
    top = rng.uniform(-0.2, 0.5) * height
    outline = np.array(
        [
            [-1, 2.5],
            [-1, 0.5],
            [-0.75, 0.1],
            [-0.3, 0],
            [0.3, 0],
            [0.75, 0.1],
            [1, 0.5],
            [1, 2.5],
        ]
    )
    points = outline * [half, height * 0.6] + [middle, top]
    mask = np.zeros(picture.shape[:2], np.float32)
    cv2.fillPoly(mask, [points.astype(np.int32)], 1.0, cv2.LINE_AA)
    cloth = _color(rng) * rng.uniform(0.01, 0.25)
    shade = np.exp(0.5 * noise_octaves(rng, (height, width), cells=3, roughness=0.5))
    body = shade[..., None] * cloth.astype(np.float32)
    picture += mask[..., None] * (body - picture)


def white(rng: Generator, size: tuple[int, int]) -> LinearImage:
    """Paper white, or nearly, for cut-out pictures."""
    level = 1.0 if rng.random() < 0.5 else rng.uniform(0.75, 1.0)
    return np.full((*size, 3), level * 1.02, np.float32)


def panorama(rng: Generator, size: tuple[int, int], light: Light) -> LinearImage:
    """A place, seen as sharply as its map allows or out of focus."""
    maps = load_environments().panoramas
    pixels: UInt8[np.ndarray, "h w 3"] = view_panorama(
        maps[light.environment],
        light.R_env_cam,
        tan_half_fov=float(np.exp(rng.uniform(np.log(0.35), np.log(1.6)))),
        size=size,
    )
    seen = SRGB_TO_LINEAR[pixels] * np.float32(np.exp(rng.normal(0, 0.35)))
    if rng.random() < 0.25:
        _draw_shapes(rng, seen)
    return seen


def make_background(
    background: Background, light: Light, size: tuple[int, int]
) -> LinearImage:
    """The picture behind the hands in linear light, 1 being white."""
    rng = np.random.default_rng(background.seed)
    kind = BACKGROUNDS[background.kind]
    if kind == "white":
        return white(rng, size)
    if kind == "panorama":
        picture = panorama(rng, size, light)
    else:
        make = {"clutter": clutter, "studio": studio, "plain": plain_wall}[kind]
        picture = make(rng, size)
    pixel = max(size) / 256
    sharp = kind == "studio" or rng.random() < 0.4
    return _blur(picture, pixel * (rng.gamma(1.0, 0.5) if sharp else rng.uniform(1, 7)))
