"""Made-up inputs for the benchmarks: labelled pictures, and pairs that penetrate."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from twohand_jax import mano
from twohand_jax.benchmarks.steps import filled
from twohand_jax.experiments.prior import DiffusionConfig, network
from twohand_jax.geometry import boxes, cameras
from twohand_jax.inference.prior import Prior
from twohand_jax.models.denoiser import DenoiserConfig
from twohand_jax.train import dry_run
from twohand_jax.types import (
    LEFT,
    RIGHT,
    Batch,
    Camera,
    HandGeometry,
    ManoModel,
    ManoParams,
    Prediction,
    Targets,
)

SINGLE_EVERY = 4  # every fourth picture shows the right hand only
IN_PICTURE = 0.9  # share of the joints that are visible


class Examples(NamedTuple):
    """Records, estimates of their hands, and the true hands posed."""

    batch: Batch
    prediction: Prediction
    truth: HandGeometry


def examples(
    model: ManoModel, count: int, *, canvas: int = 32, seed: int = 0
) -> Examples:
    """Pictures of two hands, some of one hand, with all labels.

    Args:
        model: hand model.
        count: how many pictures.
        canvas: side of their canvases, pixels, which hold noise.
        seed: of poses, errors and flags.
    """
    true = touching_pair(model, count, seed)
    rng = np.random.default_rng(seed)

    def missed(leaf: Array) -> Array:
        return leaf + jnp.asarray(rng.normal(0, 0.02, leaf.shape), leaf.dtype)

    hands = jax.tree.map(missed, true.mano)
    prediction = true._replace(
        mano=hands,
        geometry=_forward(model, hands),
        rel_trans=missed(true.rel_trans),
    )
    targets = _labels(true, rng)
    batch = filled(dry_run.abstract_records(count, canvas=canvas))
    keypoints = jnp.concatenate(
        [targets.joints_2d, jnp.ones((count, 2, 21, 1))], axis=-1
    )
    batch = batch._replace(
        targets=targets,
        cues=batch.cues.put("keypoints", keypoints, batch.cues.has("keypoints")),
        weight=jnp.ones(count),
        record=jnp.arange(count),
    )
    return Examples(batch, prediction, true.geometry)


def _labels(true: Prediction, rng: np.random.Generator) -> Targets:
    count = len(true.rel_trans)
    joints = true.geometry.joints
    each = jax.tree.map(lambda leaf: leaf[:, None], true.camera)
    joints_2d = cameras.project(joints, each)
    single = np.arange(count) % SINGLE_EVERY == SINGLE_EVERY - 1
    present = np.ones((count, 2), bool)
    present[:, LEFT] = ~single
    shown = rng.random((count, 2, 21)) < IN_PICTURE
    shown[..., 0] = True
    known = np.broadcast_to(present[..., None], shown.shape)
    return Targets(
        camera=true.camera,
        camera_valid=jnp.ones(count, bool),
        box=boxes.from_points(joints_2d),
        hand_valid=jnp.asarray(present),
        joints_2d=joints_2d,
        joints_2d_valid=jnp.asarray(shown & known),
        joints_3d=joints,
        joints_3d_valid=jnp.asarray(known),
        mano=true.mano,
        mano_valid=jnp.asarray(present),
        rel_trans=true.rel_trans,
        rel_trans_valid=jnp.asarray(~single),
        interacting=jnp.asarray(~single),
    )


def touching_pair(model: ManoModel, count: int, seed: int = 0) -> Prediction:
    """Hands half a metre from the camera; the left one was seen better.

    Args:
        model: hand model.
        count: how many pairs.
        seed: of their poses and shapes.
    """
    rng = np.random.default_rng(seed)
    params = jax.tree.map(
        lambda leaf: jnp.asarray(rng.normal(0, 0.05, leaf.shape), jnp.float32),
        mano.zeros(count),
    )
    return _beside_each_other(model, params)


_forward = jax.jit(mano.forward)


@jax.jit
def _beside_each_other(model: ManoModel, params: ManoParams) -> Prediction:
    count = len(params.transl)
    apart = jnp.array([[0.0, 0.0, 0.5], [0.0, 0.03, 0.5]])
    wrists = mano.params.rest_wrist(model, params.betas)
    params = params._replace(transl=apart - wrists)
    geometry = mano.forward(model, params)
    return Prediction(
        mano=params,
        geometry=geometry,
        rel_trans=geometry.joints[:, LEFT, 0] - geometry.joints[:, RIGHT, 0],
        camera=Camera(jnp.full((count, 2), 500.0), jnp.full((count, 2), 128.0)),
        box=jnp.broadcast_to(jnp.array([0.0, 0.0, 200.0, 200.0]), (count, 2, 4)),
        score=jnp.broadcast_to(jnp.array([0.5, 0.9]), (count, 2)),
    )


def random_prior(model: ManoModel) -> Prior:
    """InterHandGen's network with a quarter of its width and random weights.

    Its numbers have the shipped prior's statistics, so that steps are as long.
    """
    sizes = DenoiserConfig(embedding=128, hidden=512, mlp=256, attention="tokens")
    net, settings = network(sizes), DiffusionConfig(hand=model.name)
    statistics = Prior.load(model=model).statistics
    fixed = statistics._asdict() | {"keep": jnp.sqrt(settings.noise().alphas_cumprod)}
    variables = net.init(jax.random.key(0))._replace(batch_stats=fixed)
    return Prior(
        network=net,
        variables=variables,
        settings=settings,
        sizes=sizes,
        model=model,
    )
