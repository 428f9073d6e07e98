"""The One-Euro filter: still values are steadied, fast ones hardly lag."""

import numpy as np

from twohand_jax.inference.one_euro import OneEuro, OneEuroConfig


def filtered(values: np.ndarray, rate: float = 30.0, **config: float) -> np.ndarray:
    one = OneEuro(OneEuroConfig(**config))
    return np.stack([one(value, k / rate) for k, value in enumerate(values)])


def test_it_is_the_recurrence_of_the_paper() -> None:
    values, rate = np.array([0.0, 1.0, 3.0]), 10.0
    found = filtered(values, rate, min_cutoff=1.0, beta=0.5, speed_cutoff=1.0)
    share = 1 / (1 + 1 / (2 * np.pi * 1.0 / rate))
    speed, value, wanted = 0.0, 0.0, [0.0]
    for new in values[1:]:
        speed = share * (new - value) * rate + (1 - share) * speed
        cutoff = 1.0 + 0.5 * abs(speed)
        alpha = 1 / (1 + 1 / (2 * np.pi * cutoff / rate))
        value = alpha * new + (1 - alpha) * value
        wanted.append(value)
    np.testing.assert_allclose(found, wanted)


def test_noise_goes_and_speed_buys_less_lag() -> None:
    noise = np.random.default_rng(0).normal(0, 1.0, (300, 2))
    assert filtered(noise)[50:].std() < 0.4 * noise[50:].std()
    ramp = np.arange(300.0)[:, None] / 30.0 * np.ones(2)
    slow, quick = (ramp - filtered(ramp, beta=beta) for beta in (0.0, 5.0))
    assert 0 < quick[-1, 0] < 0.3 * slow[-1, 0]


def test_time_that_does_not_pass_begins_anew() -> None:
    one = OneEuro(OneEuroConfig())
    one(np.zeros(2), 1.0)
    np.testing.assert_array_equal(one(np.ones(2), 1.0), np.ones(2))
