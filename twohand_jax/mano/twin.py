"""MANO's forward pass again, slow and plain: what ``twohand doctor`` compares with.

NumPy in double precision, a hand, a joint and a vertex at a time as the formulas of
Romero et al. (2017) have them. It shares no line with ``mano.forward``.
"""

import numpy as np
from jaxtyping import Float

from twohand_jax.mano.joints import CANONICAL_FROM_MODEL, FINGERTIPS, PARENTS
from twohand_jax.types import HandGeometry, ManoModel, ManoParams


def forward(model: ManoModel, params: ManoParams) -> HandGeometry:
    """Pose both hands.

    Args:
        model: two-hand model.
        params: of one pair, without a batch.

    Returns:
        Vertices and the 21 canonical joints in metres, as of ``mano.forward``.
    """
    posed = [_hand(model, params, side) for side in (0, 1)]
    vertices, joints = zip(*posed, strict=True)
    return HandGeometry(np.stack(vertices), np.stack(joints))


def _hand(
    model: ManoModel, params: ManoParams, side: int
) -> tuple[Float[np.ndarray, "778 3"], Float[np.ndarray, "21 3"]]:
    def own(array: object) -> np.ndarray:
        return np.asarray(array)[side].astype(np.float64)

    angles = [own(params.global_orient)]
    angles += list(own(params.hand_pose) + own(model.pose_mean))
    turns = [_rotation(angle) for angle in angles]
    shaped = own(model.template) + own(model.shapedirs) @ own(params.betas)
    rest = own(model.joint_regressor) @ shaped
    bend = np.concatenate([(turn - np.eye(3)).ravel() for turn in turns[1:]])
    bent = shaped + own(model.posedirs) @ bend
    moves: list[np.ndarray] = []
    for joint, parent in enumerate(PARENTS):
        bone = rest[joint] - (rest[parent] if parent >= 0 else 0.0)
        local = _rigid(turns[joint], bone)
        moves.append(moves[parent] @ local if parent >= 0 else local)
    positions = np.stack([move[:3, 3] for move in moves])
    from_rest = np.stack(
        [m @ _rigid(np.eye(3), -r) for m, r in zip(moves, rest, strict=True)]
    )
    blended = np.einsum("vj,jab->vab", own(model.weights), from_rest)
    vertices = np.einsum("vab,vb->va", blended[:, :3, :3], bent) + blended[:, :3, 3]
    tips = vertices[list(FINGERTIPS["interwild"])]
    joints = np.concatenate([positions, tips])[CANONICAL_FROM_MODEL]
    return vertices + own(params.transl), joints + own(params.transl)


def _rotation(axis_angle: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3 3"]:
    """Rodrigues' formula."""
    angle = np.linalg.norm(axis_angle)
    if angle == 0:
        return np.eye(3)
    x, y, z = axis_angle / angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def _rigid(
    rotation: Float[np.ndarray, "3 3"], translation: Float[np.ndarray, "3"]
) -> Float[np.ndarray, "4 4"]:
    move = np.eye(4)
    move[:3, :3], move[:3, 3] = rotation, translation
    return move
