"""Putting sampled hands before a camera: orientation, distance, place in the picture.

Most views are those in which hands are seen: one's own hands from above and behind,
another person's from the front, a studio's ring of cameras; the rest are any rotation.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float
from scipy.spatial.transform import Rotation

from twohand_jax import mano
from twohand_jax.pipelines.synthetic.poses.sampler import PoseBatch
from twohand_jax.types import LEFT, RIGHT, Camera, ManoModel, ManoParams


class Style(NamedTuple):
    """A family of view directions relative to the person, degrees.

    Yaw 0 looks where the person looks, 180 into the face; pitch is positive looking
    down. Each is (mean, spread) of a normal distribution, pitch (low, high) uniform.
    """

    weight: float
    yaw: tuple[float, float]
    pitch: tuple[float, float]
    roll: tuple[float, float]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ViewConfig:
    """Distribution of the views.

    Attributes:
        styles: families of view directions.
        any_rotation: share of views that are any rotation at all.
        fill: larger side of the hands' box, as a share of the picture's smaller side.
        distance: of the hands' middle from the camera, metres.
        focal: focal length as a multiple of the picture's larger side.
        truncated: share of pictures whose border cuts the hands.
        cut: how much of the hands' box may then lie outside.
    """

    styles: tuple[Style, ...] = (
        Style(0.4, (0.0, 20.0), (10.0, 80.0), (0.0, 12.0)),
        Style(0.3, (180.0, 40.0), (-20.0, 50.0), (0.0, 10.0)),
        Style(0.3, (0.0, 180.0), (-50.0, 70.0), (0.0, 15.0)),
    )
    any_rotation: float = 0.15
    fill: tuple[float, float] = (0.25, 0.75)
    distance: tuple[float, float] = (0.35, 1.2)
    focal: tuple[float, float] = (1.1, 3.0)
    truncated: float = 0.08
    cut: float = 0.25


DEFAULT = ViewConfig()
_FILL_A_METRE = 1.3


def place(
    seed: int,
    batch: PoseBatch,
    image_size: tuple[int, int],
    *,
    model: ManoModel | None = None,
    config: ViewConfig = DEFAULT,
) -> tuple[ManoParams, Camera]:
    """Move sampled hands into the frame of a random camera, one picture each.

    Args:
        seed: the same seed gives the same views.
        batch: hands in their world.
        image_size: height and width of the picture in pixels.
        model: hand model; None for the embedded open hand.
        config: distribution of the views.

    Returns:
        Parameters in the camera frame and the cameras, as host arrays.
    """
    model = mano.load() if model is None else model
    rng = np.random.default_rng((seed, 1))
    geometry = mano.forward(model, jax.tree.map(jnp.asarray, batch.params))
    vertices, joints = (np.asarray(x, np.float64) for x in geometry)
    R = _rotations(rng, joints, batch.present, config)
    points = np.einsum("nij,nhvj->nhvi", R, vertices)
    focal, t, center = _frame(rng, points, batch.present, image_size, config)
    params = mano.to_camera(
        model,
        jax.tree.map(jnp.asarray, batch.params),
        jnp.asarray(R, jnp.float32),
        jnp.asarray(t, jnp.float32),
    )
    camera = Camera(
        focal=np.repeat(focal[:, None], 2, 1).astype(np.float32),
        center=center.astype(np.float32),
    )
    return jax.tree.map(np.asarray, params), camera


def body_axes(
    rng: np.random.Generator,
    joints: Float[np.ndarray, "n 2 21 3"],
    present: Bool[np.ndarray, "n 2"],
) -> Float[np.ndarray, "n 3 3"]:
    """Rows right, forward and up of the person whose hands these may be.

    Two hands: forward is where the fingers point on average, right from the left wrist
    to the right one. One hand: forward along the hand, rolled as forearms roll.
    """
    distal = joints[..., 9, :] - joints[..., 0, :]
    forward = np.where(present[..., None], distal, 0.0).sum(1)
    across = joints[:, RIGHT, 0] - joints[:, LEFT, 0]
    side = np.where(present[:, RIGHT], RIGHT, LEFT)
    rows = np.arange(len(joints))
    radial = joints[rows, side, 5] - joints[rows, side, 17]
    hand_across = np.where((side == RIGHT)[:, None], -radial, radial)
    roll = Rotation.from_rotvec(
        rng.uniform(-1.6, 1.6, (len(joints), 1)) * _unit(distal[rows, side])
    )
    both = present.all(axis=1, keepdims=True)
    across = np.where(both, across, roll.apply(hand_across))
    right = _unit(across)
    # Fingers that point at each other leave no forward: take the palms' side instead.
    forward = forward - (forward * right).sum(-1, keepdims=True) * right
    weak = np.flatnonzero(np.linalg.norm(forward, axis=-1) < 0.02)
    forward[weak] = np.cross(rng.normal(size=(len(weak), 3)), right[weak])
    forward = _unit(forward)
    return np.stack([right, forward, np.cross(right, forward)], axis=1)


def _rotations(
    rng: np.random.Generator,
    joints: Float[np.ndarray, "n 2 21 3"],
    present: Bool[np.ndarray, "n 2"],
    config: ViewConfig,
) -> Float[np.ndarray, "n 3 3"]:
    """World to camera, one rotation a picture."""
    count = len(joints)
    body = body_axes(rng, joints, present)
    weights = np.array([style.weight for style in config.styles])
    pick = rng.choice(len(config.styles), size=count, p=weights / weights.sum())
    yaw, pitch, roll = (
        np.array([getattr(s, name) for s in config.styles])[pick]
        for name in ("yaw", "pitch", "roll")
    )
    yaw = np.deg2rad(rng.normal(yaw[:, 0], yaw[:, 1]))
    pitch = np.deg2rad(rng.uniform(pitch[:, 0], pitch[:, 1]))
    roll = np.deg2rad(rng.normal(roll[:, 0], roll[:, 1]))
    look = np.stack(
        [np.cos(pitch) * np.sin(yaw), np.cos(pitch) * np.cos(yaw), -np.sin(pitch)], -1
    )
    down = np.array([0.0, 0.0, -1.0])
    down = _unit(down - (look @ down)[:, None] * look)
    camera = np.stack([np.cross(down, look), down, look], axis=1)
    turned = Rotation.from_rotvec(roll[:, None] * np.array([0.0, 0.0, 1.0]))
    R = turned.as_matrix() @ camera @ body
    free = rng.random(count) < config.any_rotation
    R[free] = Rotation.random(count, random_state=rng).as_matrix()[free]
    return R


def _frame(
    rng: np.random.Generator,
    points: Float[np.ndarray, "n 2 v 3"],
    present: Bool[np.ndarray, "n 2"],
    image_size: tuple[int, int],
    config: ViewConfig,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Focal length, translation and principal point that give the wanted box."""
    count, (height, width) = len(points), image_size
    small, large = min(image_size), max(image_size)
    shown = np.where(present[..., None, None], points, np.nan).reshape(count, -1, 3)
    low, high = np.nanmin(shown, axis=1), np.nanmax(shown, axis=1)
    middle, extent = (low + high) / 2, (high - low)[:, :2].max(-1)
    focal = large * np.exp(
        rng.uniform(np.log(config.focal[0]), np.log(config.focal[1]), count)
    )
    # Hands far from each other fill more of the picture, else each is a speck.
    least = np.clip(_FILL_A_METRE * extent, config.fill[0], 0.85 * config.fill[1])
    side = small * rng.uniform(least, np.full(count, config.fill[1]))
    center = np.array([width - 1, height - 1]) / 2 + small * rng.normal(
        0.0, 0.01, (count, 2)
    )
    distance = np.clip(focal * extent / side, *config.distance)
    for _ in range(3):
        box = _project(shown - middle[:, None], distance, focal, np.zeros((count, 2)))
        seen = (box[:, 1] - box[:, 0]).max(-1)
        distance = np.clip(distance * seen / side, *config.distance)
        focal = np.clip(focal * (side / seen) ** 0.5, *large * np.array(config.focal))
    box = _project(shown - middle[:, None], distance, focal, center)
    shift = _shift(rng, box, image_size, config)
    offset = np.concatenate(
        [shift * (distance / focal)[:, None], distance[:, None]], axis=-1
    )
    return focal, offset - middle, center


