"""The small regressor's training step on one and on 2 x 2 CPU devices.

    python -m tests.multiprocess.regressor FILE.npz

Augmentation and cue dropout are on. Arrays of 64 numbers and more are split over fsdp.
"""

import sys

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from tests.data import scenes
from tests.train import runs
from twohand_jax import experiments, mano
from twohand_jax.cli import common
from twohand_jax.data.batching import to_global
from twohand_jax.experiments import regressor
from twohand_jax.experiments.regressor import RegressorExperiment
from twohand_jax.models.layers import BatchNorm
from twohand_jax.train import optim, sharding, state, step

STEPS, BATCH, MINIMUM = 3, 4, 64
OPTIM = optim.OptimConfig(learning_rate=1e-4, schedule="constant")


def experiment() -> RegressorExperiment:
    """configs/tiny.py made small."""
    changes = [f"{name}={value!r}" for name, value in runs.SMALL_REGRESSOR.items()]
    return experiments.parse_as(
        RegressorExperiment,
        common.load_config(str(runs.ROOT / "configs/tiny.py"), changes),
    )


def run(mesh: jax.sharding.Mesh) -> dict[str, np.ndarray]:
    """Losses of some steps and the statistics after them."""
    settings, model = experiment(), mano.load()
    network = regressor.network(settings.model)
    optimizer = optim.optimizer(OPTIM)
    key = state.key_stream(0, "augment")

    def create() -> state.TrainState:
        return state.create(network, optimizer, state.key_stream(0, "init"))

    places = sharding.state(mesh, jax.eval_shape(create), minimum=MINIMUM)
    now = jax.jit(create, out_shardings=places)()
    loss = regressor.loss(network, regressor.loss_config(settings))
    advance = jax.jit(
        step.make(loss, optimizer, ema_decay=0.0),
        out_shardings=(places, sharding.replicated(mesh)),
        donate_argnums=0,
    )
    constants = jax.device_put(model, sharding.replicated(mesh))
    losses = []
    for number in range(STEPS):
        rows = jax.tree.map(np.asarray, scenes.batch(number, (BATCH,), model))
        batch = to_global(rows, sharding.batch(mesh))
        now, metrics = advance(now, batch, constants, key, np.int32(number + 1))
        jax.block_until_ready(now)
        losses.append(float(metrics["loss/total"]))
    leaves = [np.ravel(leaf) for leaf in jax.tree.leaves(now.batch_stats)]
    split = [not leaf.sharding.is_fully_replicated for leaf in jax.tree.leaves(now)]
    return {
        "losses": np.array(losses),
        "batch_stats": np.concatenate(leaves),
        "split": np.array(split),
    }


FAR = np.random.default_rng(0).normal(1000.0, 1.0, (8, 4, 4, 3)).astype(np.float32)


def normalised(mesh: jax.sharding.Mesh) -> dict[str, np.ndarray]:
    """Batch norm of ``FAR`` divided among the devices, whose mean dwarfs its spread."""

    @jax.jit
    def norm(x: jax.Array) -> tuple[jax.Array, jax.Array]:
        layer = BatchNorm(3, dtype=jnp.float32, rngs=nnx.Rngs(0))
        y = layer(x, use_running_average=False)
        return y, layer.var[...]

    placed = jax.device_put(FAR, sharding.batch(mesh))
    y, var = (sharding.gather(leaf) for leaf in norm(placed))
    return {"normalised": y, "far_var": var}


def main(path: str) -> None:
    """Run on both meshes and write what came out."""
    devices = jax.devices()
    meshes = {
        "1": sharding.make_mesh(devices=devices[:1]),
        "2x2": sharding.make_mesh(devices=devices, fsdp=2),
    }
    arrays = {
        f"{name}/{what}": value
        for name, mesh in meshes.items()
        for what, value in (run(mesh) | normalised(mesh)).items()
    }
    np.savez(path, **arrays)


if __name__ == "__main__":
    main(sys.argv[1])
