import jax
import jax.numpy as jnp
import numpy as np
import pytest

from twohand_jax.models.apply import Network, Variables
from twohand_jax.train import optim, state, step
from twohand_jax.types import Mean

CONFIG = optim.OptimConfig(learning_rate=0.1, schedule="constant", weight_decay=0.0)
KEY = jax.random.key(0)


def scale_loss(params, batch_stats, batch, constants, key):
    error = jnp.mean((params["w"] * batch - constants) ** 2)
    count = jnp.asarray(float(batch.size))
    terms = {"error": Mean(error * count, count)}
    return error, (terms, {"seen": batch_stats["seen"] + 1.0})


@pytest.fixture
def run():
    def init(key):
        return Variables({"w": jnp.ones(2)}, {"seen": jnp.zeros(())})

    network = Network(init, lambda variables, *args, train=False: (None, variables))
    optimizer = optim.optimizer(CONFIG)
    start = state.create(network, optimizer, KEY)
    return jax.jit(step.make(scale_loss, optimizer, ema_decay=0.5)), start


def test_a_step_lowers_the_loss_and_counts(run):
    advance, start = run
    batch, target = jnp.ones((4, 2)), 3.0
    after, metrics = advance(start, batch, target, KEY, 1)
    assert int(after.step) == 1 and float(after.batch_stats["seen"]) == 1.0
    assert float(metrics["loss/total"]) == pytest.approx(4.0)
    assert float(metrics["loss/error"]) == pytest.approx(4.0)
    again, later = advance(after, batch, target, KEY, 2)
    assert float(later["loss/total"]) < 4.0
    assert int(again.step) == 2


def test_a_bad_step_and_all_after_it_leave_the_state_alone(run):
    advance, start = run
    good, bad = jnp.ones((4, 2)), jnp.full((4, 2), jnp.nan)
    first, _ = advance(start, good, 3.0, KEY, 1)
    second, metrics = advance(first, bad, 3.0, KEY, 2)
    assert not np.isfinite(float(metrics["loss/total"]))
    third, _ = advance(second, good, 3.0, KEY, 3)
    for after in (second, third):
        same = jax.tree.map(lambda a, b: bool(jnp.all(a == b)), after, first)
        assert all(jax.tree.leaves(same))


def test_averages_follow_the_weights_with_delay(run):
    advance, start = run
    after, _ = advance(start, jnp.ones((4, 2)), 3.0, KEY, 1)
    moved = after.params["w"] - start.params["w"]
    lagged = after.ema_params["w"] - start.params["w"]
    np.testing.assert_allclose(lagged, moved * (1 - 0.1), rtol=1e-5)


def test_all_weights_decay_where_the_config_says_so():
    config = optim.OptimConfig(
        learning_rate=0.1, schedule="constant", weight_decay=0.5, decays="all"
    )
    params = {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}
    optimizer = optim.optimizer(config)
    nothing = jax.tree.map(jnp.zeros_like, params)
    updates, _ = optimizer.update(nothing, optimizer.init(params), params)
    for leaf in jax.tree.leaves(updates):
        np.testing.assert_allclose(leaf, -0.05, rtol=1e-6)


def test_weight_decay_spares_norms_and_biases():
    config = optim.OptimConfig(learning_rate=0.1, schedule="constant", weight_decay=0.5)
    params = {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}
    optimizer = optim.optimizer(config)
    zero = jax.tree.map(jnp.zeros_like, params)
    updates, _ = optimizer.update(zero, optimizer.init(params), params)
    np.testing.assert_allclose(updates["bias"], 0.0)
    np.testing.assert_allclose(updates["kernel"], -0.1 * 0.5)


def test_accumulated_micro_batches_equal_one_large_batch():
    params = {"w": jnp.asarray([[1.0, 2.0]])}
    gradients = [{"w": jnp.asarray([[1.0, 0.0]])}, {"w": jnp.asarray([[3.0, -2.0]])}]
    whole = {"w": (gradients[0]["w"] + gradients[1]["w"]) / 2}
    single = optim.optimizer(CONFIG)
    expected, _ = single.update(whole, single.init(params), params)
    split = optim.optimizer(
        optim.OptimConfig(
            learning_rate=0.1, schedule="constant", weight_decay=0.0, accumulate=2
        )
    )
    opt_state = split.init(params)
    nothing, opt_state = split.update(gradients[0], opt_state, params)
    np.testing.assert_allclose(nothing["w"], 0.0)
    found, _ = split.update(gradients[1], opt_state, params)
    np.testing.assert_allclose(found["w"], expected["w"], rtol=1e-6)


def test_gradients_are_clipped_to_the_global_norm():
    config = optim.OptimConfig(
        learning_rate=1.0, schedule="constant", clip_norm=1.0, weight_decay=0.0
    )
    params = {"w": jnp.zeros((1, 2))}
    optimizer = optim.optimizer(config)
    results = []
    for size in (10.0, 1000.0):
        gradient = {"w": jnp.asarray([[size, 0.0]])}
        updates, _ = optimizer.update(gradient, optimizer.init(params), params)
        results.append(np.asarray(updates["w"]))
    np.testing.assert_allclose(results[0], results[1], rtol=1e-5)


def test_frozen_weights_do_not_decay():
    config = optim.OptimConfig(learning_rate=0.1, schedule="constant", weight_decay=0.5)
    stages = {name: {"kernel": jnp.ones((2, 2))} for name in ("1", "10")}
    params = {"image": {"stages": stages}}
    optimizer = optim.optimizer(config, frozen=["image/stages/1/"])
    zero = jax.tree.map(jnp.zeros_like, params)
    updates, _ = optimizer.update(zero, optimizer.init(params), params)
    found = updates["image"]["stages"]
    np.testing.assert_array_equal(found["1"]["kernel"], 0.0)
    np.testing.assert_allclose(found["10"]["kernel"], -0.1 * 0.5)
