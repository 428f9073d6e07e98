"""Paints a hand's texture: nails, creases, palm lines, veins, tendons and moles.

Everything is placed by the rest pose's joints, so any hand in MANO's layout that has
texture coordinates can be painted. Only the colour relative to its mean is used later:
tone comes from pigments. Measures are those of an adult hand, in millimetres.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from twohand_jax.mano.joints import MANO16, WRIST

BASE_SRGB = np.array([196.0, 152.0, 130.0])
# first, second and third joint of index, middle, pinky, ring, thumb (MANO's order)
FINGERS = ((1, 2, 3), (4, 5, 6), (7, 8, 9), (10, 11, 12), (13, 14, 15))
THUMB = 4
# the palm's fold at a finger's root lies ahead of its joint
WEB_MM = 17.0
NAIL_MM = ((5.2, 4.6), (5.6, 4.9), (4.6, 3.9), (5.3, 4.6), (6.8, 6.0))
DARK = np.array([0.35, 0.55, 0.6])
RED = np.array([-0.05, 0.35, 0.3])
VEIN = np.array([0.5, 0.25, 0.05])


class Atlas(NamedTuple):
    """Rest position (mm) and normal of the texels where there is skin."""

    position: Float[np.ndarray, "n 3"]
    normal: Float[np.ndarray, "n 3"]
    inside: Bool[np.ndarray, "s s"]


class Axes(NamedTuple):
    """The hand's own directions at rest: toward the fingers, the thumb, the back."""

    ahead: Float[np.ndarray, "3"]
    thumbward: Float[np.ndarray, "3"]
    back: Float[np.ndarray, "3"]


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.maximum(np.linalg.norm(vector, axis=-1, keepdims=True), 1e-12)


def _line(distance: np.ndarray, width: float) -> np.ndarray:
    return np.exp(-((distance / width) ** 2))


def _parabola(
    start: np.ndarray, middle: np.ndarray, end: np.ndarray
) -> Float[np.ndarray, "9 2"]:
    """Nine points of the parabola through three."""
    t = np.linspace(0, 1, 9)[:, None]
    outer = (1 - t) * (1 - 2 * t) * start + t * (2 * t - 1) * end
    return outer + 4 * t * (1 - t) * middle


def bake_atlas(
    vertices_mm: Float[np.ndarray, "v 3"],
    normals: Float[np.ndarray, "v 3"],
    faces: Int[np.ndarray, "f 3"],
    uv: Float[np.ndarray, "t 2"],
    face_uv: Int[np.ndarray, "f 3"],
    *,
    size: int,
) -> Atlas:
    """Rasterises positions and normals into the texture (first row is v = 1)."""
    image = np.zeros((size, size, 6))
    inside = np.zeros((size, size), bool)
    corners = np.asarray(uv, float)[face_uv] * [1, -1] + [0, 1]
    values = np.concatenate([vertices_mm, normals], axis=1)[faces]
    for corner, value in zip(corners * size - 0.5, values, strict=True):
        low = np.maximum(np.floor(corner.min(axis=0)).astype(int), 0)
        high = np.minimum(np.ceil(corner.max(axis=0)).astype(int) + 1, size)
        x, y = np.meshgrid(np.arange(low[0], high[0]), np.arange(low[1], high[1]))
        edges = np.stack([corner[1] - corner[0], corner[2] - corner[0]], axis=1)
        if abs(np.linalg.det(edges)) < 1e-9:
            continue
        offset = np.stack([x, y], axis=-1) - corner[0]
        share = offset @ np.linalg.inv(edges).T
        weight = np.stack([1 - share.sum(-1), share[..., 0], share[..., 1]], axis=-1)
        hit = (weight > -0.15).all(axis=-1)
        image[y[hit], x[hit]] = weight[hit] @ value
        inside[y[hit], x[hit]] = True
    texels = image[inside].astype(np.float32)
    return Atlas(texels[:, :3], _unit(texels[:, 3:]), inside)


def hand_axes(joints: Float[np.ndarray, "16 3"]) -> Axes:
    """The hand's directions from wrist, index and pinky base of a right hand."""
    to_index, to_pinky = joints[[MANO16.INDEX_BASE, MANO16.PINKY_BASE]] - joints[WRIST]
    back = -_unit(np.cross(to_index, to_pinky))
    ahead = _unit(joints[MANO16.MIDDLE_BASE] - joints[WRIST])
    ahead = _unit(ahead - (ahead @ back) * back)
    thumbward = np.cross(ahead, back)
    thumbward = thumbward if thumbward @ (to_index - to_pinky) > 0 else -thumbward
    return Axes(ahead, thumbward, back)


