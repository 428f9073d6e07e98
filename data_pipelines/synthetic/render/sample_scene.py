"""Draws a scene from a random generator."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy.spatial.transform import Rotation

from twohand_jax.pipelines.synthetic.render.environment import load_environments
from twohand_jax.pipelines.synthetic.render.hand_mesh import palm_albedo, skin_albedo

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


class Material(NamedTuple):
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
    cloth: Material


class Occluder(NamedTuple):
    """A thing near ``hand``, ``offset`` (m, camera axes) from its middle."""

    kind: int
    hand: int
    offset: Float[np.ndarray, "3"]
    size: Float[np.ndarray, "3"]
    rotation: Float[np.ndarray, "3 3"]
    surface: Material


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


Generator = np.random.Generator
BACKGROUND_SHARES = (0.38, 0.30, 0.14, 0.06, 0.12)
STUDIO = BACKGROUNDS.index("studio")
WHITE = BACKGROUNDS.index("white")
GREY_SHARE = 0.15
OCCLUDER_SHARE = 0.28
SLEEVE_SHARE = 0.5
CAMERA_TO_ENVIRONMENT = np.diag([1.0, -1.0, -1.0])


def _chance(rng: Generator, probability: float) -> bool:
    return bool(rng.random() < probability)


def _seed(rng: Generator) -> int:
    return int(rng.integers(2**31))


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector, axis=-1, keepdims=True)


def sample_skin(rng: Generator) -> Skin:
    """One person's skin: melanin over the whole human range, palest to darkest."""
    melanin = rng.beta(1.1, 1.5)
    haemoglobin = rng.normal(0.08, 0.16)
    carotene = rng.normal(0.05, 0.2)
    dorsal, palmar = [], []
    for _ in range(2):
        pigments = np.array([melanin, haemoglobin, carotene])
        pigments += rng.normal(0, 1, 3) * [0.012, 0.05, 0.03]
        dorsal.append(skin_albedo(*pigments))
        palmar.append(palm_albedo(*pigments))
    return Skin(
        texture=_seed(rng),
        dorsal=np.stack(dorsal),
        palmar=np.stack(palmar),
        blush=float(rng.uniform(0.0, 0.6)),
        contrast=float(rng.uniform(0.5, 1.5)),
        mottle=float(rng.uniform(0.05, 0.35)),
        mottle_scale=float(rng.uniform(1.5, 5.0)),
        bump=float(rng.uniform(0.2, 1.4)),
        roughness=float(rng.uniform(0.33, 0.62)),
        specular=float(rng.uniform(0.4, 1.5)),
        scatter=np.array([0.4, 0.2, 0.14]) * rng.uniform(0.5, 1.3),
    )


def sample_light(rng: Generator, *, studio: bool) -> Light:
    """An environment map in a random turn and up to two lamps, mostly from above."""
    count = len(load_environments().irradiance)
    yaw, roll = rng.uniform(-np.pi, np.pi), rng.normal(0, 0.15)
    pitch = rng.normal(-0.35, 0.4)
    turn = Rotation.from_euler("yxz", [yaw, pitch, roll]).as_matrix()
    directions = _unit(rng.normal(0, 1, (2, 3)) * [1, 0.9, 0.9] + [0, -0.9, -0.5])
    lamp = rng.gamma(1.2, 0.6, 2) * [1.0, 0.5] * (rng.random(2) < [0.8, 0.45])
    warmth = rng.normal(0, 0.1, (2, 1)) * [1.0, 0.1, -1.1]
    ambient = rng.uniform(0.25, 1.0) * (0.7 if studio else 1.0)
    return Light(
        environment=int(rng.integers(count)),
        R_env_cam=turn @ CAMERA_TO_ENVIRONMENT,
        ambient=float(ambient),
        directions=directions,
        colors=lamp[:, None] * np.exp(warmth),
        shadow=float(rng.uniform(0.5, 1.0)),
        occlusion=float(rng.uniform(0.6, 1.1)),
        exposure=float(np.exp(rng.normal(-0.08, 0.28))),
    )


def _color(rng: Generator) -> Float[np.ndarray, "3"]:
    """A linear colour; everyday things are more often dull than bright."""
    value, saturation = rng.beta(1.2, 2.0), rng.beta(1.0, 2.0)
    hue = rng.uniform(0, 1, 3)
    return value * ((1 - saturation) + saturation * hue) + 0.01


