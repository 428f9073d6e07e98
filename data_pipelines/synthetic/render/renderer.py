"""Draws a scene: colour with anti-aliasing, and exact depth, labels and normals.

Colour is drawn with four samples a pixel in linear light, the labels with one sample at
the pixel's centre, so that they hold no blends.
"""

from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from twohand_jax.errors import InputError
from twohand_jax.pipelines.synthetic.render.background import make_background
from twohand_jax.pipelines.synthetic.render.draw_list import OTHER_PART, build_draw_list
from twohand_jax.pipelines.synthetic.render.environment import load_environments
from twohand_jax.pipelines.synthetic.render.gpu import Buffers, Gpu
from twohand_jax.pipelines.synthetic.render.hand_mesh import HandMesh
from twohand_jax.pipelines.synthetic.render.sample_scene import CameraEffects, Scene
from twohand_jax.types import Camera

NEAR, FAR = 0.03, 20.0
# A camera exposes for the skin it sees, and balances the light, but only partly.
METERED_ALBEDO, METERING = 0.3, 0.5
WHITE_BALANCE = 0.7
LAMP_WEIGHT = 0.75


class Rendering(NamedTuple):
    """A picture and what is exactly known about it.

    ``depth`` is metres along the optical axis of hands, forearms and things, 0 where
    there is only background; ``label`` is 0 for all but the hands, 1 right, 2 left;
    ``normals`` are unit vectors in the camera frame that face the camera. ``amodal``
    shows each hand as if alone. ``visible`` counts label pixels, ``occluded`` is the
    share of a hand's pixels that something hides (0 for a hand out of the picture).
    """

    image: UInt8[np.ndarray, "h w 3"]
    depth: Float[np.ndarray, "h w"]
    label: UInt8[np.ndarray, "h w"]
    normals: Float[np.ndarray, "h w 3"]
    amodal: Bool[np.ndarray, "2 h w"]
    visible: Int[np.ndarray, "2"]
    occluded: Float[np.ndarray, "2"]


class Renderer:
    """Renders pictures of one size; opens its context when first used.

    It can be pickled: a copy in another process opens a context of its own.
    """

    def __init__(self, mesh: HandMesh, size: tuple[int, int] = (256, 256)) -> None:
        """Keeps the hand and the picture's size (height, width) in pixels."""
        self.mesh = mesh
        self.size = size
        self._gpu: Gpu | None = None

    def __getstate__(self) -> dict:
        """Leaves the context behind."""
        return {"mesh": self.mesh, "size": self.size, "_gpu": None}

    def render(
        self, scene: Scene, vertices: Float[np.ndarray, "2 v 3"], camera: Camera
    ) -> Rendering:
        """Draws both hands.

        Args:
            scene: the appearance, from `sample_scene`.
            vertices: right and left hand, metres, camera frame.
            camera: focal length and principal point in pixels, each of shape (2,).
        """
        expected = (2, self.mesh.num_vertices, 3)
        if vertices.shape != expected or not np.isfinite(vertices).all():
            raise InputError(
                f"The renderer got vertices of shape {vertices.shape}, or values that "
                f"are not finite; expected finite metres of shape {expected}."
            )
        if self._gpu is None:
            self._gpu = Gpu(self.size, self.mesh.textures)
        drawn = build_draw_list(self.mesh, np.asarray(vertices, np.float64), scene)
        lamp = scene.light.directions[0]
        hands = drawn.triangles[: drawn.num_hand_triangles]
        common = {
            "u_projection": projection(camera, self.size),
            "u_depth_range": np.array([NEAR, FAR]),
            "u_shadow_from_cam": shadow_matrix(drawn.positions, hands, lamp).T,
        }
        look = _appearance(self.mesh, scene)
        buffers = self._gpu.draw(
            drawn,
            common=common,
            look=look,
            skin=scene.skin.texture,
            shadows=bool(scene.light.colors[0].any()),
        )
        behind = make_background(scene.background, scene.light, self.size)
        light = buffers.color[..., :3] + (1 - buffers.color[..., 3:]) * behind
        return _labelled(develop(light, scene.effects), buffers)


def _labelled(image: UInt8[np.ndarray, "h w 3"], buffers: Buffers) -> Rendering:
    """Adds what the buffers say to a finished picture."""
    hands = np.where(buffers.part == OTHER_PART, 0, buffers.part)
    amodal = np.moveaxis(buffers.hands[..., :2] > 0, -1, 0)
    visible = np.bincount(hands.ravel(), minlength=3)[1:3]
    hidden = (amodal & (hands != np.array([1, 2])[:, None, None])).sum(axis=(1, 2))
    return Rendering(
        image=image,
        depth=buffers.geometry[..., 3],
        label=hands,
        normals=buffers.geometry[..., :3],
        amodal=amodal,
        visible=visible,
        occluded=hidden / np.maximum(amodal.sum(axis=(1, 2)), 1),
    )


