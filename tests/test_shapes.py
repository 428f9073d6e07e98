"""Arrays of another shape fail where they come in, and say so, before any is computed.

A wrong trailing axis often broadcasts: without the assertions these calls would return
numbers, or fail far from the mistake.
"""

import functools

import jax
import jax.numpy as jnp
import pytest

from tests.mano import fake_mano
from twohand_jax import collision, mano, metrics
from twohand_jax.crops.inputs import CropConfig, make_inputs
from twohand_jax.diffusion import ddim, representation
from twohand_jax.geometry import affine, alignment, boxes, cameras, rotations
from twohand_jax.types import Camera, NoiseSchedule


def floats(*shape: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, jnp.float32)


def flags(*shape: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, jnp.bool_)


def triangles(*shape: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, jnp.int32)


MODEL = jax.eval_shape(functools.partial(fake_mano.random_model, 0))
HANDS = jax.eval_shape(lambda: mano.zeros(4))
ONE_HAND = HANDS._replace(hand_pose=floats(4, 15, 3))
CAMERA = Camera(floats(2), floats(2))
FRAME = representation.PairFrame(floats(4, 3, 3), floats(4, 3))
SCHEDULE = NoiseSchedule(floats(129), floats(129))
SAMPLE = functools.partial(
    ddim.sample, lambda x, t, condition: x, config=ddim.DdimConfig()
)
INPUTS = functools.partial(make_inputs, crop=CropConfig())
CASES = {
    "axis_angle_to_matrix": (rotations.axis_angle_to_matrix, floats(3, 4)),
    "matrix_to_axis_angle": (rotations.matrix_to_axis_angle, floats(3, 4)),
    "rotation_6d_to_matrix": (rotations.rotation_6d_to_matrix, floats(7)),
    "angle_between": (rotations.angle_between, floats(3, 3), floats(3, 1)),
    "project": (cameras.project, floats(21, 4), CAMERA),
    "transform": (cameras.transform, floats(21, 3), floats(1, 3), floats(3)),
    "size": (boxes.size, floats(5)),
    "iou": (boxes.iou, floats(4), floats(2, 5)),
    "procrustes": (alignment.procrustes, floats(21, 3), floats(1, 3)),
    "apply": (affine.apply, floats(3, 3), floats(9, 2)),
    "forward": (mano.forward, MODEL, ONE_HAND),
    "mirror": (mano.mirror, ONE_HAND),
    "nearest": (collision.nearest, floats(5, 3), floats(6, 4)),
    "energy": (
        collision.energy,
        floats(5, 3),
        floats(6, 3),
        triangles(7, 3),
        triangles(7, 4),
    ),
    "make_inputs": (
        INPUTS,
        floats(9, 9, 3),
        floats(2, 3),
        None,
        floats(1, 4),
        flags(2),
    ),
    "mpjpe": (metrics.mpjpe, floats(4, 2, 21, 3), floats(4, 2, 21, 3), flags(4, 2, 1)),
    "mrrpe": (metrics.mrrpe, floats(4, 3), floats(1, 3), flags(4)),
    "pack": (representation.pack, MODEL, ONE_HAND, triangles(4)),
    "unpack": (representation.unpack, MODEL, floats(4, 2, 65), triangles(4), FRAME),
    "sample": (SAMPLE, SCHEDULE, floats(4, 64), floats(1, 64)),
}


@pytest.mark.parametrize("name", CASES)
def test_another_shape_is_refused(name):
    function, *arguments = CASES[name]
    with pytest.raises(AssertionError, match="shape"):
        jax.eval_shape(function, *arguments)
