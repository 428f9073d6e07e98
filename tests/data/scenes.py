"""Two posed hands before a camera with every label exact, as a ``Batch``."""

import jax
import jax.numpy as jnp
import numpy as np

from tests.programs import rest_wrist
from twohand_jax import mano
from twohand_jax.geometry import affine, boxes, cameras
from twohand_jax.types import (
    LEFT,
    RIGHT,
    Batch,
    Camera,
    Cues,
    HandGeometry,
    ManoModel,
    ManoParams,
    Targets,
)

PICTURE, CANVAS = 512, 256
FOCAL = 500.0
DOTS = (0, 4, 8, 12, 16, 20)


def params(seed: int, shape: tuple[int, ...], model: ManoModel) -> ManoParams:
    """Random poses of two hands side by side, some 60 cm away."""
    rng = np.random.default_rng(seed)
    wrist = rng.normal(0, 0.02, (*shape, 2, 3)) + [0.0, 0.02, 0.62]
    wrist[..., RIGHT, 0] -= 0.07
    wrist[..., LEFT, 0] += 0.07
    betas = jnp.asarray(rng.normal(size=(*shape, 2, 10)), jnp.float32)
    rest = rest_wrist(model, betas)
    return ManoParams(
        global_orient=jnp.asarray(rng.normal(0, 1.0, (*shape, 2, 3)), jnp.float32),
        hand_pose=jnp.asarray(rng.normal(0, 0.2, (*shape, 2, 15, 3)), jnp.float32),
        betas=betas,
        transl=jnp.asarray(wrist, jnp.float32) - rest,
    )


@jax.jit
def _forward(model: ManoModel, hands: ManoParams) -> HandGeometry:
    return mano.forward(model, hands)


def pose(model: ManoModel, hands: ManoParams) -> HandGeometry:
    """``mano.forward``, compiled once for all batches of up to four samples."""
    shape = hands.transl.shape[:-2]
    count = int(np.prod(shape))

    def flat(x: jax.Array) -> jax.Array:
        rows = x.reshape(count, *x.shape[len(shape) :])
        return jnp.concatenate([rows] * 4)[:4]

    posed = _forward(model, jax.tree.map(flat, hands))
    return jax.tree.map(lambda x: x[:count].reshape(*shape, *x.shape[1:]), posed)


def targets(seed: int, shape: tuple[int, ...], model: ManoModel) -> Targets:
    """Labels in picture pixels and camera frame, all valid."""
    hands = params(seed, shape, model)
    joints = pose(model, hands).joints
    camera = Camera(
        focal=jnp.full((*shape, 2), FOCAL),
        center=jnp.broadcast_to(jnp.array([250.0, 262.0]), (*shape, 2)),
    )
    each = jax.tree.map(lambda x: x[..., None, :], camera)
    joints_2d = cameras.project(joints, each)
    yes = jnp.ones((*shape, 2, 21), bool)
    return Targets(
        camera=camera,
        camera_valid=yes[..., 0, 0],
        box=boxes.from_points(joints_2d),
        hand_valid=yes[..., 0],
        joints_2d=joints_2d,
        joints_2d_valid=yes,
        joints_3d=joints,
        joints_3d_valid=yes,
        mano=hands,
        mano_valid=yes[..., 0],
        rel_trans=joints[..., LEFT, 0, :] - joints[..., RIGHT, 0, :],
        rel_trans_valid=yes[..., 0, 0],
        interacting=yes[..., 0, 0],
    )


def batch(seed: int, shape: tuple[int, ...], model: ManoModel) -> Batch:
    """A scene whose canvas is grey with a smooth bright dot at wrist and fingertips.

    Its segmentation and depth are discs about each hand's middle.
    """
    labels = targets(seed, shape, model)
    scale, shift = CANVAS / PICTURE, np.array([3.0, -2.0], np.float32)
    T = np.concatenate([np.eye(2, dtype=np.float32) * scale, shift[:, None]], axis=1)
    T = jnp.broadcast_to(jnp.asarray(T), (*shape, 2, 3))
    joints_px = np.asarray(affine.apply(T[..., None, :, :], labels.joints_2d))
    yes = jnp.ones(shape, bool)
    middle = joints_px.mean(axis=-2)
    right, left = (_disc(middle[..., hand, :], 22.0) for hand in (RIGHT, LEFT))
    segmentation = np.where(right, 1, np.where(left, 2, 0)).astype(np.uint8)
    row = np.linspace(0.2, 0.9, CANVAS, dtype=np.float32)[:, None]
    return Batch(
        canvas=jnp.asarray(_dots(joints_px[..., DOTS, :])),
        T_canvas_image=T,
        cues=Cues(
            {
                "keypoints": jnp.concatenate(
                    [labels.joints_2d, jnp.ones((*shape, 2, 21, 1))], axis=-1
                ),
                "segmentation": jnp.asarray(segmentation),
                "depth": jnp.asarray(np.where(segmentation > 0, row, 0.0), jnp.float32),
            },
            dict.fromkeys(("keypoints", "segmentation", "depth"), yes),
        ),
        targets=labels,
        weight=jnp.ones(shape),
        record=jnp.zeros(shape, int),
    )


def _distance(points: np.ndarray) -> np.ndarray:
    y, x = np.mgrid[:CANVAS, :CANVAS].astype(np.float32)
    return np.hypot(x - points[..., 0, None, None], y - points[..., 1, None, None])


def _disc(middle: np.ndarray, radius: float) -> np.ndarray:
    return _distance(middle) < radius


def _dots(points: np.ndarray) -> np.ndarray:
    """Gaussian dots: right hand in the red channel, left in green; blue is grey."""
    near = np.exp(-0.5 * (_distance(points) / 1.5) ** 2).max(axis=-3)
    value = np.stack([near[..., 0, :, :], near[..., 1, :, :]], axis=-1)
    blue = np.full((*value.shape[:-1], 1), 0.3, np.float32)
    return (255 * np.concatenate([value, blue], axis=-1)).round().astype(np.uint8)
