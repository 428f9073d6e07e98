import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.diffusion import fakes
from tests.programs import forward
from twohand_jax import collision
from twohand_jax.diffusion import guidance, representation
from twohand_jax.diffusion.guidance import EnergyConfig
from twohand_jax.errors import InputError
from twohand_jax.geometry import cameras

ALL = EnergyConfig(keypoints=1.0, estimate=1.0)


@jax.jit
def _setting(params, keypoints=None):
    """Scene and normalised other hands of a batch of pairs, references alternating."""
    model = fakes.hand_model()
    reference = jnp.arange(len(params.transl)) % 2
    prediction = fakes.estimate(params)
    frame = representation.pair_frame(model, params, reference)
    scene = guidance.pair_context(prediction, reference, frame, keypoints)
    vectors = representation.pack(model, params, reference)
    clean = representation.normalise(vectors, fakes.STATISTICS)
    return scene, clean[:, representation.OTHER]


def _energy(scene, config):
    return functools.partial(_total, scene, config=config)


@functools.partial(jax.jit, static_argnames="config")
def _total(scene, clean, *, config):
    energy = guidance.total_energy(
        fakes.hand_model(), fakes.STATISTICS, scene, config=config
    )
    return energy(clean)


def _seen(params):
    """Keypoints where the joints really are."""
    geometry = forward(fakes.hand_model(), params)
    camera = fakes.estimate(params).camera
    flat = geometry.joints.reshape(*geometry.joints.shape[:-3], 42, 3)
    pixels = cameras.project(flat, camera).reshape(*geometry.joints.shape[:-1], 2)
    return jnp.concatenate([pixels, jnp.ones_like(pixels[..., :1])], axis=-1)


@pytest.mark.slow
def test_collision_is_the_camera_frames_own():
    """Seen in the prior frame, mirrored or not, the energy is that of the meshes."""
    model, params = fakes.hand_model(), fakes.clasped(4)
    scene, clean = _setting(params)
    geometry = forward(model, params)
    wanted = jax.jit(collision.energy)(
        geometry.vertices[:, 1], geometry.vertices[:, 0], model.faces[1], model.faces[0]
    )
    assert float(jnp.min(wanted)) > 0
    found = _energy(scene, EnergyConfig())(clean)
    np.testing.assert_allclose(found, wanted, rtol=2e-3)


@pytest.mark.slow
def test_nothing_to_pay_at_the_estimate_of_hands_apart():
    params = fakes.clasped(2, gap=0.2)
    scene, clean = _setting(params, _seen(params))
    value, gradient = jax.value_and_grad(lambda x: jnp.sum(_energy(scene, ALL)(x)))(
        clean
    )
    np.testing.assert_allclose(value, 0, atol=1e-6)
    np.testing.assert_allclose(gradient, 0, atol=1e-2)


@pytest.mark.parametrize("term", ["keypoints", "estimate"])
def test_terms_grow_with_the_distance_from_what_was_seen(term):
    params = fakes.clasped(2, gap=0.2)
    scene, clean = _setting(params, _seen(params))
    config = EnergyConfig(**{"collision": 0.0, term: 1.0})
    moved = [clean.at[:, 61:].add(shift) for shift in (0.0, 0.1, 0.2)]
    values = np.stack([_energy(scene, config)(x) for x in moved])
    assert np.all(np.diff(values, axis=0) > 1e-3)


def test_weights_are_factors():
    params = fakes.clasped(2)
    scene, clean = _setting(params, _seen(params) + 3.0)
    moved = clean + 0.1
    parts = [
        _energy(scene, EnergyConfig(collision=c, keypoints=k, estimate=e))(moved)
        for c, k, e in ((1, 0, 0), (0, 1, 0), (0, 0, 1))
    ]
    mixed = _energy(scene, EnergyConfig(collision=2, keypoints=3, estimate=4))(moved)
    np.testing.assert_allclose(
        mixed, 2 * parts[0] + 3 * parts[1] + 4 * parts[2], rtol=1e-5
    )


def test_unseen_and_broken_keypoints_do_not_count():
    params = fakes.clasped(2, gap=0.2)
    seen = _seen(params)
    config = EnergyConfig(collision=0.0, keypoints=1.0)
    broken = seen.at[:, :, 3].set(jnp.nan).at[:, :, 4].set(jnp.array([1e6, 1e6, 0.0]))
    scene, clean = _setting(params, broken)
    value, gradient = jax.value_and_grad(lambda x: jnp.sum(_energy(scene, config)(x)))(
        clean + 0.01
    )
    assert np.isfinite(value) and np.all(np.isfinite(gradient))
    hidden, _ = _setting(params, seen.at[..., 2].set(0.0))
    np.testing.assert_array_equal(_energy(hidden, config)(clean + 0.1), 0.0)


@pytest.mark.parametrize("bad", [0.0, 1e4])
def test_degenerate_hands_have_finite_gradients(bad):
    """Vectors of zeros (no rotation, all lengths equal) or far beyond any hand."""
    scene, clean = _setting(fakes.clasped(2))
    scene = scene._replace(reference_vertices=jnp.zeros_like(scene.reference_vertices))
    raw = (jnp.full_like(clean, bad) - fakes.STATISTICS.mean) / fakes.STATISTICS.scale
    gradient = jax.grad(lambda x: jnp.sum(_energy(scene, ALL)(x)))(raw)
    assert np.all(np.isfinite(gradient))


@pytest.mark.parametrize("term", ["collision", "keypoints", "estimate"])
@pytest.mark.parametrize("weight", [-1.0, float("nan"), float("inf")])
def test_weights_that_reward_are_refused(term, weight):
    with pytest.raises(InputError, match=f"{term} is .*not negative"):
        EnergyConfig(**{term: weight})


@pytest.mark.parametrize("name", ["keypoint_scale", "estimate_scale"])
def test_lengths_must_be_positive(name):
    with pytest.raises(InputError, match=f"{name} is 0"):
        EnergyConfig(**{name: 0.0})
