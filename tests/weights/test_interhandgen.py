import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from tests.models import reference
from twohand_jax import mano
from twohand_jax.diffusion.representation import Statistics
from twohand_jax.errors import InputError
from twohand_jax.inference.prior import Prior
from twohand_jax.models import apply
from twohand_jax.models.denoiser import Denoiser, DenoiserConfig
from twohand_jax.weights import interhandgen

SIZES = {"numbers": 64, "width": 32, "hidden": 40, "mlp": 24}
NUMBERS = Statistics(np.arange(64.0), np.full(64, 0.5))


@pytest.fixture(scope="module")
def module():
    return reference.randomised(reference.Denoiser(**SIZES))


@pytest.fixture
def released(module):
    return interhandgen.convert(reference.state(module), NUMBERS, where="memory")


def inputs(count):
    rng = np.random.default_rng(count)
    x, condition = rng.normal(size=(2, count, 64)).astype(np.float32)
    return x, rng.integers(0, 129, count).astype(np.int32), condition


def network(config):
    return apply.network(lambda rngs: Denoiser(config, rngs=rngs))


def test_it_agrees_with_the_pytorch_module_item_by_item(module, released):
    arrays = inputs(5)
    given = [torch.from_numpy(array) for array in arrays]
    with torch.no_grad():
        mixed = module(*given).numpy()
        rows = [module(*(a[i : i + 1] for a in given)) for i in range(5)]
    expected = torch.cat(rows).numpy()
    run = jax.jit(network(released.config).apply)
    together = run(released.variables, *arrays)[0]
    alone = run(released.variables, *(a[2:3] for a in arrays))[0]
    scale = np.abs(expected).max()
    assert np.abs(together - expected).max() <= 1e-5 * scale
    assert np.abs(alone - expected[2:3]).max() <= 1e-5 * scale
    # PyTorch's own answer for an item depends on the others of its batch.
    assert np.abs(mixed - expected).max() > 1e-3 * scale


def test_converted_weights_may_be_closed_over_in_jit(released):
    """They are numpy's, and the timestep that looks something up in them is traced."""
    assert {type(leaf) for leaf in jax.tree.leaves(released.variables)} == {np.ndarray}
    arrays, net = inputs(2), network(released.config)
    given = jax.jit(net.apply)(released.variables, *arrays)[0]
    closed = jax.jit(lambda *args: net.apply(released.variables, *args)[0])
    np.testing.assert_allclose(closed(*arrays), given, rtol=1e-6, atol=1e-6)
    x, t, condition = arrays
    slope = jax.jit(jax.grad(lambda x: closed(x, t, condition).sum()))(x)
    assert np.isfinite(slope).all() and slope.any()


def test_the_sizes_come_from_the_file(released):
    assert released.config == DenoiserConfig(embedding=32, hidden=40, mlp=24)


@pytest.mark.slow
def test_a_saved_prior_is_loaded_with_its_statistics_and_hand(tmp_path, released):
    interhandgen.save(tmp_path, released)
    hand = dataclasses.replace(mano.load(), name="mano")
    prior = Prior.load(tmp_path, model=hand)
    np.testing.assert_array_equal(prior.statistics.mean, NUMBERS.mean)
    same = jax.tree.map(
        np.array_equal, prior.variables.params, released.variables.params
    )
    assert jax.tree.all(same)
    assert prior.settings.normalise == "variance"
    x, _, condition = inputs(3)
    t = np.full(3, 5, np.int32)
    expected = network(released.config).apply(released.variables, x, t, condition)[0]
    ours = prior.denoise(prior.variables, x, jnp.asarray(5), condition)
    np.testing.assert_allclose(ours, expected, atol=1e-6)
    with pytest.raises(InputError, match="'mano', but .* 'open-hand-1'"):
        Prior.load(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.clear(), "no InterHandGen denoiser"),
        (lambda s: s.pop("fc_layers.2.weight"), "no InterHandGen denoiser"),
        (lambda s: s.pop("trans_enc.layers.1.norm2.bias"), "lacks 'trans_enc.layers.1"),
        (lambda s: s.update(extra=np.zeros(1)), "has 'extra'"),
    ],
    ids=["empty", "block", "norm", "left-over"],
)
def test_other_weights_are_refused(module, change, message):
    state = reference.state(module)
    change(state)
    with pytest.raises(InputError, match=message):
        interhandgen.convert(state, NUMBERS, where="net.pth")


def test_statistics_of_another_size_are_refused(module):
    state, numbers = reference.state(module), Statistics(np.zeros(61), np.ones(61))
    with pytest.raises(InputError, match="a hand is 64 numbers"):
        interhandgen.convert(state, numbers, where="net.pth")
