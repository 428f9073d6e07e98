"""The exact effect on every label of mirroring and turning a picture.

A ``crops.motion.Motion`` takes the picture to a new picture. Its labels are again those
of an ordinary picture: projected 3D joints are the 2D joints (for square pixels), and
right hands are right hands.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from twohand_jax.crops.inputs import CropConfig
from twohand_jax.crops.motion import Motion, swap
from twohand_jax.geometry import affine, boxes, rotations, view
from twohand_jax.mano import params as mano_params
from twohand_jax.types import Camera, Inputs, ManoModel, ManoParams, Targets

HIGHEST = jax.lax.Precision.HIGHEST
# The hand axis of each field of ManoParams, counted from the right.
HAND_AXES = (-2, -3, -2, -2)


def move_targets(targets: Targets, move: Motion, model: ManoModel) -> Targets:
    """Labels of the new picture.

    Mirroring negates x of every position and makes a right hand a left one. The
    relative translation is left minus right wrist: mirrored it has x negated, and
    exchanging the hands negates all of it, so x stays and y and z change sign.
    """
    joints_2d = swap(targets.joints_2d, move.mirror, axis=-3)
    joints_3d = swap(targets.joints_3d, move.mirror, axis=-3)
    mirrored = _mirror_points(joints_3d, move.mirror[..., None, None])
    T = move.T_moved_image[..., None, :, :]
    R = rotations.rotation_z(move.angle)
    sign = jnp.where(move.mirror[..., None], jnp.array([1.0, -1.0, -1.0]), 1.0)
    return Targets(
        camera=Camera(
            focal=targets.camera.focal,
            center=_move_point(move.T_moved_image, targets.camera.center),
        ),
        camera_valid=targets.camera_valid,
        box=_move_box(T, swap(targets.box, move.mirror, axis=-2)),
        hand_valid=swap(targets.hand_valid, move.mirror, axis=-1),
        joints_2d=affine.apply(T, joints_2d),
        joints_2d_valid=swap(targets.joints_2d_valid, move.mirror, axis=-2),
        joints_3d=_turn(R[..., None, :, :], mirrored),
        joints_3d_valid=swap(targets.joints_3d_valid, move.mirror, axis=-2),
        mano=_move_mano(targets.mano, move, R, model),
        mano_valid=swap(targets.mano_valid, move.mirror, axis=-1),
        rel_trans=_turn(R, (targets.rel_trans * sign)[..., None, :])[..., 0, :],
        rel_trans_valid=targets.rel_trans_valid,
        interacting=targets.interacting,
        doubt=None
        if targets.doubt is None
        else swap(targets.doubt, move.mirror, axis=-1),
    )


def to_network(targets: Targets, inputs: Inputs, *, crop: CropConfig) -> Targets:
    """Labels in crop pixels and in the network frame, where the left hand is a right.

    ``box``, ``camera`` and ``rel_trans`` stay as they are in the picture.
    """
    R = view_rotation(
        inputs.T_crop_image,
        targets.camera,
        crop=crop,
        camera_valid=targets.camera_valid,
    )
    R = jnp.swapaxes(R, -1, -2)
    orient = rotations.axis_angle_to_matrix(targets.mano.global_orient)
    turned = jnp.einsum("...ij,...jk->...ik", R, orient, precision=HIGHEST)
    mano = targets.mano._replace(global_orient=rotations.matrix_to_axis_angle(turned))
    return targets._replace(
        joints_2d=affine.apply(inputs.T_crop_image, targets.joints_2d),
        joints_3d=mirror_left_points(view.turn(R, targets.joints_3d)),
        mano=mirror_left(mano),
    )


def view_rotation(
    T_crop_image: Float[Array, "*b 2 2 3"],
    camera: Camera,
    *,
    crop: CropConfig,
    camera_valid: Bool[Array, "*b"],
) -> Float[Array, "*b 2 3 3"]:
    """By how much a hand is turned between its crop's view and the camera's frame.

    The identity unless the config asks for more: for the ray of the crop's middle,
    where the camera is known, and for the angle at which the crop was cut out.
    """
    R = jnp.eye(3, dtype=T_crop_image.dtype)
    if crop.crop_view:
        each = jax.tree.map(lambda x: x[..., None, :], camera)
        along = view.rotation(T_crop_image, each, size=crop.crop_size)
        R = jnp.where(camera_valid[..., None, None, None], along, R)
    if crop.fingers_up:
        rolled = view.roll_rotation(T_crop_image)
        R = jnp.einsum("...ij,...jk->...ik", R, rolled, precision=HIGHEST)
    return jnp.broadcast_to(R, (*T_crop_image.shape[:-2], 3, 3))


def mirror_left_points(
    points: Float[Array, "*b 2 n 3"],
) -> Float[Array, "*b 2 n 3"]:
    """The left hand's points with x negated: between camera and network frame."""
    return _mirror_points(points, jnp.array([[False], [True]]))


def mirror_left(params: ManoParams) -> ManoParams:
    """The left hand as a right hand's parameters, or back: its own inverse."""
    mirrored = mano_params.mirror(params)
    fields = []
    for new, old, axis in zip(mirrored, params, HAND_AXES, strict=True):
        left = jnp.array([False, True]).reshape(2, *(1,) * (-axis - 1))
        fields.append(jnp.where(left, jnp.flip(new, axis), old))
    return ManoParams(*fields)


def _mirror_points(
    points: Float[Array, "*b 3"], where: Bool[Array, "*b"]
) -> Float[Array, "*b 3"]:
    flip_x = jnp.array([-1.0, 1.0, 1.0], points.dtype)
    return jnp.where(where[..., None], points * flip_x, points)


def _turn(
    R: Float[Array, "*b 3 3"], points: Float[Array, "*b n 3"]
) -> Float[Array, "*b n 3"]:
    return jnp.einsum("...ij,...nj->...ni", R, points, precision=HIGHEST)


def _move_point(
    T: Float[Array, "*b 2 3"], point: Float[Array, "*b 2"]
) -> Float[Array, "*b 2"]:
    return affine.apply(T, point[..., None, :])[..., 0, :]


def _move_box(
    T: Float[Array, "*b 2 3"], box: Float[Array, "*b 4"]
) -> Float[Array, "*b 4"]:
    """Upright box about the moved corners."""
    corners = jnp.stack(
        [box[..., [0, 1]], box[..., [2, 1]], box[..., [0, 3]], box[..., [2, 3]]], -2
    )
    return boxes.from_points(affine.apply(T, corners))


def _move_mano(
    params: ManoParams, move: Motion, R: Float[Array, "*b 3 3"], model: ManoModel
) -> ManoParams:
    """Mirror, then turn rigidly about the camera: every vertex v becomes R M v."""
    mirrored = mano_params.mirror(params)
    fields = []
    for new, old, axis in zip(mirrored, params, HAND_AXES, strict=True):
        mirror = move.mirror.reshape(*move.mirror.shape, *(1,) * -axis)
        fields.append(jnp.where(mirror, new, old))
    return mano_params.to_camera(
        model, ManoParams(*fields), R, jnp.zeros_like(R[..., 0])
    )
