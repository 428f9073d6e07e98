"""Batches of shapes only, to trace programs without any data."""

import functools

import jax
import jax.numpy as jnp

from twohand_jax import mano
from twohand_jax.data.poses import PairBatch
from twohand_jax.types import Batch, Camera, Cues, Targets


def records(size: int, *, canvas: int) -> Batch:
    """What the reader hands over: ``size`` records on canvases of ``canvas`` pixels."""

    def floats(*shape: int) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((size, *shape), jnp.float32)

    def flags(*shape: int) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((size, *shape), jnp.bool_)

    targets = Targets(
        camera=Camera(floats(2), floats(2)),
        camera_valid=flags(),
        box=floats(2, 4),
        hand_valid=flags(2),
        joints_2d=floats(2, 21, 2),
        joints_2d_valid=flags(2, 21),
        joints_3d=floats(2, 21, 3),
        joints_3d_valid=flags(2, 21),
        mano=jax.eval_shape(functools.partial(mano.zeros, size)),
        mano_valid=flags(2),
        rel_trans=floats(3),
        rel_trans_valid=flags(),
    )
    labels = jax.ShapeDtypeStruct((size, canvas, canvas), jnp.uint8)
    cues = Cues(floats(2, 21, 3), labels, floats(canvas, canvas), *[flags()] * 3)
    return Batch(
        canvas=jax.ShapeDtypeStruct((size, canvas, canvas, 3), jnp.uint8),
        T_canvas_image=floats(2, 3),
        cues=cues,
        targets=targets,
        weight=floats(),
        record=jax.ShapeDtypeStruct((size,), jnp.int32),
    )


def pairs(size: int) -> PairBatch:
    """A batch of the prior's training."""
    return PairBatch(
        vectors=jax.ShapeDtypeStruct((size, 2, 64), jnp.float32),
        weight=jax.ShapeDtypeStruct((size,), jnp.float32),
        record=jax.ShapeDtypeStruct((size,), jnp.int32),
    )