def _appearance(mesh: HandMesh, scene: Scene) -> dict[str, np.ndarray]:
    """The colour program's uniforms."""
    skin, light = scene.skin, scene.light
    level = light.ambient + LAMP_WEIGHT * light.colors.mean(axis=1).sum()
    metered = (METERED_ALBEDO / skin.dorsal.mean()) ** METERING
    exposure = float(light.exposure / level * metered)
    irradiance = load_environments().irradiance[light.environment]
    tint = irradiance[0] / irradiance[0].mean()
    return {
        "u_irradiance": irradiance / tint**WHITE_BALANCE,
        "u_env_from_cam": light.R_env_cam.T,
        "u_ambient": np.array(light.ambient),
        "u_lamp_direction": light.directions,
        "u_lamp_color": light.colors,
        "u_shadow": np.array(light.shadow),
        "u_dorsal": skin.dorsal,
        "u_palmar": skin.palmar,
        "u_texture_mean": mesh.texture_mean[skin.texture % len(mesh.texture_mean)],
        "u_offset": scene.texture_offset,
        "u_look": np.array([skin.contrast, skin.blush, skin.mottle, skin.mottle_scale]),
        "u_gloss": np.array([skin.bump, skin.roughness, skin.specular, exposure]),
        "u_scatter": skin.scatter,
    }


SHADOW_MARGIN = 0.02
SHADOW_DEPTHS = 3.0


def projection(camera: Camera, size: tuple[int, int]) -> Float[np.ndarray, "4"]:
    """Factors a, b, c, d of clip.x = a X + b Z and clip.y = c Y + d Z.

    Pixel (0, 0) is the centre of the first texel, and rows run downwards without a
    flip: the first image row is OpenGL's first row.

    Args:
        camera: focal length and principal point in pixels, each of shape (2,).
        size: height and width in pixels.
    """
    height, width = size
    (fx, fy), (cx, cy) = np.asarray(camera.focal), np.asarray(camera.center)
    a, b = 2 * fx / width, (2 * cx + 1) / width - 1
    c, d = 2 * fy / height, (2 * cy + 1) / height - 1
    return np.array([a, b, c, d])


def shadow_matrix(
    positions: Float[np.ndarray, "n 3"],
    triangles: Int[np.ndarray, "f 3"],
    direction: Float[np.ndarray, "3"],
) -> Float[np.ndarray, "4 4"]:
    """Parallel projection along a lamp that just holds some triangles.

    Args:
        positions: metres, camera frame.
        triangles: those to hold; the depth range is wider, so that things near them
            cast shadows too.
        direction: unit vector to the lamp, camera frame.
    """
    held = positions[triangles.ravel()] if len(triangles) else np.zeros((1, 3))
    low, high = held.min(axis=0), held.max(axis=0)
    center = (low + high) / 2
    radius = np.linalg.norm(high - low) / 2 + SHADOW_MARGIN
    right = np.cross(np.eye(3)[np.argmin(np.abs(direction))], direction)
    right /= np.linalg.norm(right)
    axes = np.stack([right, np.cross(direction, right), -direction / SHADOW_DEPTHS])
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = axes / radius, -axes @ center / radius
    return matrix


LinearImage = Float[np.ndarray, "h w 3"]
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


def _lens(picture: LinearImage, effects: CameraEffects) -> LinearImage:
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


def _reduce(picture: LinearImage, factor: float) -> LinearImage:
    """Loses detail as a small picture that was scaled up."""
    height, width = picture.shape[:2]
    size = (max(int(width / factor), 8), max(int(height / factor), 8))
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


def _sensor(
    picture: LinearImage, effects: CameraEffects, rng: np.random.Generator
) -> LinearImage:
    """Photon noise grows with the root of light, read noise does not."""
    noise = rng.standard_normal(picture.shape, dtype=np.float32)
    spread = np.float32(effects.shot_noise) * np.sqrt(np.maximum(picture, 0))
    return picture + noise * (spread + np.float32(effects.read_noise * 0.3))


def _colors(picture: LinearImage, effects: CameraEffects) -> LinearImage:
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


def develop(picture: LinearImage, effects: CameraEffects) -> UInt8[np.ndarray, "h w 3"]:
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
