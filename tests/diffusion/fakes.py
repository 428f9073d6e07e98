"""Hands, estimates and denoisers with known answers."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from tests.programs import rest_wrist
from twohand_jax import mano
from twohand_jax.diffusion import schedule
from twohand_jax.diffusion.ddim import PriorParts
from twohand_jax.diffusion.representation import Statistics
from twohand_jax.types import Camera, ManoParams, Prediction

SCHEDULE = schedule.linear()
# Scales like those of real pose sets: PCA, shape, 6D rotation, translation.
SCALE = np.concatenate(
    [0.9 / (1 + np.arange(45)), np.full(10, 0.8), np.full(6, 0.5), np.full(3, 0.07)]
)
STATISTICS = Statistics(
    mean=jnp.zeros(64).at[55].set(0.3).at[59].set(0.3),
    scale=jnp.asarray(SCALE, jnp.float32),
)


@functools.cache
def hand_model():
    return mano.load()


def hands(*batch, seed=0, spread=0.3, dtype=np.float32):
    """Random pairs in front of a camera."""
    rng = np.random.default_rng(seed)
    shapes = {
        "global_orient": (2, 3),
        "hand_pose": (2, 15, 3),
        "betas": (2, 10),
        "transl": (2, 3),
    }
    sizes = {"global_orient": 1.0, "hand_pose": spread, "betas": 1.0, "transl": 0.05}
    params = {
        name: rng.normal(0, sizes[name], (*batch, *shape)).astype(dtype)
        for name, shape in shapes.items()
    }
    params["transl"][..., 2] += 0.6
    return ManoParams(**{k: jnp.asarray(v) for k, v in params.items()})


def clasped(count, *, gap=0.035, seed=0):
    """Flat hands back to palm, ``gap`` metres apart: they run into each other."""
    params = hands(count, seed=seed, spread=0.05)
    base = jnp.array([[0.0, 0.0, 0.6], [0.0, 0.0, 0.6]])
    params = params._replace(
        global_orient=0.05 * params.global_orient, betas=0.3 * params.betas
    )
    wrist = rest_wrist(hand_model(), params.betas)
    offset = jnp.array([[0.0, 0.0, 0.0], [0.0, gap, 0.0]])
    return params._replace(transl=base + offset - wrist)


_forward = jax.jit(mano.forward)


def estimate(params, *, better=1, extent=200.0):
    """A prediction of these hands whose boxes overlap; hand ``better`` scores more."""
    geometry = _forward(hand_model(), params)
    batch = params.transl.shape[:-2]
    wrists = geometry.joints[..., 0, :]
    score = jnp.where(jnp.arange(2) == better, 0.9, 0.5)
    return Prediction(
        mano=params,
        geometry=geometry,
        rel_trans=wrists[..., 1, :] - wrists[..., 0, :],
        camera=Camera(jnp.full((*batch, 2), 500.0), jnp.full((*batch, 2), 128.0)),
        box=jnp.broadcast_to(jnp.array([0, 0, extent, extent]), (*batch, 2, 4)),
        score=jnp.broadcast_to(score, (*batch, 2)),
    )


def mixture(components=3, *, width=0.7, seed=0, noise=SCHEDULE):
    """The exact posterior mean of a Gaussian mixture in 64 numbers."""
    rng = np.random.default_rng(seed)
    means = jnp.asarray(rng.normal(0, 0.7, (components, 64)), jnp.float32)
    return Partial(_posterior_mean, means, jnp.float32(width), noise.alphas_cumprod)


def _posterior_mean(means, width, alphas, x, t, condition):
    alpha = alphas[t]
    centers = means + 0.1 * condition[..., None, :]
    spread = alpha * width**2 + 1 - alpha
    offset = x[..., None, :] - jnp.sqrt(alpha) * centers
    logits = -jnp.sum(offset**2, axis=-1) / (2 * spread)
    each = centers + jnp.sqrt(alpha) * width**2 / spread * offset
    return jnp.sum(jax.nn.softmax(logits)[..., None] * each, axis=-2)


def prior(denoise=None):
    return PriorParts(
        denoise=mixture() if denoise is None else denoise,
        statistics=STATISTICS,
        schedule=SCHEDULE,
        hand_model=hand_model().name,
    )
