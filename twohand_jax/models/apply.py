"""Flax modules as pure functions over plain nested dicts."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Key, PyTree

Weights = PyTree[Array]


class Variables(NamedTuple):
    """Weights and batch-norm statistics, both plain nested dicts of arrays."""

    params: Weights
    batch_stats: Weights


class Network(NamedTuple):
    """A network as pure functions.

    ``init(key)`` makes variables; ``apply(variables, *args, train=...)`` returns the
    output and the variables with updated statistics.
    """

    init: Callable[[Array], Variables]
    apply: Callable[..., tuple[Any, Variables]]


def network(build: Callable[[nnx.Rngs], nnx.Module]) -> Network:
    """Make pure functions from a module.

    Args:
        build: a function that makes the module from named random streams.
    """

    @functools.cache
    def graph() -> nnx.GraphDef:
        abstract = nnx.eval_shape(lambda: build(nnx.Rngs(0)))
        parts: Any = nnx.split(abstract, nnx.Param, nnx.BatchStat)
        return parts[0]

    def init(key: Key[Array, ""]) -> Variables:
        parts: Any = nnx.split(build(nnx.Rngs(key)), nnx.Param, nnx.BatchStat)
        return Variables(_plain(parts[1]), _plain(parts[2]))

    def apply(
        variables: Variables, *args: Any, train: bool = False
    ) -> tuple[Any, Variables]:
        # Converted weights are numpy arrays. Where a jitted function closes over them,
        # they could not be indexed by what is traced.
        known = jax.tree.map(jnp.asarray, variables)
        states: Any = [nnx.State(_indexed(tree)) for tree in known]
        module = nnx.merge(graph(), *states, copy=True)
        output = module(*args, train=train)
        stats = _plain(nnx.state(module, nnx.BatchStat))
        return output, Variables(variables.params, stats)

    return Network(init, apply)


def shapes(net: Network) -> Variables:
    """Shapes and dtypes of a network's variables, without computing any."""
    return jax.eval_shape(net.init, jax.random.key(0))


def _plain(state: nnx.State) -> Weights:
    """Nested dict with string keys, as files and other libraries expect."""

    def rename(tree: Any) -> Any:
        if isinstance(tree, dict):
            return {str(key): rename(value) for key, value in tree.items()}
        return tree

    return rename(nnx.to_pure_dict(state))


def _indexed(tree: Any) -> Any:
    """The inverse of ``_plain``: list indices as integers again.

    Flax goes through sorted keys, and as strings "10" comes before "2".
    """
    if not isinstance(tree, dict):
        return tree
    return {
        int(key) if key.isdecimal() else key: _indexed(value)
        for key, value in tree.items()
    }
