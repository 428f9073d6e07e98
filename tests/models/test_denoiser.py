import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from twohand_jax.errors import InputError
from twohand_jax.models import apply
from twohand_jax.models.denoiser import Denoiser, DenoiserConfig, time_embedding

SMALL = {"numbers": 6, "embedding": 16, "hidden": 20, "mlp": 24, "heads": 2}
SHORT = {"layers": 1, "blocks": 3, "skips": (1, 2)}


def build(**changes):
    config = DenoiserConfig(**(SMALL | SHORT | changes))
    return apply.network(lambda rngs: Denoiser(config, rngs=rngs))


def inputs(count=4):
    keys = jax.random.split(jax.random.key(1), 3)
    x, condition = (jax.random.normal(k, (count, 6)) for k in keys[:2])
    return x, jax.random.randint(keys[2], (count,), 0, 129), condition


def test_the_time_embedding_is_sines_then_cosines_of_falling_frequencies():
    t = np.array([0, 1, 128])
    embedding = np.asarray(time_embedding(jnp.asarray(t), 8))
    for column in range(4):
        angle = t * 10_000.0 ** (-column / 3)
        np.testing.assert_allclose(embedding[:, column], np.sin(angle), atol=2e-5)
        np.testing.assert_allclose(embedding[:, 4 + column], np.cos(angle), atol=2e-5)
    assert time_embedding(jnp.zeros((2, 3), int), 8).shape == (2, 3, 8)


@pytest.mark.parametrize("attention", ["tokens", "items"])
@pytest.mark.slow
def test_items_of_a_batch_do_not_see_each_other(attention):
    net = build(attention=attention)
    variables = net.init(jax.random.key(0))
    arrays = inputs()
    run = jax.jit(net.apply)
    together = run(variables, *arrays)[0]
    alone = [run(variables, *(a[i : i + 1] for a in arrays))[0] for i in range(4)]
    np.testing.assert_allclose(together, np.concatenate(alone), atol=2e-6)


@pytest.mark.parametrize("attention", ["tokens", "items"])
def test_every_input_matters(attention):
    net = build(attention=attention)
    variables = net.init(jax.random.key(0))
    x, t, condition = inputs()
    run = jax.jit(net.apply)
    output = run(variables, x, t, condition)[0]
    assert output.shape == x.shape and np.isfinite(output).all()
    for changed in [(x + 1, t, condition), (x, t + 9, condition), (x, t, 0 * x)]:
        other = run(variables, *changed)[0]
        assert np.abs(other - output).max(axis=-1).min() > 1e-3


def test_only_attention_over_tokens_learns_where_to_look():
    def query_gradient(attention):
        net = build(attention=attention)
        variables = net.init(jax.random.key(0))

        def loss(params):
            moved = variables._replace(params=params)
            return jnp.sum(net.apply(moved, *inputs(), train=True)[0] ** 2)

        gradient = jax.jit(jax.grad(loss))(variables.params)
        return np.abs(gradient["layers"]["0"]["attention"]["query"]["kernel"]).max()

    assert query_gradient("tokens") > 0 and query_gradient("items") == 0


def test_the_defaults_are_the_released_sizes():
    net = apply.network(lambda rngs: Denoiser(DenoiserConfig(), rngs=rngs))
    params = apply.shapes(net).params
    counted = sum(math.prod(p.shape) for p in jax.tree.leaves(params))
    width, hidden, numbers = 512, 2056, 64
    encoder = 4 * (width + 1) * width + 4 * width + (width + 1) * 2048
    encoder += (2048 + 1) * width
    embeds = (width + 1) * hidden + 2 * (numbers + 1) * hidden
    embeds += 3 * (hidden + 1) * width
    blocks = 7 * (hidden + 2 * width + 1) * hidden + 4 * hidden**2
    ends = (3 * width + 1) * hidden + (numbers + 1) * hidden + (hidden + 1) * numbers
    assert counted == 2 * encoder + embeds + blocks + ends


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"attention": "batch"}, "attention is 'batch'; it must be tokens or items"),
        ({"embedding": 18}, "embedding is 18; .* multiple of twice the 2 heads"),
        ({"heads": 0}, "heads is 0"),
        ({"skips": (1, 3)}, r"skips is \(1, 3\); name blocks from 0 to 2"),
    ],
)
def test_impossible_sizes_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        build(**changes)
