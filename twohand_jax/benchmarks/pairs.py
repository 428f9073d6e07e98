"""Two hands that run into each other, for the benchmarks."""

import jax
import jax.numpy as jnp
import numpy as np

from twohand_jax import mano
from twohand_jax.types import LEFT, RIGHT, Camera, ManoModel, Prediction


def touching(model: ManoModel, count: int, seed: int = 0) -> Prediction:
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
