import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from twohand_jax.models import apply


class Chain(nnx.Module):
    """More layers than one digit counts, each with a weight and a statistic."""

    def __init__(self, length, *, rngs):
        self.links = nnx.List([nnx.Linear(1, 1, rngs=rngs) for _ in range(length)])
        self.seen = nnx.List([nnx.BatchStat(jnp.zeros(())) for _ in range(length)])

    def __call__(self, x, *, train):
        for index, seen in enumerate(self.seen):
            seen[...] = seen[...] + (index if train else 0)
        return jnp.concatenate([x + link.bias[...] for link in self.links])


def test_weights_reach_the_layer_they_are_named_after():
    net = apply.network(lambda rngs: Chain(12, rngs=rngs))
    variables = net.init(jax.random.key(0))
    for name, link in variables.params["links"].items():
        link["bias"] = jnp.array([float(name)])
    run = jax.jit(net.apply, static_argnames="train")
    output, updated = run(variables, jnp.float32(0.5), train=True)
    np.testing.assert_array_equal(output, 0.5 + np.arange(12))
    assert {k: int(v) for k, v in updated.batch_stats["seen"].items()} == {
        str(index): index for index in range(12)
    }


def test_applying_leaves_the_given_variables_alone():
    net = apply.network(lambda rngs: Chain(2, rngs=rngs))
    variables = net.init(jax.random.key(0))
    _, updated = net.apply(variables, jnp.float32(0.0), train=True)
    assert float(variables.batch_stats["seen"]["1"]) == 0
    assert float(updated.batch_stats["seen"]["1"]) == 1
