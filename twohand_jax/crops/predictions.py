"""Two hands in the picture's camera: from the network's raw estimates or parameters.

``decode`` is the inverse of ``crops.labels``.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from twohand_jax import mano, switches
from twohand_jax.crops import labels
from twohand_jax.crops.inputs import ORIGIN, CropConfig, virtual_cameras
from twohand_jax.geometry import affine, boxes, cameras, rotations, view
from twohand_jax.mano.joint_set import POSED, JointSet
from twohand_jax.mano.joints import WRIST
from twohand_jax.types import (
    LEFT,
    RIGHT,
    Camera,
    HandGeometry,
    Inputs,
    ManoModel,
    ManoParams,
    Output,
    Prediction,
)

HIGHEST = jax.lax.Precision.HIGHEST
PICTURE = 512  # side of the picture of hands that no camera is given for, pixels


@switches.promotions()
def decode(
    output: Output,
    model: ManoModel,
    inputs: Inputs,
    camera: Camera,
    *,
    crop: CropConfig,
) -> Prediction:
    """Turn the network's estimates into hands in the picture's camera.

    With ``placed_by`` "camera", each wrist keeps its pixel exactly, and its depth is
    such that the hand keeps its size in pixels; overlapping hands are placed relative
    to the right one by ``rel_trans``, with "transnet" all pairs are. With "joints",
    each posed hand is aligned with its 2D joints, and only the depth of ``rel_trans``
    is used: both wrists keep their pixels and their mean depth. With "origin", the
    camera places the model's origin as with "camera" the wrist. If the network does not
    estimate ``rel_trans``, it follows from the places. Boxes are upright boxes around
    the rotated ones.

    Args:
        output: estimates in the network frame.
        model: the hand model that the network was trained with.
        inputs: the network's inputs.
        camera: camera of the picture that ``inputs.T_crop_image`` refers to.
        crop: how hands were cut out, and units of the estimates.
    """
    output = jax.tree.map(lambda x: x.astype(jnp.float32), output)
    params = _params(output, model, inputs, camera, crop)
    if crop.placed_by == "joints":
        posed = mano.forward(model, params).joints
        wrists = _wrists_by_joints(posed, output, inputs, camera, crop)
    else:
        wrists = _placed_by_camera(output, inputs, camera, crop)
    rest = _wrists_untranslated(params, model, crop)
    if crop.placed_by == ORIGIN:
        wrists = wrists + rest
    params = params._replace(transl=wrists - rest)
    box = inputs.box
    if crop.fingers_up:
        box = boxes.around_turned(box, view.roll(inputs.T_crop_image))
    return Prediction(
        mano=params,
        geometry=mano.forward(model, params),
        rel_trans=wrists[..., LEFT, :] - wrists[..., RIGHT, :],
        camera=camera,
        box=box,
        score=inputs.hand_valid.astype(jnp.float32),
    )


def _placed_by_camera(
    output: Output, inputs: Inputs, camera: Camera, crop: CropConfig
) -> Float[Array, "*b 2 3"]:
    """Both wrists, or origins, in the picture's camera: camera head and TransNet."""
    wrists = cameras.crop_to_image(
        output.camera, inputs.T_crop_image, virtual_cameras(crop), _each(camera)
    )
    if output.rel_trans is None:
        return wrists
    right = wrists[..., RIGHT, :]
    beside = jnp.stack([right, right + output.rel_trans], axis=-2)
    counts = inputs.overlap
    if crop.placed_by == "transnet":
        counts = jnp.all(inputs.hand_valid, axis=-1)
    return jnp.where(counts[..., None, None], beside, wrists)


def _wrists_untranslated(
    params: ManoParams, model: ManoModel, crop: CropConfig
) -> Float[Array, "*b 2 3"]:
    """The wrists that are placed, of hands with no translation."""
    if crop.wrist == POSED.kind:
        return mano.params.rest_wrist(model, params.betas)
    posed = mano.forward(model, params)
    return JointSet(POSED.tips, crop.wrist).of(model, posed)[..., WRIST, :]


