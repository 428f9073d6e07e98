"""A pair of open hands that every drawing test shares."""

import jax.numpy as jnp
import numpy as np
import pytest

from tests.programs import forward
from twohand_jax import mano
from twohand_jax.types import Camera, ManoModel


@pytest.fixture(scope="session")
def model() -> ManoModel:
    return mano.load()


@pytest.fixture(scope="session")
def vertices(model: ManoModel) -> np.ndarray:
    """Right hand at the left, left hand at the right, 0.6 m away, palms visible."""
    params = mano.zeros()._replace(
        global_orient=jnp.array([[1.5, 0.0, 0.0], [1.5, 0.0, 0.0]]),
        transl=jnp.array([[-0.15, 0.0, 0.6], [0.15, 0.0, 0.6]]),
    )
    return np.asarray(forward(model, params).vertices)


@pytest.fixture
def camera() -> Camera:
    return Camera(focal=np.full(2, 300.0), center=np.array([119.5, 79.5]))