class Painter:
    """Adds pigment to a texture, layer by layer; hidden state is the random stream."""

    def __init__(
        self,
        atlas: Atlas,
        joints_mm: Float[np.ndarray, "16 3"],
        tips_mm: Float[np.ndarray, "5 3"],
        seed: int,
    ) -> None:
        """Starts from bare skin."""
        self.atlas = atlas
        self.joints, self.tips = (
            joints_mm.astype(np.float32),
            tips_mm.astype(np.float32),
        )
        self.axes = hand_axes(self.joints)
        self.rng = np.random.default_rng(seed)
        self.absorbed = np.zeros_like(atlas.position)
        self.dorsal = np.clip(atlas.normal @ self.axes.back * 2.5 + 0.5, 0, 1)
        plane = np.stack([self.axes.ahead, self.axes.thumbward], axis=1)
        self.plane = plane
        self.flat = (atlas.position - self.joints[0]) @ plane

    def add(self, amount: Float[np.ndarray, "n"], pigment: np.ndarray) -> None:
        """Absorbs ``amount`` times ``pigment`` (log, per colour)."""
        self.absorbed += amount[:, None] * pigment.astype(np.float32)

    def finger_frame(
        self, finger: int, joint: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Along, across and up (mm) of all texels from a joint of a finger."""
        chain = FINGERS[finger]
        ends = np.concatenate([self.joints[list(chain)], self.tips[finger][None]])
        ahead = _unit(ends[joint + 1] - ends[joint])
        back = self.axes.back + (finger == THUMB) * 0.9 * self.axes.thumbward
        back = _unit(back - (back @ ahead) * ahead)
        offset = self.atlas.position - ends[joint]
        return offset @ ahead, offset @ np.cross(ahead, back), offset @ back

    def creases(self) -> None:
        """Transverse lines over the finger joints, finer on the back."""
        for finger in range(5):
            for joint in (1, 2):
                along, across, up = self.finger_frame(finger, joint)
                self._folds_of_palm(along, across, up)
                self._folds_of_back(along, across, up, spread=(2.6, 1.5)[joint - 1])
            if finger != THUMB:
                along, across, up = self.finger_frame(finger, 0)
                self._folds_of_palm(along - WEB_MM, across, up)

    def _folds_of_palm(
        self, along: np.ndarray, across: np.ndarray, up: np.ndarray
    ) -> None:
        under = (up < 0) & (np.abs(across) < 13) & (up > -14)
        for _ in range(2):
            shift = self.rng.normal(0, 1.0)
            line = _line(along - shift - 0.02 * across**2, 0.55) * under
            self.add(line * self.rng.uniform(0.25, 0.6), DARK)

    def _folds_of_back(
        self, along: np.ndarray, across: np.ndarray, up: np.ndarray, *, spread: float
    ) -> None:
        over = (up > 0) & (np.abs(across) < 13) & (np.hypot(along, up) < 16)
        for _ in range(6):
            shift, bow = self.rng.normal(0, spread), self.rng.normal(0, 0.02)
            wave = 0.35 * np.sin(across * self.rng.uniform(0.4, 1.0) + shift)
            line = _line(along - shift - bow * across**2 - wave, 0.5) * over
            self.add(line * self.rng.uniform(0.12, 0.45), DARK)
        halo = _line(np.hypot(along, across), 8.0) * over
        self.add(halo * self.rng.uniform(0.1, 0.4), RED)

    def nails(self) -> None:
        """Smooth plates with a pale moon, a white edge and a dark fold around."""
        tone, edge = self.rng.uniform(-0.2, 0.1), self.rng.uniform(0.0, 1.6)
        for finger, (length, width) in enumerate(NAIL_MM):
            along, across, up = self.finger_frame(finger, 2)
            bone = self.tips[finger] - self.joints[FINGERS[finger][2]]
            along = along - (float(np.linalg.norm(bone)) - length - 0.5)
            radius = np.abs(along / length) ** 2.6 + np.abs(across / width) ** 2.6
            radius = np.where(up > 0, radius ** (1 / 2.6), 9.0)
            plate = np.clip((1 - radius) * 8, 0, 1)
            self.absorbed *= 1 - plate[..., None]
            self.add(plate * tone, np.ones(3))
            self.add(plate * -0.1, np.array([0.6, 1.0, 1.3]))
            moon = plate * _line(np.hypot(along + 1.05 * length, across), 0.45 * length)
            self.add(moon * -0.16, np.array([0.3, 1.0, 1.0]))
            self.add(plate * (along > length - edge) * -0.2, np.array([0.6, 1.2, 1.1]))
            self.add(_line(radius - 1.06, 0.1), DARK * 0.7)

    def polyline(self, points: Float[np.ndarray, "p 2"]) -> Float[np.ndarray, "n"]:
        """Distance (mm) of texels to a line in the plane of the palm."""
        best = np.full(len(self.flat), np.inf, np.float32)
        for start, end in zip(points[:-1], points[1:], strict=True):
            step = end - start
            t = np.clip((self.flat - start) @ step / (step @ step), 0, 1)
            gap = np.linalg.norm(self.flat - start - t[..., None] * step, axis=-1)
            best = np.minimum(best, gap)
        return best

    def palm_lines(self) -> None:
        """Heart, head and life line, and finer ones."""
        base = (self.joints - self.joints[0]) @ self.plane
        index, middle, pinky, thumb = base[1], base[4], base[7], base[13]
        back, side = np.array([-1.0, 0.0]), np.array([0.0, 1.0])
        root = pinky + 6 * back - 9 * side
        heart = [root, middle + 3 * back - 4 * side, middle + 6 * side]
        start = index + 12 * back + 9 * side
        head = [start, middle + 24 * back, pinky + 36 * back - 4 * side]
        life = [start, middle + 38 * back + 8 * side, thumb * 0.35 + middle * 0.15]
        for line in (heart, head, life):
            smooth = _parabola(*line) + self.rng.normal(0, 0.5, (9, 2))
            amount = _line(self.polyline(smooth), 0.6) * (1 - self.dorsal)
            self.add(amount * self.rng.uniform(0.3, 0.6), DARK)

    def tendons_and_veins(self) -> None:
        """Pale cords to the knuckles, and bluish veins between them, on the back."""
        base = (self.joints - self.joints[0]) @ self.plane
        strength = self.rng.uniform(0, 0.22)
        for joint in (1, 4, 7, 10):
            cord = np.stack([0.15 * base[joint], 0.93 * base[joint]])
            self.add(_line(self.polyline(cord), 2.2) * self.dorsal * -strength, DARK)
            knuckle = np.linalg.norm(self.flat - base[joint], axis=-1)
            self.add(_line(knuckle, 6.0) * self.dorsal * 0.25, RED)
        blue = self.rng.uniform(0, 0.22)
        for _ in range(4):
            along = np.linspace(-0.1, self.rng.uniform(0.6, 0.95), 7)[:, None]
            start, end = self.rng.uniform(-18, 18), self.rng.uniform(-28, 28)
            bend = self.rng.normal(0, 2.0, (7, 2)).cumsum(axis=0)
            vein = along * [base[4, 0], end - start] + [0, start] + bend
            self.add(_line(self.polyline(vein), 1.8) * self.dorsal * blue, VEIN)

    def moles(self) -> None:
        """A few dark spots anywhere."""
        skin = self.atlas.position
        for _ in range(int(self.rng.poisson(3))):
            place = skin[self.rng.integers(len(skin))]
            gap = np.linalg.norm(self.atlas.position - place, axis=-1)
            self.add(_line(gap, self.rng.uniform(0.5, 1.4)), DARK)


def paint(
    atlas: Atlas,
    joints_mm: Float[np.ndarray, "16 3"],
    tips_mm: Float[np.ndarray, "5 3"],
    *,
    seed: int,
) -> UInt8[np.ndarray, "s s 3"]:
    """One person's right hand as an sRGB texture.

    Args:
        atlas: from `bake_atlas`.
        joints_mm: rest joints in MANO's order.
        tips_mm: finger ends of index, middle, pinky, ring, thumb.
        seed: chooses the person.
    """
    painter = Painter(atlas, joints_mm, tips_mm, seed)
    painter.tendons_and_veins()
    painter.palm_lines()
    painter.creases()
    painter.nails()
    painter.moles()
    image = np.tile(BASE_SRGB, (*atlas.inside.shape, 1))
    image[atlas.inside] *= np.exp(-painter.absorbed / 2.2)
    return np.rint(np.clip(image, 0, 255)).astype(np.uint8)
