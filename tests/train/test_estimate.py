"""What a step takes on other chips, for a network whose numbers are known."""

import math

import jax
import jax.numpy as jnp
import optax
import pytest

from twohand_jax.train import estimate
from twohand_jax.train.estimate import Chip, Cost
from twohand_jax.train.state import TrainState

SIZE, WIDTH, LAYERS = 8, 64, 3
CHIP = Chip(memory=1.0, bandwidth=100.0, bfloat16=2.0, float32=1.0)


def loss(params, batch_stats, batch, constants, key):
    """Sines of products: each layer keeps its input and its sine's derivative."""
    x = batch
    for weights in params:
        x = jnp.sin(x @ weights)
    return jnp.sum(x * constants), ({}, batch_stats)


def shapes(*shape):
    return jax.ShapeDtypeStruct(shape, jnp.float32)


def test_activations_are_what_the_backward_pass_needs_of_each_sample():
    params = [shapes(WIDTH, WIDTH)] * LAYERS
    state = TrainState(shapes(), params, {}, (), params)
    kept = estimate.activations(
        loss, state, shapes(SIZE, WIDTH), shapes(WIDTH), size=SIZE
    )
    rows = SIZE * WIDTH * 4
    assert 2 * LAYERS * rows <= kept <= 3 * LAYERS * rows


def test_bytes_count_arrays_and_no_keys():
    tree = {"a": shapes(3, 5), "b": jax.ShapeDtypeStruct((2,), jnp.bfloat16)}
    tree["key"] = jax.eval_shape(lambda: jax.random.key(0))
    assert estimate.nbytes(tree) == 60 + 4
    assert estimate.nbytes(optax.adam(0.1).init(jnp.zeros(4))) == 4 + 16 + 16


def test_a_batch_is_split_until_it_fits():
    cost = Cost(
        flops=8e12,
        state=100_000_000,
        gradients=0,
        activations=3_000_000_000,
        batch=0,
        precision="float32",
    )
    found = estimate.fit(cost, CHIP)
    assert (found.chips, found.memory) == (4, 850_000_000)
    assert found.at_least == pytest.approx(2.0)  # 2 TFLOP at 1 TFLOP/s
    assert found.expected == pytest.approx(2.0 / estimate.SHARE)
    half = estimate.fit(cost._replace(precision="bfloat16"), CHIP)
    assert half.at_least == pytest.approx(1.0)


def test_bytes_bound_a_step_of_few_products():
    cost = Cost(
        flops=1e6,
        state=300_000_000,
        gradients=200_000_000,
        activations=0,
        batch=0,
        precision="float32",
    )
    found = estimate.fit(cost, CHIP)
    assert found.at_least == found.expected == pytest.approx(0.01)


def test_a_state_that_fits_nowhere_is_said():
    cost = Cost(1e12, 2_000_000_000, 0, 0, 0, "float32")
    assert estimate.fit(cost, CHIP) == (0, 2e9, math.inf, math.inf)
    huge = cost._replace(state=10**15)
    assert sum("train.fsdp" in line for line in estimate.describe(huge)) == len(
        estimate.CHIPS
    )
