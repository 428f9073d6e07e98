"""Three people of one picture: both hands, a right hand, a left hand."""

import jax
import numpy as np

from twohand_jax import mano
from twohand_jax.types import SIDES, Camera, ManoModel, ManoParams, Prediction

NAMES = SIDES


def people(model: ManoModel, seed: int = 0) -> Prediction:
    """Random poses about half a metre away, numpy, the people as leading axis."""
    rng = np.random.default_rng(seed)
    params = ManoParams(
        global_orient=rng.normal(0, 1, (3, 2, 3)).astype(np.float32),
        hand_pose=rng.normal(0, 0.4, (3, 2, 15, 3)).astype(np.float32),
        betas=rng.normal(0, 1, (3, 2, 10)).astype(np.float32),
        transl=rng.normal([0, 0, 0.6], 0.1, (3, 2, 3)).astype(np.float32),
    )
    geometry = jax.tree.map(np.asarray, mano.forward(model, params))
    return Prediction(
        mano=params,
        geometry=geometry,
        rel_trans=geometry.joints[:, 1, 0] - geometry.joints[:, 0, 0],
        camera=Camera(np.tile([500.0, 510.0], (3, 1)), np.tile([319.5, 239.5], (3, 1))),
        box=rng.uniform(0, 100, (3, 2, 4)).astype(np.float32),
        score=np.array([[0.9, 0.8], [0.7, 0], [0, 0.6]], np.float32),
    )