def sample_surface(rng: Generator) -> Material:
    """A cloth or plastic: plain half of the time."""
    plain = _chance(rng, 0.5)
    return Material(
        colors=np.stack([_color(rng), _color(rng)]),
        pattern=0 if plain else int(rng.integers(1, len(PATTERNS))),
        scale=float(np.exp(rng.uniform(np.log(20), np.log(150)))),
        gloss=float(rng.beta(1.0, 2.5)),
    )


def sample_forearms(rng: Generator) -> Forearms:
    """Wrist bends within comfortable ranges; both arms wear the same cloth."""
    bare = not _chance(rng, SLEEVE_SHARE)
    start = rng.gamma(1.6, 0.03) + rng.normal(0, 0.008, 2)
    return Forearms(
        bend=np.clip(rng.normal(0, 1, (2, 2)) * [0.38, 0.2], -0.95, 0.95),
        grow=np.full(2, rng.uniform(0.25, 0.55)),
        sleeve_start=np.full(2, np.inf) if bare else np.clip(start, 0.004, 0.16),
        sleeve_thickness=float(rng.uniform(0.003, 0.014)),
        sleeve_phases=rng.uniform(0, 2 * np.pi, (2, 6)),
        cloth=sample_surface(rng)._replace(gloss=0.0),
    )


def sample_occluder(rng: Generator) -> Occluder:
    """A stick, a box or a disc, before, behind or in a hand."""
    kind = int(rng.integers(len(OCCLUDERS)))
    length = {
        "box": rng.uniform(0.02, 0.1, 3),
        "cylinder": np.array([1, 1, 0])
        * rng.choice([0.008, 0.05])
        * rng.uniform(0.6, 1.3)
        + [0, 0, rng.uniform(0.07, 0.2)],
        "disc": np.array([1, 1, 0]) * rng.uniform(0.04, 0.12) + [0, 0, 0.006],
    }[OCCLUDERS[kind]]
    depth = rng.choice([rng.uniform(-0.1, -0.03), rng.normal(0, 0.02), 0.08])
    return Occluder(
        kind=kind,
        hand=int(rng.integers(2)),
        offset=np.array([*rng.normal(0, 0.055, 2), depth]),
        size=length,
        rotation=Rotation.random(rng=rng).as_matrix(),
        surface=sample_surface(rng),
    )


def sample_effects(rng: Generator, *, studio: bool) -> CameraEffects:
    """From a clean camera to a bad one; faults come independently of each other."""
    cast_strength = 0.2 if studio and _chance(rng, 0.4) else 0.06
    motion = rng.normal(0, 2.5, 2) * _chance(rng, 0.15)
    reduction = rng.uniform(1.5, 3.0) if _chance(rng, 0.15) else 1.0
    return CameraEffects(
        grey=_chance(rng, GREY_SHARE),
        cast=np.exp(rng.normal(0, cast_strength, 3)),
        contrast=float(rng.uniform(0.85, 1.25)),
        gamma=float(np.exp(rng.normal(0, 0.12))),
        saturation=float(rng.uniform(0.55, 1.12)),
        vignette=float(rng.uniform(0, 0.4) * _chance(rng, 0.3)),
        defocus=float(rng.gamma(1.0, 0.45)),
        motion=motion,
        reduction=float(reduction),
        shot_noise=float(rng.gamma(1.0, 0.012)),
        read_noise=float(rng.gamma(1.0, 0.006)),
        sharpen=float(rng.uniform(0, 0.6) * _chance(rng, 0.35)),
        jpeg_quality=int(rng.integers(60, 96)),
        seed=_seed(rng),
    )


def sample_scene(rng: Generator) -> Scene:
    """A scene that shows both hands.

    The same generator state gives the same scene. To show one hand only, replace
    ``visible`` in the result.
    """
    kind = int(rng.choice(len(BACKGROUNDS), p=BACKGROUND_SHARES))
    studio = kind == STUDIO
    count = 1 + _chance(rng, 0.3) if _chance(rng, OCCLUDER_SHARE) else 0
    return Scene(
        skin=sample_skin(rng),
        light=sample_light(rng, studio=studio),
        forearms=sample_forearms(rng),
        occluders=tuple(sample_occluder(rng) for _ in range(count)),
        background=Background(kind=kind, seed=_seed(rng)),
        effects=sample_effects(rng, studio=studio),
        visible=np.array([True, True]),
        texture_offset=rng.uniform(0, 1, 2),
    )
