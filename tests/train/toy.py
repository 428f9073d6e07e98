"""A task that compiles in a second: dense, batch norm, dropout; data from numbers."""

import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding

from twohand_jax.data.batching import Prefetcher, to_global
from twohand_jax.models.apply import Network, Variables
from twohand_jax.train import loop, optim, state
from twohand_jax.train.task import Task
from twohand_jax.types import Mean

# So wide that train.sharding splits the first kernel over fsdp.
WIDTH, BATCH = 256, 16
OPTIM = optim.OptimConfig(learning_rate=1e-3, schedule="constant", ema_decay=0.9)


class ToyBatch(NamedTuple):
    x: Any
    weight: Any
    record: Any


def init(key: jax.Array) -> Variables:
    first, second = jax.random.split(key)
    params = {
        "dense": jax.random.normal(first, (WIDTH, WIDTH)) / WIDTH**0.5,
        "out": jax.random.normal(second, (WIDTH, 4)) / WIDTH**0.5,
    }
    return Variables(params, {"mean": jnp.zeros(WIDTH), "var": jnp.ones(WIDTH)})


def loss(params, batch_stats, batch, constants, key):
    h = batch.x @ params["dense"]
    mean, var = jnp.mean(h, axis=0), jnp.var(h, axis=0)
    h = jax.nn.relu((h - mean) * jax.lax.rsqrt(var + 1e-5))
    h = jnp.where(jax.random.bernoulli(key, 0.8, h.shape), h, 0.0)
    error = jnp.mean((h @ params["out"] - constants) ** 2, axis=-1)
    seen = {"mean": mean, "var": var}
    updated = jax.tree.map(lambda old, new: 0.9 * old + 0.1 * new, batch_stats, seen)
    terms = {"error": Mean(jnp.sum(error), jnp.sum(batch.weight))}
    return jnp.mean(error), (terms, updated)


def rows(step: int, poisoned: int | None = None) -> ToyBatch:
    """The global batch of a step; the poisoned step's holds one NaN."""
    x = np.random.default_rng([7, step]).normal(size=(BATCH, WIDTH)).astype(np.float32)
    if step == poisoned:
        x[3, 5] = np.nan
    records = np.arange(step * BATCH, (step + 1) * BATCH, dtype=np.int32)
    return ToyBatch(x, np.ones(BATCH, np.float32), records)


def task(*, poisoned: int | None = None) -> Task:
    """The toy as the loop takes it.

    Args:
        poisoned: number of the batch, from 0, that holds a NaN.
    """
    size, process = BATCH // jax.process_count(), jax.process_index()
    own = slice(process * size, (process + 1) * size)

    def source(step: int) -> Iterator[ToyBatch]:
        while True:
            yield jax.tree.map(lambda array: array[own], rows(step, poisoned))
            step += 1

    def batches(step: int, sharding: NamedSharding) -> Prefetcher:
        return Prefetcher(source(step), functools.partial(to_global, sharding=sharding))

    return Task(
        network=Network(init, lambda variables, *args, train=False: (None, variables)),
        loss=loss,
        constants=np.arange(4, dtype=np.float32),
        batches=batches,
        describe=lambda record: f"toy record {record}",
    )


def train(
    workdir: Path, *, poisoned: int | None = None, **settings: Any
) -> state.TrainState:
    """The real loop on the toy."""
    defaults = {"total_steps": 6, "log_every": 1, "save_every": 2, "evaluate_every": 99}
    values = defaults | settings
    return loop.train(
        task(poisoned=poisoned),
        optimizer=optim.optimizer(OPTIM),
        ema_decay=OPTIM.ema_decay,
        loop=loop.LoopConfig(batch_size=BATCH, **values),
        workdir=workdir,
        config={"toy": WIDTH},
    )


def losses(workdir: Path) -> list[float]:
    """The loss of every step in a run's log."""
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["loss/total"] for line in lines]
