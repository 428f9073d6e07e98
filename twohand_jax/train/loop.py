"""The training run, top to bottom."""

import dataclasses
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import jax
import numpy as np
import optax
from jax.sharding import NamedSharding
from tqdm import tqdm

from twohand_jax.data.batching import Prefetcher
from twohand_jax.models.apply import Network, Variables
from twohand_jax.train import rng, sharding
from twohand_jax.train import state as states
from twohand_jax.train import step as steps
from twohand_jax.train.checkpoint import Checkpoints
from twohand_jax.train.log import MetricsLog
from twohand_jax.types import Batch, ManoModel

Batches = Callable[[int, NamedSharding], Prefetcher[Batch]]
Evaluate = Callable[[Variables], dict[str, float]]


class NonFiniteLossError(RuntimeError):
    """The loss became NaN or infinite; the message names the steps."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class LoopConfig:
    """How long a run is and how often it reports, saves and evaluates."""

    total_steps: int
    batch_size: int
    seed: int = 0
    log_every: int = 20
    save_every: int = 500
    evaluate_every: int = 1000
    keep_checkpoints: int = 2
    fsdp: int = 1


def train(
    *,
    network: Network,
    model: ManoModel,
    optimizer: optax.GradientTransformation,
    step_config: steps.StepConfig,
    loop: LoopConfig,
    batches: Batches,
    evaluate: Evaluate | None,
    workdir: Path,
    config: dict[str, Any],
) -> states.TrainState:
    """Train from the newest checkpoint of ``workdir``, or from the beginning.

    Args:
        network: pure functions of the network.
        model: hand model of the losses.
        optimizer: gradient transformation.
        step_config: augmentation and losses.
        loop: length and intervals.
        batches: device batches with the given sharding from a step on, so that a
            resumed run reads on exactly.
        evaluate: metrics of averaged weights on held-out data, or None.
        workdir: where checkpoints and metrics go.
        config: the whole experiment, saved beside them and compared on resume.

    Returns:
        The last state. After SIGINT or SIGTERM it is saved and returned early.

    Raises:
        NonFiniteLossError: the loss of some step was not finite.
        InputError: the working directory belongs to another config.
    """
    checkpoints = Checkpoints(workdir, keep=loop.keep_checkpoints)
    checkpoints.agree_on_config(config)
    mesh = sharding.make_mesh(fsdp=loop.fsdp)
    state = _start(network, optimizer, loop, mesh, checkpoints)
    first = int(state.step)
    step = jax.jit(steps.make(network, optimizer, step_config), donate_argnums=0)
    key = rng.stream(loop.seed, "augment")
    stop, log = _StopRequest(), MetricsLog(workdir)
    bar = tqdm(
        total=loop.total_steps * loop.batch_size,
        initial=first * loop.batch_size,
        unit="img",
        desc="train",
        disable=None if jax.process_index() == 0 else True,
    )
    pending: list[steps.Metrics] = []
    since = time.perf_counter()
    with batches(first, sharding.batch(mesh)) as stream:
        for number, batch in zip(
            range(first + 1, loop.total_steps + 1), stream, strict=False
        ):
            state, metrics = step(state, batch, model, key)
            pending.append(metrics)
            bar.update(loop.batch_size)
            done = number == loop.total_steps
            last = done or stop.requested
            if number % loop.log_every == 0 or last:
                report = _summarise(pending, number)
                elapsed = time.perf_counter() - since
                report["images_per_second"] = len(pending) * loop.batch_size / elapsed
                report["waiting_share"] = stream.waiting_share()
                log.write(number, report)
                bar.set_postfix(loss=f"{report['loss/total']:.3f}", refresh=False)
                pending, since = [], time.perf_counter()
            if number % loop.save_every == 0 or last:
                checkpoints.save(state)
            due = number % loop.evaluate_every == 0 and not stop.requested
            if evaluate and (due or done):
                scores = evaluate(states.inference_variables(state))
                log.write(number, {f"eval/{name}": v for name, v in scores.items()})
                since = time.perf_counter()
            if last:
                break
    bar.close()
    log.close()
    checkpoints.close()
    stop.restore()
    if stop.requested:
        print(
            f"Stopped at step {int(state.step)}; saved in {workdir}.", file=sys.stderr
        )
    return state


def _start(
    network: Network,
    optimizer: optax.GradientTransformation,
    loop: LoopConfig,
    mesh: jax.sharding.Mesh,
    checkpoints: Checkpoints,
) -> states.TrainState:
    """The newest checkpoint, or a fresh state, on the mesh."""
    key = rng.stream(loop.seed, "init")

    def create() -> states.TrainState:
        return states.create(network, optimizer, key)

    shapes = jax.eval_shape(create)
    places = sharding.state(mesh, shapes)
    if checkpoints.latest() is None:
        return jax.jit(create, out_shardings=places)()
    abstract = jax.tree.map(
        lambda leaf, place: jax.ShapeDtypeStruct(
            leaf.shape, leaf.dtype, sharding=place
        ),
        shapes,
        places,
    )
    return checkpoints.load(abstract)


def _summarise(pending: list[steps.Metrics], number: int) -> dict[str, float]:
    """Means over the last steps; waits for the device."""
    values = jax.device_get(pending)
    bad = [
        number - len(values) + index + 1
        for index, metrics in enumerate(values)
        if not np.isfinite(metrics["loss/total"])
    ]
    if bad:
        raise NonFiniteLossError(
            f"The loss is not finite from step {bad[0]} on (steps "
            f"{number - len(values) + 1} to {number} were checked); lower the learning "
            "rate or look at the batch of that step."
        )
    return {
        name: float(np.mean([metrics[name] for metrics in values]))
        for name in values[0]
    }


class _StopRequest:
    """Turns the first SIGINT or SIGTERM into a wish; the second one interrupts."""

    def __init__(self) -> None:
        self.requested = False
        self._before: dict[int, Any] = {}
        try:
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._ask)
        except ValueError:  # not in the main thread: signals stay as they are
            pass

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True

    def restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
