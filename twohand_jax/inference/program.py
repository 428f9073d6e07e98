"""The part of a reconstruction that is compiled: from a canvas to a prediction."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, UInt8

from twohand_jax.data.inputs import CropConfig, make_inputs
from twohand_jax.data.predictions import decode
from twohand_jax.diffusion.refine import Refined
from twohand_jax.models.apply import Variables
from twohand_jax.types import (
    Array,
    Camera,
    Cues,
    HandGeometry,
    ManoModel,
    ManoParams,
    Prediction,
)


class Maps(NamedTuple):
    """Segmentation and depth on the canvas (``types.Cues``), and whether they count."""

    segmentation: UInt8[Array, "s s"]
    depth: Float[Array, "s s"]
    has_segmentation: Bool[Array, ""]
    has_depth: Bool[Array, ""]


def look(
    variables: Variables,
    model: ManoModel,
    canvas: UInt8[Array, "s s 3"],
    T_canvas_image: Float[Array, "2 3"],
    boxes: Float[Array, "2 4"],
    keypoints: Float[Array, "2 21 3"],
    score: Float[Array, "2"],
    camera: Camera,
    maps: Maps | None = None,
    *,
    apply: Callable[..., Any],
    crop: CropConfig,
) -> Prediction:
    """Crops, drawn cues, network and decoding as one program.

    Args:
        variables: the network's weights.
        model: hand model.
        canvas: part of the picture that holds both crops.
        T_canvas_image: picture pixels to canvas pixels.
        boxes: hand boxes in picture pixels.
        keypoints: x, y, score in picture pixels; all scores 0 without this cue.
        score: of each hand, 0 for one that is not there.
        camera: the picture's.
        maps: the other two cues; None without them.
        apply: the network's function.
        crop: how the network wants its crops.
    """
    if maps is None:
        blank, no = jnp.zeros(canvas.shape[:2]), jnp.array(False)
        maps = Maps(blank.astype(jnp.uint8), blank, no, no)
    has_keypoints = jnp.any(keypoints[..., 2] > 0)
    cues = Cues(keypoints=keypoints, has_keypoints=has_keypoints, **maps._asdict())
    inputs = make_inputs(canvas, T_canvas_image, cues, boxes, score > 0, crop=crop)
    batched = jax.tree.map(lambda x: x[None], inputs)
    output, _ = apply(variables, batched, train=False)
    output = jax.tree.map(lambda x: x[0], output)
    prediction = decode(output, model, inputs, camera, crop=crop)
    return prediction._replace(score=score)


# One hand pair's prediction in its shapes, all zeros.
EMPTY = Prediction(
    mano=ManoParams(
        global_orient=np.zeros((2, 3), np.float32),
        hand_pose=np.zeros((2, 15, 3), np.float32),
        betas=np.zeros((2, 10), np.float32),
        transl=np.zeros((2, 3), np.float32),
    ),
    geometry=HandGeometry(
        vertices=np.zeros((2, 778, 3), np.float32),
        joints=np.zeros((2, 21, 3), np.float32),
    ),
    rel_trans=np.zeros(3, np.float32),
    camera=Camera(focal=np.zeros(2, np.float32), center=np.zeros(2, np.float32)),
    box=np.zeros((2, 4), np.float32),
    score=np.zeros(2, np.float32),
)
# What the prior returns for it, in its shapes.
NOT_REFINED = Refined(
    prediction=EMPTY,
    status=np.zeros((), np.int32),
    reference=np.zeros((), np.int32),
    depth_before=np.zeros((), np.float32),
    depth_after=np.zeros((), np.float32),
)
