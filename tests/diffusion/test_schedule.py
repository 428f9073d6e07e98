import numpy as np
import pytest

from twohand_jax.diffusion import schedule
from twohand_jax.errors import InputError


def test_defaults_keep_half_of_the_signal():
    noise = schedule.linear()
    assert noise.betas.shape == noise.alphas_cumprod.shape == (129,)
    np.testing.assert_allclose(
        np.asarray(noise.betas)[[0, -1]], [1e-4, 1e-2], rtol=1e-6
    )
    np.testing.assert_allclose(noise.alphas_cumprod[-1], 0.52, atol=0.005)
    assert np.all(np.diff(noise.alphas_cumprod) < 0)


def test_cumulative_product():
    noise = schedule.linear(3, 0.1, 0.3)
    np.testing.assert_allclose(noise.alphas_cumprod, [0.9, 0.72, 0.504], rtol=1e-6)


@pytest.mark.parametrize("settings", [(0,), (5, 0.0), (5, 0.2, 0.1), (5, 0.1, 1.0)])
def test_impossible_schedules_are_refused(settings):
    with pytest.raises(InputError, match="schedule"):
        schedule.linear(*settings)


def test_the_cosine_ends_in_noise_alone():
    noise = schedule.cosine()
    kept = np.asarray(noise.alphas_cumprod)
    assert kept[-1] == 0.0 and noise.betas[-1] == 1.0
    assert np.all(np.diff(kept) < 0)
    times = (np.arange(1, 129) / 129 + 0.008) / 1.008  # eq. 17, on its own terms
    start = np.cos(0.008 / 1.008 * np.pi / 2) ** 2
    wanted = np.cos(times * np.pi / 2) ** 2 / start
    np.testing.assert_allclose(kept[:-1], wanted, rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("settings", [(0,), (5, 0.0), (5, np.inf)])
def test_impossible_cosines_are_refused(settings):
    with pytest.raises(InputError, match="schedule"):
        schedule.cosine(*settings)
