"""The open hand's skin texture: colours by place, baked into texels."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from scipy.ndimage import distance_transform_edt, map_coordinates
from scipy.spatial import cKDTree

from twohand_jax.collision import vertex_normals
from twohand_jax.pipelines.open_hand import rig

_BASE = np.array([0.82, 0.645, 0.555])
_RED = np.array([0.035, -0.045, -0.040])
_PALE = np.array([0.035, 0.045, 0.045])
_DARK = np.array([-0.16, -0.17, -0.16])
_BLUE = np.array([-0.045, -0.015, 0.012])
_NAIL = np.array([0.89, 0.73, 0.68])
_NAIL_EDGE = np.array([0.93, 0.87, 0.82])
# Creases of the palm as control points (x, z) in millimetres of quadratic Bezier curves
# on the flat template: distal, proximal and thenar crease, two creases of the wrist.
_PALM_CREASES_MM = (
    ((21.0, -52.0), (14.0, -12.0), (-10.0, 8.0)),
    ((34.0, -40.0), (26.0, 2.0), (8.0, 37.0)),
    ((82.0, 6.0), (38.0, -8.0), (10.0, 38.0)),
    ((84.0, -30.0), (88.0, 0.0), (84.0, 30.0)),
    ((90.0, -30.0), (94.0, 0.0), (90.0, 30.0)),
)
_CURVE_STEPS = 400


class TexturePlace(NamedTuple):
    """Where texels lie on the hand; one row each."""

    position: Float[np.ndarray, "n 3"]
    normal: Float[np.ndarray, "n 3"]
    weights: Float[np.ndarray, "n 16"]


class _FingerView(NamedTuple):
    """Texels seen from one finger; lengths in millimetres."""

    share: Float[np.ndarray, " n"]  # how much the texel belongs to the finger
    along: Float[np.ndarray, " n"]  # from the base joint towards the tip
    across: Float[np.ndarray, " n"]
    palmar: Float[np.ndarray, " n"]  # 1 on the pad's side, 0 on the back
    joints: Float[np.ndarray, "3"]  # where on `along` the finger's joints lie
    tip: float
    base_crease: float  # where the web's crease lies on `along`


def _ramp(value: np.ndarray, low: float, high: float) -> np.ndarray:
    share = np.clip((value - low) / (high - low), 0.0, 1.0)
    return share * share * (3 - 2 * share)


def _bump(value: np.ndarray, centre: float, width: float) -> np.ndarray:
    return np.exp(-0.5 * ((value - centre) / width) ** 2)


def _finger_view(
    place: TexturePlace, joints: Float[np.ndarray, "16 3"], name: str
) -> _FingerView:
    first = rig.FINGERS[name]
    direction = rig.rest_directions()[name]
    axis = rig.flexion_axes()[first - 1]
    relative = place.position - joints[first]
    share = place.weights[:, first : first + 3].sum(-1)
    along = 1000 * relative @ direction
    pad = np.cross(axis, direction)
    chain = 1000 * (joints[first : first + 3] - joints[first]) @ direction
    return _FingerView(
        share,
        along,
        1000 * relative @ axis,
        _ramp(place.normal @ pad, -0.35, 0.35),
        chain,
        float(along[share > 0.9].max()),
        chain[1] * (0.95 if name == "thumb" else 0.48),
    )


def _noise(
    position: Float[np.ndarray, "n 3"], period: float, rng: np.random.Generator
) -> Float[np.ndarray, " n"]:
    """Smooth noise of about unit variance; `period` in metres."""
    low = position.min(0)
    count = np.ceil((position.max(0) - low) / period).astype(int) + 4
    lattice = rng.normal(size=count)
    return 1.6 * map_coordinates(lattice, ((position - low) / period + 1).T, order=3)


def _redness(view: _FingerView) -> Float[np.ndarray, " n"]:
    """Knuckles from behind, pads from the front."""
    knuckles = np.zeros_like(view.along)
    for joint, width, strength in zip(
        view.joints, (6, 5, 4), (0.5, 1, 0.7), strict=True
    ):
        knuckles += strength * _bump(view.along, joint, width)
    pad = 1.3 * _ramp(view.along, view.tip - 16, view.tip - 4)
    pad = pad + 0.5 * _bump(view.along, 0.5 * (view.joints[1] + view.joints[2]), 6)
    return view.share * ((1 - view.palmar) * knuckles + view.palmar * pad)


def _finger_creases(view: _FingerView, wobble: np.ndarray) -> Float[np.ndarray, " n"]:
    """Flexion creases in front, fine wrinkles over the joints behind."""
    along = view.along + 0.6 * wobble
    _, middle, end = view.joints
    front = np.zeros_like(along)
    for place, strength in ((middle - 1.2, 0.8), (middle + 1.4, 0.7), (end, 0.8)):
        front += strength * _bump(along, place, 0.45)
    front += 0.6 * _bump(along, view.base_crease, 0.5)
    behind = np.zeros_like(along)
    for joint, reach in ((middle, 4.5), (end, 2.6)):
        waves = np.clip(np.cos(2 * np.pi * (along - joint) / 1.9), 0, 1) ** 3
        behind += 0.5 * waves * _bump(along, joint, reach / 2)
    narrow = _bump(view.across, 0.0, 5.0)
    return view.share * (view.palmar * front + (1 - view.palmar) * narrow * behind)


def _nail(view: _FingerView) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Shares of nail plate, pale free edge and the fold about the nail."""
    length = 0.52 * (view.tip - view.joints[2])
    half_width = 0.33 * np.ptp(
        view.across[(view.share > 0.9) & (view.along > view.tip - 8)]
    )
    middle = view.tip - 1.2 - 0.5 * length
    own = (view.share > 0.9) & (view.along > view.joints[2])
    centre = np.median(view.across[own]) if own.any() else 0.0
    distance = (
        np.abs((view.along - middle) / (0.5 * length)) ** 2.6
        + np.abs((view.across - centre) / half_width) ** 2.6
    ) ** (1 / 2.6)
    behind = view.share * (1 - view.palmar)
    plate = behind * (1 - _ramp(distance, 0.93, 1.02))
    edge = plate * _ramp(view.along, middle + 0.40 * length, middle + 0.44 * length)
    fold = behind * _bump(distance, 1.06, 0.07)
    return plate, edge, fold


