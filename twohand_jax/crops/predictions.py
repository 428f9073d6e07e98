"""From the network's raw estimates to two hands in the picture's camera.

The way back of ``crops.labels``.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from twohand_jax import mano
from twohand_jax.crops import labels
from twohand_jax.crops.inputs import CropConfig
from twohand_jax.geometry import cameras, rotations, view
from twohand_jax.types import (
    LEFT,
    RIGHT,
    Camera,
    Inputs,
    ManoModel,
    ManoParams,
    Output,
    Prediction,
)

HIGHEST = jax.lax.Precision.HIGHEST


def decode(
    output: Output,
    model: ManoModel,
    inputs: Inputs,
    camera: Camera,
    *,
    crop: CropConfig,
) -> Prediction:
    """Both hands in the picture's camera.

    Each wrist goes where the camera head puts it: its pixel is kept exactly, its depth
    such that the hand keeps its size in pixels. Overlapping hands are placed relative
    to the right one by ``rel_trans``; of others, and of a network that does not
    estimate it, it is what the places give.

    Args:
        output: estimates in the network frame.
        model: the model the network was trained with.
        inputs: what the network saw.
        camera: of the picture that ``inputs.T_crop_image`` starts from.
        crop: units of the network.
    """
    output = jax.tree.map(lambda x: x.astype(jnp.float32), output)
    wrists = _wrists(output, inputs, camera, crop)
    right, left = wrists[..., RIGHT, :], wrists[..., LEFT, :]
    rel_trans = left - right
    if output.rel_trans is not None:
        trusted = inputs.overlap[..., None]
        rel_trans = jnp.where(trusted, output.rel_trans, rel_trans)
    wrists = jnp.stack([right, right + rel_trans], axis=-2)
    params = _params(output, model, inputs, camera, crop)
    rest = mano.params.rest_wrist(model, params.betas)
    params = params._replace(transl=wrists - rest)
    return Prediction(
        mano=params,
        geometry=mano.forward(model, params),
        rel_trans=rel_trans,
        camera=camera,
        box=inputs.box,
        score=inputs.hand_valid.astype(jnp.float32),
    )


def _wrists(
    output: Output, inputs: Inputs, camera: Camera, crop: CropConfig
) -> Float[Array, "*b 2 3"]:
    """Both wrists in the picture's camera, by the camera head."""
    return cameras.crop_to_image(
        output.camera,
        inputs.T_crop_image,
        cameras.virtual(crop.crop_size, focal=crop.focal),
        jax.tree.map(lambda x: x[..., None, :], camera),
    )


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
    if crop.crop_view:
        lenses = jax.tree.map(lambda x: x[..., None, :], camera)
        R = view.rotation(inputs.T_crop_image, lenses, size=crop.crop_size)
        orient = rotations.axis_angle_to_matrix(sided.global_orient)
        turned = jnp.einsum("...ij,...jk->...ik", R, orient, precision=HIGHEST)
        sided = sided._replace(global_orient=to_axis_angle(turned))
    return sided._replace(hand_pose=sided.hand_pose - model.pose_mean)
