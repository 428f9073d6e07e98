"""Results in the conventions of other systems, as arrays by name.

``twohand``   the result as it is: people in rows, right hand before left
``smplx``     what ``smplx.MANO`` takes, a set of arrays for each side
``hamer``     HaMeR's (and WiLoR's) outputs: hands in rows, all as right hands
``interwild`` InterWild's outputs: people in rows, meshes about each hand's root

Hands that are not there are NaN in rows of people. Everything is in metres and radians,
in the camera's axes.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import jax.numpy as jnp
import numpy as np

from twohand_jax import mano
from twohand_jax.geometry import cameras, rotations
from twohand_jax.inference.result_file import Result
from twohand_jax.mano.joints import CANONICAL_FROM_MODEL, FINGERTIPS
from twohand_jax.types import LEFT, RIGHT, SIDES, Camera, ManoModel

Arrays: TypeAlias = dict[str, np.ndarray]
MIRROR = np.array([-1.0, 1.0, 1.0], np.float32)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SmplxConfig:
    """Which of smplx's forms the parameters take.

    Attributes:
        flat: poses against the flat hand (``flat_hand_mean=True``), not the mean pose.
        mirror_left: left hands as right ones in a mirror that negates x, for those
            who have the right hand's model alone.
    """

    flat: bool = False
    mirror_left: bool = False


def twohand(result: Result, model: ManoModel) -> Arrays:
    """The result as it is, and the joints in the picture.

    Args:
        result: posed by ``result_file.pose``.
        model: its hand model; not looked at.
    """
    prediction = result.prediction
    camera = Camera(*(value[:, None] for value in prediction.camera))
    return {
        **_about(result),
        "score": prediction.score,
        "box": prediction.box,
        **prediction.mano._asdict(),
        "vertices": prediction.geometry.vertices,
        "joints_cam": prediction.geometry.joints,
        "joints_px": np.asarray(cameras.project(prediction.geometry.joints, camera)),
        "rel_trans": prediction.rel_trans,
        "focal": prediction.camera.focal,
        "center": prediction.camera.center,
    }


def smplx(
    result: Result, model: ManoModel, config: SmplxConfig | None = None
) -> Arrays:
    """Parameters of ``smplx.MANO(…, use_pca=False)``, for each side with its prefix.

    ``transl`` places the hand in the camera frame. ``wrist`` is where its wrist lies,
    for those who pose about the wrist: joints and vertices of smplx without ``transl``,
    minus joint 0, plus ``wrist``. Mirrored left hands have both mirrored.

    Args:
        result: posed by ``result_file.pose``.
        model: its hand model.
        config: the form.
    """
    config = SmplxConfig() if config is None else config
    params, wrists = result.prediction.mano, result.prediction.geometry.joints[:, :, 0]
    arrays = _about(result) | {"flat_hand_mean": np.array(config.flat)}
    mean = np.asarray(model.pose_mean)
    for side, name in enumerate(SIDES):
        mirrored = config.mirror_left and side == LEFT
        point, turn = (MIRROR, -MIRROR) if mirrored else (1.0, 1.0)
        flat = (params.hand_pose[:, side] + mean[side]) * turn
        pose = flat if config.flat else flat - mean[RIGHT if mirrored else side]
        one = {
            "present": result.prediction.score[:, side] > 0,
            "global_orient": params.global_orient[:, side] * turn,
            "hand_pose": pose.reshape(-1, 45),
            "betas": params.betas[:, side],
            "transl": params.transl[:, side] * point,
            "wrist": wrists[:, side] * point,
        }
        arrays |= {f"{name}_{field}": value for field, value in one.items()}
    return arrays


def hamer(result: Result, model: ManoModel) -> Arrays:
    """HaMeR's ``pred_mano_params`` and what its demo makes of them.

    All hands are right ones (``right`` says which were), with rotation matrices against
    the flat hand. A left hand's vertices lie at ``pred_vertices`` times (-1, 1, 1) plus
    ``pred_cam_t_full``. HaMeR has one focal length and the principal point in the
    picture's middle; ``focal`` and ``center`` are the result's.

    Args:
        result: posed by ``result_file.pose``.
        model: its hand model. What left hands are off by where its left hand is not
            the right one's mirror image, ``mirror_error`` tells.
    """
    there = result.prediction.score > 0
    people, sides = np.nonzero(there)
    params = result.prediction.mano
    flat = params.hand_pose + np.asarray(model.pose_mean)
    turns = np.concatenate([params.global_orient[:, :, None], flat], axis=2)
    is_left = (sides == LEFT)[:, None, None]
    rows = turns[people, sides]
    rows = np.where(is_left, rows * [1.0, -1.0, -1.0], rows).astype(np.float32)
    R = np.asarray(rotations.axis_angle_to_matrix(jnp.asarray(rows)))
    betas = params.betas[people, sides]
    vertices, joints = mano.forward_side(
        model,
        RIGHT,
        jnp.asarray(R[:, 0]),
        jnp.asarray(R[:, 1:]),
        jnp.asarray(betas),
        jnp.zeros((len(rows), 3)),
        fingertips="smplx",
    )
    camera = result.prediction.camera
    return {
        **{name: value[people] for name, value in _about(result).items()},
        "right": (sides == RIGHT).astype(np.float32),
        "score": result.prediction.score[there],
        "box": result.prediction.box[there],
        "global_orient": R[:, :1],
        "hand_pose": R[:, 1:],
        "betas": betas,
        "pred_vertices": np.asarray(vertices),
        "pred_keypoints_3d": np.asarray(joints),
        "pred_cam_t_full": params.transl[there],
        "scaled_focal_length": camera.focal.mean(axis=-1)[people],
        "focal": camera.focal[people],
        "center": camera.center[people],
    }


def interwild(result: Result, model: ManoModel) -> Arrays:
    """InterWild's outputs: meshes and joints about each hand's root.

    The root is the wrist that the model's joint regressor finds in the posed mesh, as
    there; ``rel_trans`` is the left root minus the right one.

    Args:
        result: posed by ``result_file.pose``.
        model: its hand model.
    """
    prediction, arrays = result.prediction, _about(result)
    vertices = prediction.geometry.vertices
    roots = []
    for side, prefix in enumerate("rl"):
        mesh = vertices[:, side]
        regressed = np.einsum("jv,nvk->njk", model.joint_regressor[side], mesh)
        tips = mesh[:, FINGERTIPS["interwild"]]
        joints = np.concatenate([regressed, tips], axis=1)[:, CANONICAL_FROM_MODEL]
        root = joints[:, :1]
        roots.append(root[:, 0])
        arrays |= {
            f"{prefix}mano_root_pose": prediction.mano.global_orient[:, side],
            f"{prefix}mano_hand_pose": prediction.mano.hand_pose[:, side].reshape(
                -1, 45
            ),
            f"{prefix}mano_shape": prediction.mano.betas[:, side],
            f"{prefix}mano_mesh_cam": mesh - root,
            f"{prefix}mano_joint_cam": joints - root,
            f"{prefix}root_cam": root[:, 0],
            f"{prefix}hand_bbox": prediction.box[:, side],
        }
    return arrays | {
        "rel_trans": roots[LEFT] - roots[RIGHT],
        "render_focal": prediction.camera.focal,
        "render_princpt": prediction.camera.center,
    }


CONVENTIONS: Mapping[str, Callable[..., Arrays]] = {
    "twohand": twohand,
    "smplx": smplx,
    "hamer": hamer,
    "interwild": interwild,
}


def mirror_error(result: Result, arrays: Arrays) -> float:
    """How far left hands are off as mirrored right ones: the farthest vertex, metres.

    Args:
        result: posed.
        arrays: the same as ``hamer`` has it.
    """
    is_left = arrays["right"] == 0
    own = result.prediction.geometry.vertices[result.prediction.score > 0][is_left]
    mirrored = arrays["pred_vertices"][is_left] * MIRROR
    placed = mirrored + arrays["pred_cam_t_full"][is_left, None]
    return float(np.linalg.norm(placed - own, axis=-1).max(initial=0.0))


def _about(result: Result) -> Arrays:
    """Where each person is from, a row a person."""
    pictures = [result.pictures[at] for at in result.persons.picture]
    frames = [-1 if info.frame is None else info.frame for info in pictures]
    times: list[Any] = [np.nan if p.time_s is None else p.time_s for p in pictures]
    return {
        "image": np.array([info.file for info in pictures], np.str_),
        "frame": np.array(frames, np.int64),
        "time_s": np.array(times, np.float64),
        "person": np.asarray(result.persons.number, np.int64),
    }