def _palm_creases(place: TexturePlace, wobble: np.ndarray) -> Float[np.ndarray, " n"]:
    t = np.linspace(0, 1, _CURVE_STEPS)[:, None]
    total = np.zeros(len(place.position))
    plane = 1000 * place.position[:, [0, 2]] + 0.4 * wobble[:, None]
    for start, bend, end in (np.array(crease) for crease in _PALM_CREASES_MM):
        curve = (1 - t) ** 2 * start + 2 * t * (1 - t) * bend + t**2 * end
        apart, nearest = cKDTree(curve).query(plane)
        fade = _ramp(np.sin(np.pi * nearest / (_CURVE_STEPS - 1)), 0.0, 0.35)
        total += fade * _bump(apart, 0.0, 0.55)
    palm = place.weights[:, 0] + place.weights[:, rig.FINGERS["thumb"]]
    return palm * _ramp(-place.normal[:, 1], 0.1, 0.5) * total


def skin_colours(
    place: TexturePlace, joints: Float[np.ndarray, "16 3"], rng: np.random.Generator
) -> Float[np.ndarray, "n 3"]:
    """Colours of the texels, sRGB in [0, 1]."""
    position = place.position
    wobble = _noise(position, 0.009, rng)
    palm = _ramp(-place.normal[:, 1], -0.3, 0.4)
    red = 0.35 * palm + 0.10 * _noise(position, 0.012, rng)
    light = 0.35 * palm + 0.10 * _noise(position, 0.02, rng)
    light = light + 0.10 * _noise(position, 0.0012, rng)
    crease = 0.6 * _palm_creases(place, wobble)
    veins = np.exp(-((_noise(position, 0.022, rng) / 0.12) ** 2))
    veins *= (1 - palm) * place.weights[:, 0]
    plate_all, edge_all = np.zeros(len(position)), np.zeros(len(position))
    for name in rig.FINGERS:
        view = _finger_view(place, joints, name)
        red = red + _redness(view)
        crease = crease + 0.55 * _finger_creases(view, wobble)
        plate, edge, fold = _nail(view)
        crease = crease + 0.45 * fold
        plate_all, edge_all = plate_all + plate, edge_all + edge
    skin = _BASE + red[:, None] * _RED + light[:, None] * _PALE
    skin = skin + np.clip(crease, 0, 1)[:, None] * _DARK + 0.35 * veins[:, None] * _BLUE
    nail = _NAIL + edge_all[:, None] * (_NAIL_EDGE - _NAIL)
    return np.clip(skin + plate_all[:, None] * (nail - skin), 0.0, 1.0)


