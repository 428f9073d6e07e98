"""Everything random about a picture except the hands' pose and the camera."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

BACKGROUNDS = ("panorama", "clutter", "studio", "white", "plain")
PATTERNS = ("plain", "stripes", "checks", "noise", "dots")
OCCLUDERS = ("box", "cylinder", "disc")


class Skin(NamedTuple):
    """The skin of one person; hands differ a little. Axis 0 of colours: right, left.

    ``texture`` chooses one of the painted textures, modulo their number.
    """

    texture: int
    dorsal: Float[np.ndarray, "2 3"]
    palmar: Float[np.ndarray, "2 3"]
    blush: float
    contrast: float
    mottle: float
    mottle_scale: float
    bump: float
    roughness: float
    specular: float
    scatter: Float[np.ndarray, "3"]


class Light(NamedTuple):
    """Environment ``environment`` turned by ``R_env_cam``, and two distant lamps.

    ``directions`` point to the lamps (camera frame); the first casts shadows.
    ``exposure`` scales all light so that 1 shows skin at its albedo.
    """

    environment: int
    R_env_cam: Float[np.ndarray, "3 3"]
    ambient: float
    directions: Float[np.ndarray, "2 3"]
    colors: Float[np.ndarray, "2 3"]
    shadow: float
    occlusion: float
    exposure: float


class Surface(NamedTuple):
    """Two colours (linear) in a pattern of ``scale`` repeats a metre."""

    colors: Float[np.ndarray, "2 3"]
    pattern: int
    scale: float
    gloss: float


class Forearms(NamedTuple):
    """Bend (flexion, deviation; radians), growth, and sleeves of the two arms.

    ``sleeve_start`` is the distance from the wrist in metres, infinite for bare arms.
    """

    bend: Float[np.ndarray, "2 2"]
    grow: Float[np.ndarray, "2"]
    sleeve_start: Float[np.ndarray, "2"]
    sleeve_thickness: float
    sleeve_phases: Float[np.ndarray, "2 6"]
    cloth: Surface


class Occluder(NamedTuple):
    """A thing near ``hand``, ``offset`` (m, camera axes) from its middle."""

    kind: int
    hand: int
    offset: Float[np.ndarray, "3"]
    size: Float[np.ndarray, "3"]
    rotation: Float[np.ndarray, "3 3"]
    surface: Surface


class Background(NamedTuple):
    """Kind (index into `BACKGROUNDS`) and the seed of its details."""

    kind: int
    seed: int


class CameraEffects(NamedTuple):
    """What the camera does to the light; lengths in pixels of the picture."""

    grey: bool
    cast: Float[np.ndarray, "3"]
    contrast: float
    gamma: float
    saturation: float
    vignette: float
    defocus: float
    motion: Float[np.ndarray, "2"]
    reduction: float
    shot_noise: float
    read_noise: float
    sharpen: float
    jpeg_quality: int
    seed: int


class Scene(NamedTuple):
    """A picture's appearance."""

    skin: Skin
    light: Light
    forearms: Forearms
    occluders: tuple[Occluder, ...]
    background: Background
    effects: CameraEffects
    visible: Bool[np.ndarray, "2"]
    texture_offset: Float[np.ndarray, "2"]