def _wrists_by_joints(
    posed: Float[Array, "*b 2 21 3"],
    output: Output,
    inputs: Inputs,
    camera: Camera,
    crop: CropConfig,
) -> Float[Array, "*b 2 3"]:
    """Both wrists in the picture's camera, by the 2D joints and TransNet's depth."""
    assert output.joints_25d is not None, "a network without heat maps"
    placed = posed - posed[..., :1, :]
    crop_px = output.joints_25d[..., :2] * (crop.crop_size / crop.cells)
    pixels = affine.apply(affine.invert(inputs.T_crop_image), crop_px)
    wrists = cameras.place(placed, pixels, _each(camera))
    if output.rel_trans is None:
        return wrists
    both = jnp.all(inputs.hand_valid, axis=-1)[..., None]
    depth = jnp.mean(wrists[..., 2], axis=-1, keepdims=True)
    behind = output.rel_trans[..., 2:] * jnp.array([-0.5, 0.5])
    depth = jnp.where(both, jnp.maximum(depth + behind, 0.05), wrists[..., 2])
    return wrists * (depth / wrists[..., 2])[..., None]


def _each(camera: Camera) -> Camera:
    """The picture's camera for each hand."""
    return jax.tree.map(lambda x: x[..., None, :], camera)


def _params(
    output: Output,
    model: ManoModel,
    inputs: Inputs,
    camera: Camera,
    crop: CropConfig,
) -> ManoParams:
    """Pose and shape in the picture's camera frame, with no translation yet."""
    to_axis_angle = rotations.matrix_to_axis_angle
    root = rotations.rotation_6d_to_matrix(output.global_orient_6d)
    pose = rotations.rotation_6d_to_matrix(output.hand_pose_6d)
    sided = labels.mirror_left(
        ManoParams(
            global_orient=to_axis_angle(root),
            hand_pose=to_axis_angle(pose),
            betas=output.betas,
            transl=jnp.zeros_like(output.camera),
        )
    )
    if crop.crop_view or crop.fingers_up:
        known = jnp.ones(inputs.box.shape[:-2], bool)
        R = labels.view_rotation(
            inputs.T_crop_image, camera, crop=crop, camera_valid=known
        )
        orient = rotations.axis_angle_to_matrix(sided.global_orient)
        turned = jnp.einsum("...ij,...jk->...ik", R, orient, precision=HIGHEST)
        sided = sided._replace(global_orient=to_axis_angle(turned))
    if not crop.flat_hand_mean:
        return sided
    return sided._replace(hand_pose=sided.hand_pose - model.pose_mean)


@switches.promotions()
def prediction_from_params(
    model: ManoModel,
    params: ManoParams,
    camera: Camera | None = None,
    *,
    box: Float[Array, "*b 2 4"] | None = None,
    score: Float[Array, "*b 2"] | None = None,
) -> Prediction:
    """Make a prediction from known parameters, for refinement, metrics and files.

    Args:
        model: hand model.
        params: parameters of both hands in the camera, metres; any leading batch.
        camera: the camera, one for all samples or one for each. None for that of a
            picture of 512 x 512 pixels (``geometry.cameras.default``).
        box: hand boxes in pixels. By default 1.2 times the tight box of the projected
            joints, or the whole picture for hands that are not entirely in front of
            the camera, such as those that a prior draws about the origin.
        score: confidence that each hand is there, by default 1.
    """
    batch = params.transl.shape[:-2]
    if camera is None:
        camera = cameras.default(PICTURE, PICTURE)
    camera = jax.tree.map(lambda x: jnp.broadcast_to(x, (*batch, 2)), camera)
    geometry = mano.forward(model, params)
    wrists = geometry.joints[..., mano.joints.WRIST, :]
    return Prediction(
        mano=params,
        geometry=geometry,
        rel_trans=wrists[..., LEFT, :] - wrists[..., RIGHT, :],
        camera=camera,
        box=_joint_boxes(geometry, camera) if box is None else box,
        score=jnp.ones((*batch, 2)) if score is None else score,
    )


def _joint_boxes(geometry: HandGeometry, camera: Camera) -> Float[Array, "*b 2 4"]:
    """Hand boxes of posed hands."""
    tight = boxes.from_points(cameras.project(geometry.joints, _each(camera)))
    middle = camera.center
    whole = jnp.concatenate([jnp.zeros_like(middle), 2 * middle], axis=-1)
    in_front = jnp.all(geometry.joints[..., 2] > 0, axis=-1)
    box = boxes.scale(tight, CropConfig.box_scale)
    return jnp.where(in_front[..., None], box, whole[..., None, :])