class Texels(NamedTuple):
    """Attributes of the covered texels, row by row, and how to fill the rest."""

    covered: Bool[np.ndarray, "s s"]
    values: Float[np.ndarray, "n k"]


def _texel_weights(
    corners: Float[np.ndarray, "3 2"], size: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows, columns and barycentric weights of the texels one triangle covers."""
    low = np.floor(corners.min(0)).astype(int)
    high = np.ceil(corners.max(0)).astype(int)
    low, high = np.clip([low, high], 0, size - 1)
    columns, rows = np.meshgrid(
        np.arange(low[0], high[0] + 1), np.arange(low[1], high[1] + 1)
    )
    points = np.stack([columns.ravel(), rows.ravel()], -1) - corners[0]
    edges = (corners[1:] - corners[0]).T
    if abs(np.linalg.det(edges)) < 1e-9:
        empty = np.zeros(0, int)
        return empty, empty, np.zeros((0, 3))
    second_third = np.linalg.solve(edges, points.T).T
    weights = np.concatenate(
        [1 - second_third.sum(-1, keepdims=True), second_third], -1
    )
    inside = (weights > -1e-6).all(-1)
    return rows.ravel()[inside], columns.ravel()[inside], weights[inside]


def bake_texels(
    uv: Float[np.ndarray, "n 2"],
    uv_triangles: Int[np.ndarray, "t 3"],
    triangles: Int[np.ndarray, "t 3"],
    attributes: Float[np.ndarray, "v k"],
    size: int,
) -> Texels:
    """Interpolate vertex attributes at every texel centre inside a chart."""
    pixels = np.stack([uv[:, 0] * size - 0.5, (1 - uv[:, 1]) * size - 0.5], -1)
    image = np.zeros((size, size, attributes.shape[1]))
    covered = np.zeros((size, size), bool)
    for texture_corners, corners in zip(uv_triangles, triangles, strict=True):
        rows, columns, weights = _texel_weights(pixels[texture_corners], size)
        image[rows, columns] = weights @ attributes[corners]
        covered[rows, columns] = True
    return Texels(covered, image[covered])


def spread_texels(
    covered: Bool[np.ndarray, "s s"], colours: Float[np.ndarray, "n 3"]
) -> Float[np.ndarray, "s s 3"]:
    """The texture image, with uncovered texels coloured as their nearest chart."""
    image = np.zeros((*covered.shape, 3))
    image[covered] = colours
    nearest = distance_transform_edt(
        ~covered, return_distances=False, return_indices=True
    )
    return image[nearest[0], nearest[1]]


_SIZE = 1024
_SEED = 1


def paint_texture(arrays: Mapping[str, np.ndarray]) -> UInt8[np.ndarray, "s s 3"]:
    """The texture of the hand whose arrays are given; row 0 is v = 1."""
    vertices = arrays["v_template"].astype(float)
    normals = vertex_normals(vertices, arrays["f"])
    attributes = np.concatenate([vertices, normals, arrays["weights"]], axis=-1)
    texels = bake_texels(arrays["uv"], arrays["f_uv"], arrays["f"], attributes, _SIZE)
    position, normal, weights = np.split(texels.values, [3, 6], axis=-1)
    normal = normal / np.linalg.norm(normal, axis=-1, keepdims=True)
    joints = arrays["J_regressor"].astype(float) @ vertices
    colours = skin_colours(
        TexturePlace(position, normal, weights), joints, np.random.default_rng(_SEED)
    )
    return np.round(255 * spread_texels(texels.covered, colours)).astype(np.uint8)
