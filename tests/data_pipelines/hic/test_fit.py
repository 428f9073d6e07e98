import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from tests.programs import forward
from twohand_jax import mano
from twohand_jax.pipelines.fits import fit_mesh
from twohand_jax.types import ManoParams


def strongly_bent(seed: int) -> ManoParams:
    rng = np.random.default_rng(seed)
    values = (
        Rotation.random(2, random_state=rng).as_rotvec(),
        rng.normal(0, 0.6, (2, 15, 3)),
        rng.normal(0, 1.5, (2, 10)),
        rng.normal(0, 0.3, (2, 3)),
    )
    return ManoParams(*(value.astype(np.float32) for value in values))


@pytest.mark.parametrize("seed", range(4))
def test_a_posed_hand_gives_its_parameters_back(seed):
    model, params = mano.load(), strongly_bent(seed)
    vertices = np.asarray(forward(model, params).vertices, float)
    side = seed % 2
    fit = fit_mesh(model, side, vertices[side])
    assert fit.error < 1e-6
    again = params._replace(
        **{
            name: np.stack([getattr(fit, name)] * 2).astype(np.float32)
            for name in ManoParams._fields
        }
    )
    posed = np.asarray(forward(model, again).vertices)[side]
    np.testing.assert_allclose(posed, vertices[side], atol=2e-6)
    np.testing.assert_allclose(fit.betas, params.betas[side], atol=5e-3)


def test_the_error_is_that_of_the_best_fit():
    """Noise of 2 mm cannot be fitted away by 61 numbers, nor need it get larger."""
    model, params = mano.load(), strongly_bent(5)
    vertices = np.asarray(forward(model, params).vertices, float)[0]
    noise = np.random.default_rng(0).normal(0, 0.002, vertices.shape)
    error = fit_mesh(model, 0, vertices + noise).error
    assert 0.0025 < error < np.linalg.norm(noise, axis=-1).mean()
