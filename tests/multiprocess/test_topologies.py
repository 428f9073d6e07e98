"""The same run on one device, on four and on two processes: equal numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.multiprocess import launch
from tests.train import toy

STEPS = 6
WORKER = ["-m", "tests.multiprocess.worker"]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The run on one device of this process: losses and the last state."""
    workdir = tmp_path_factory.mktemp("alone")
    last = toy.train(workdir, total_steps=STEPS)
    leaves = jax.tree_util.tree_leaves_with_path(last)
    state = {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}
    return toy.losses(workdir), state


@pytest.fixture(scope="module", params=["four devices", "two processes"])
def folder(request, tmp_path_factory):
    """What the worker left on several devices."""
    out = tmp_path_factory.mktemp("several")
    if request.param == "four devices":
        launch.succeed([launch.start([*WORKER, str(out)], devices=4)])
    else:
        address = f"localhost:{launch.free_port()}"
        starts = [[*WORKER, str(out), address, "2", str(i)] for i in range(2)]
        launch.succeed([launch.start(words) for words in starts])
    return out


@pytest.mark.slow
@pytest.mark.parametrize("fsdp", [1, 2])
def test_losses_and_weights_are_those_of_one_device(alone, folder, fsdp):
    losses, state = alone
    workdir = folder / f"fsdp{fsdp}"
    np.testing.assert_allclose(toy.losses(workdir), losses, rtol=1e-5)
    with np.load(workdir / "last.npz") as file:
        assert tuple(file["part"]) == (toy.WIDTH // fsdp, toy.WIDTH)
        for name, value in state.items():
            np.testing.assert_allclose(
                file[name], value, rtol=1e-4, atol=1e-5, err_msg=name
            )


@pytest.mark.slow
@pytest.mark.parametrize("fsdp", [1, 2])
def test_batch_norm_sees_the_global_batch(alone, folder, fsdp):
    """The statistics are those that one device has found on the whole batch."""
    with np.load(folder / f"fsdp{fsdp}" / "last.npz") as file:
        for name in ("mean", "var"):
            found = file[f".batch_stats['{name}']"]
            expected = alone[1][f".batch_stats['{name}']"]
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    # One device's share of the batch would have given something else.
    start = toy.init(jax.random.key(0)).params["dense"]
    whole, part = (jnp.var(toy.rows(0).x[:n] @ start, axis=0) for n in (16, 4))
    assert np.abs(whole - part).max() > 0.1