def _project(
    points: Float[np.ndarray, "n v 3"],
    distance: Float[np.ndarray, "n"],
    focal: Float[np.ndarray, "n"],
    center: Float[np.ndarray, "n 2"],
) -> Float[np.ndarray, "n 2 2"]:
    """Corners of the box of points about the optical axis at a distance, pixels."""
    depth = np.maximum(points[..., 2] + distance[:, None], 0.1)
    pixels = points[..., :2] / depth[..., None] * focal[:, None, None]
    pixels = pixels + center[:, None]
    return np.stack([np.nanmin(pixels, axis=1), np.nanmax(pixels, axis=1)], axis=1)


def _shift(
    rng: np.random.Generator,
    box: Float[np.ndarray, "n 2 2"],
    image_size: tuple[int, int],
    config: ViewConfig,
) -> Float[np.ndarray, "n 2"]:
    """Where the box goes in the picture: inside, or for some across one border."""
    count = len(box)
    last = np.array([image_size[1] - 1, image_size[0] - 1])
    size = box[:, 1] - box[:, 0]
    room = np.maximum(last - size, 0.0)
    # A margin of 2 %: moving sideways changes the outline a little.
    margin = np.minimum(0.02 * last, room / 2)
    corner = margin + (room - 2 * margin) * rng.beta(1.5, 1.5, (count, 2))
    cut = rng.random(count) < config.truncated
    axis = rng.integers(2, size=count)
    beyond = rng.uniform(0.05, config.cut, count)
    rows = np.flatnonzero(cut)
    part = beyond[rows] * size[rows, axis[rows]]
    far = rng.random(len(rows)) < 0.5
    corner[rows, axis[rows]] = np.where(far, room[rows, axis[rows]] + part, -part)
    return corner - box[:, 0]


def _unit(vectors: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)
