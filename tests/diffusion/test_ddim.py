import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.diffusion import fakes
from twohand_jax.diffusion import ddim, representation, schedule
from twohand_jax.diffusion.ddim import DdimConfig
from twohand_jax.errors import InputError

SCHEDULE = fakes.SCHEDULE
MODEL = fakes.hand_model()


def _vectors(*batch, seed=0):
    return jax.random.normal(jax.random.key(seed), (*batch, 64))


def _twin(denoise, latent, condition, *, steps, update="ddim", change=None):
    """Deterministic sampling as a double-precision loop, three timesteps a step."""
    alphas = np.append(np.asarray(SCHEDULE.alphas_cumprod, float), 1.0)
    times = [k * 126 // steps for k in range(steps)]
    x = np.asarray(latent, float)
    for t, below in zip(times[::-1], [*times[-2::-1], -1], strict=True):
        clean = np.asarray(denoise(jnp.asarray(x, jnp.float32), t, condition), float)
        noise = (x - np.sqrt(alphas[t]) * clean) / np.sqrt(1 - alphas[t])
        clean = clean if change is None else change(clean)
        if update == "interhandgen":
            noise = clean - x
        x = np.sqrt(alphas[below]) * clean + np.sqrt(1 - alphas[below]) * noise
    return x


def test_timesteps_of_the_released_model():
    found = ddim.timesteps(ddim.PUBLISHED, 129)
    np.testing.assert_array_equal(found, np.arange(123, -1, -3))


def test_steps_can_begin_where_a_share_of_the_signal_is_left():
    """A linear schedule ends there; of a cosine it is about the middle."""
    found = ddim.at_level(ddim.PUBLISHED, schedule.linear())
    assert found.horizon in (128, 129)
    noise = schedule.cosine()
    found = ddim.at_level(ddim.PUBLISHED, noise)
    kept = np.asarray(noise.alphas_cumprod)
    assert kept[found.horizon - 1] >= 0.52 > kept[found.horizon]


def test_steps_from_noise_start_at_the_last_timestep_and_end_at_the_first():
    found = ddim.timesteps(DdimConfig(steps=42), 129)
    assert (found[0], found[-1], len(set(found))) == (128, 0, 42)
    assert set(np.diff(found)) == {-3, -4}
    assert list(ddim.timesteps(DdimConfig(steps=1), 129)) == [128]
    np.testing.assert_array_equal(
        ddim.timesteps(DdimConfig(steps=64, horizon=64), 129), np.arange(64)[::-1]
    )


@pytest.mark.parametrize("guided", [False, True])
@pytest.mark.parametrize("update", ["ddim", "interhandgen"])
@pytest.mark.parametrize("steps", [1, 5, 42])
@pytest.mark.slow
def test_agrees_with_a_loop(update, steps, guided):
    """Guided, the released update goes along what guidance made of the estimate."""
    denoise, latent, condition = fakes.mixture(), _vectors(2), _vectors(2, seed=1)
    config = dataclasses.replace(ddim.PUBLISHED, steps=steps, update=update)
    found = ddim.sample(
        denoise,
        SCHEDULE,
        latent,
        condition,
        config=config,
        change=(lambda clean, step: clean - 0.1 * clean**3) if guided else None,
    )
    wanted = _twin(
        jax.jit(denoise),
        latent,
        condition,
        steps=steps,
        update=update,
        change=(lambda clean: clean - 0.1 * clean**3) if guided else None,
    )
    np.testing.assert_allclose(found, wanted, atol=2e-4)


def test_steps_begin_in_pure_noise_where_no_signal_is_left():
    """A narrow mixture's samples lie at its components without any randomness."""
    noise = schedule.cosine()
    denoise = fakes.mixture(width=0.05, noise=noise)
    latent = _vectors(64)
    none = jnp.zeros_like(latent)
    found = ddim.sample(denoise, noise, latent, none, config=DdimConfig())
    offset = found[:, None] - denoise.args[0]
    nearest = jnp.min(jnp.sqrt(jnp.mean(offset**2, axis=-1)), axis=1)
    assert float(jnp.max(nearest)) < 0.08
    found = ddim.invert(denoise, noise, found, none, config=DdimConfig(steps=100))
    assert bool(jnp.isfinite(found.latent).all())


@pytest.mark.parametrize("batch", [(), (3,), (2, 1, 4)])
def test_any_leading_batch(batch):
    denoise, config = fakes.mixture(), DdimConfig(steps=3)
    latent = _vectors(*batch)
    condition = jnp.zeros_like(latent)
    found = ddim.invert(denoise, SCHEDULE, latent, condition, config=config)
    assert found.latent.shape == latent.shape
    assert found.residual.shape == (3, *latent.shape)
    back = ddim.sample(denoise, SCHEDULE, found.latent, condition, config=config)
    assert back.shape == latent.shape


@jax.jit
def _posed(vectors):
    hand = representation.OTHER
    raw = representation.denormalise(vectors, fakes.STATISTICS, hand=hand)
    return representation.other_hand(MODEL, raw)[0]


def _millimetres(vectors, wanted):
    """Largest vertex distance between normalised other hands."""
    a, b = (_posed(v) for v in (vectors, wanted))
    return 1e3 * float(jnp.max(jnp.linalg.norm(a - b, axis=-1)))


DENOISE = fakes.mixture()
CONDITION = _vectors(16, seed=1)


def _likely():
    """Vectors of the mixture; others lie where its denoiser is steep."""
    means, width, _ = DENOISE.args
    return means[jnp.arange(16) % 3] + 0.1 * CONDITION + width * _vectors(16)


def _round_trip(clean, *, residual=False, **settings):
    config = DdimConfig(**settings)

    @jax.jit
    def back(clean):
        found = ddim.invert(DENOISE, SCHEDULE, clean, CONDITION, config=config)
        missed = found.residual if residual else None
        return ddim.sample(
            DENOISE, SCHEDULE, found.latent, CONDITION, config=config, residual=missed
        )

    return _millimetres(back(clean), clean)


def test_inversion_and_sampling_come_back_to_a_millimetre():
    errors = [_round_trip(_likely(), steps=steps) for steps in (7, 14, 42, 126)]
    assert errors[2] < 0.2
    assert errors == sorted(errors, reverse=True)
    assert errors[2] < errors[0] / 10


def test_plain_inversion_converges_too_but_slower():
    errors = [_round_trip(_likely(), steps=s, fixed_point=0) for s in (14, 42, 126)]
    assert errors == sorted(errors, reverse=True)
    assert errors[1] > 10 * _round_trip(_likely(), steps=42)


def test_more_fixed_point_steps_invert_steep_denoisers():
    unlikely = _vectors(16)
    errors = [_round_trip(unlikely, steps=42, fixed_point=n) for n in (0, 1, 6)]
    assert errors[0] > errors[1] > 5 * errors[2]
    assert errors[2] < 1.0


def test_residuals_lead_exactly_home():
    far = 3.0 * _vectors(16)
    assert _round_trip(far, steps=4, fixed_point=0) > 1.0
    assert _round_trip(far, steps=4, fixed_point=0, residual=True) < 1e-2


def test_a_denoiser_that_knows_one_hand_always_gives_it():
    hand = _vectors()
    found = ddim.sample(
        lambda x, t, c: jnp.broadcast_to(hand, x.shape),
        SCHEDULE,
        _vectors(5, seed=2),
        jnp.zeros((5, 64)),
        config=DdimConfig(eta=1.0),
        key=jax.random.key(0),
    )
    np.testing.assert_allclose(found, np.broadcast_to(hand, (5, 64)), rtol=1e-6)


def test_samples_follow_the_distribution():
    """From standard normal noise, a narrow mixture's samples lie at its components."""
    denoise = fakes.mixture(width=0.05)
    config = DdimConfig(eta=1.0)
    latent = _vectors(64)
    found = ddim.sample(
        denoise,
        SCHEDULE,
        latent,
        jnp.zeros_like(latent),
        config=config,
        key=jax.random.key(1),
    )
    offset = found[:, None] - denoise.args[0]
    nearest = jnp.min(jnp.sqrt(jnp.mean(offset**2, axis=-1)), axis=1)
    np.testing.assert_allclose(nearest, 0.05, atol=0.025)


def test_eta_draws_from_the_key():
    denoise, latent = fakes.mixture(), _vectors(2)
    condition, config = jnp.zeros_like(latent), DdimConfig(steps=5, eta=0.5)

    def draw(seed):
        return ddim.sample(
            denoise,
            SCHEDULE,
            latent,
            condition,
            config=config,
            key=jax.random.key(seed),
        )

    np.testing.assert_array_equal(draw(0), draw(0))
    assert float(jnp.max(jnp.abs(draw(0) - draw(1)))) > 1e-3
    with pytest.raises(InputError, match="eta = 0.5.*key"):
        ddim.sample(denoise, SCHEDULE, latent, condition, config=config)


def test_classifier_free_guidance_spans_both_predictions():
    denoise, latent, condition = fakes.mixture(1), _vectors(2), _vectors(2, seed=1)

    def draw(scale, condition=condition):
        config = DdimConfig(steps=5, guidance_scale=scale)
        return ddim.sample(denoise, SCHEDULE, latent, condition, config=config)

    free = draw(1.0, jnp.zeros_like(condition))
    np.testing.assert_allclose(draw(0.0), free, atol=1e-6)
    np.testing.assert_allclose(draw(2.0) - free, 2 * (draw(1.0) - free), atol=1e-4)


def test_guidance_of_the_placement_leaves_pose_and_shape_to_the_condition():
    latent, condition = _vectors(2), _vectors(2, seed=1)
    found = ddim.sample(
        lambda x, t, condition: condition,
        SCHEDULE,
        latent,
        condition,
        config=dataclasses.replace(ddim.RELEASED, steps=1, update="ddim"),
    )
    np.testing.assert_allclose(found[:, :55], condition[:, :55], rtol=1e-6)
    np.testing.assert_allclose(found[:, 55:], 1.1 * condition[:, 55:], rtol=1e-5)


def test_samples_do_not_influence_each_other():
    denoise, latent = fakes.mixture(), _vectors(3)
    condition, config = _vectors(3, seed=1), DdimConfig(steps=5)

    def draw(latent):
        return ddim.sample(
            denoise,
            SCHEDULE,
            latent,
            condition,
            config=config,
            change=lambda clean, step: clean - 0.1 * clean**3,
        )

    broken = draw(latent.at[1].set(jnp.nan))
    np.testing.assert_array_equal(broken[::2], draw(latent)[::2])


def test_the_denoiser_is_traced_once_whatever_the_steps():
    traced = []

    def denoise(x, t, condition):
        traced.append(t)
        return 0.5 * x

    latent = _vectors(1)
    ddim.sample(denoise, SCHEDULE, latent, latent, config=DdimConfig())
    assert len(traced) == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 0}, "0 denoising steps"),
        ({"steps": 127, "horizon": 126}, "127 denoising steps"),
        ({"spacing": "odd"}, "'odd'"),
        ({"guided": "pose"}, "'pose'"),
        ({"eta": -1.0}, "negative"),
        ({"guidance_scale": -0.1}, "negative"),
        ({"fixed_point": -1}, "negative"),
        ({"update": "euler"}, "'euler'"),
    ],
)
def test_impossible_walks_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        DdimConfig(**settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"horizon": 1000}, "has 129 timesteps.*1000"),
        ({"steps": 130}, "130 denoising steps.*129 timesteps"),
    ],
)
def test_walks_beyond_the_schedule_are_refused(settings, message):
    latent = _vectors(1)
    with pytest.raises(InputError, match=message):
        ddim.sample(
            fakes.mixture(), SCHEDULE, latent, latent, config=DdimConfig(**settings)
        )
