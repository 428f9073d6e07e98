"""The training run, top to bottom."""

import contextlib
import dataclasses
import sys
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax

from twohand_jax import fields, paths, progress, switches
from twohand_jax.errors import InputError, NonFiniteLossError
from twohand_jax.progress import Bar
from twohand_jax.train import run_config, sharding, trackers
from twohand_jax.train import state as states
from twohand_jax.train import step as steps
from twohand_jax.train.checkpoint import Best, Checkpoints
from twohand_jax.train.distributed import StopRequest
from twohand_jax.train.log import (
    MetricsLog,
    dump_failure,
    revision,
    write_provenance,
)
from twohand_jax.train.state import key_stream
from twohand_jax.train.store_checkpoint import StoreCheckpoints
from twohand_jax.train.task import Task

SEEDS = fields.Range(low=0, high=2**32 - 1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class LoopConfig:
    """Length of a run, and how often it reports, saves, draws and evaluates.

    Attributes:
        total_steps: number of batches.
        batch_size: number of samples in a batch, of all processes together.
        seed: seed of initial weights, data order and augmentation.
        log_every: steps between two reports, at least 1.
        save_every: steps between two checkpoints, at least 1.
        evaluate_every: steps between two evaluations; 0 for none, not even at the end.
        picture_every: steps between two pictures; 0 for none, not even at the end.
        keep_checkpoints: number of newest checkpoints that are kept.
        best_metric: name of the score whose lowest value decides which weights are
            kept in ``WORKDIR/best``; empty for none.
        fsdp: number of devices over which weights are split.
        background_saves: whether checkpoints are written while the next steps run; the
            state is then held twice for a while.
        trackers: who is told of the run beside ``metrics.jsonl``: names of
            ``trackers.TRACKERS``, or package.module:Class.
    """

    total_steps: int
    batch_size: int
    seed: int = 0
    log_every: int = 20
    save_every: int = 500
    evaluate_every: int = 1000
    picture_every: int = 0
    keep_checkpoints: int = 2
    best_metric: str = ""
    fsdp: int = 1
    background_saves: bool = True
    trackers: tuple[str, ...] = trackers.DEFAULT

    def __post_init__(self) -> None:
        every = fields.Range(low=1, hint="a number above total_steps means at the end")
        fields.check(
            self,
            total_steps=fields.NOT_NEGATIVE,  # 0: a model that was not trained here
            batch_size=fields.COUNT,
            seed=SEEDS,
            log_every=every,
            save_every=every,
            evaluate_every=fields.NOT_NEGATIVE,
            picture_every=fields.NOT_NEGATIVE,
            keep_checkpoints=fields.COUNT,
            fsdp=fields.COUNT,
        )
        trackers.check(self.trackers)
        if self.best_metric and self.evaluate_every == 0:
            raise fields.error(
                self,
                "best_metric",
                f"is {self.best_metric!r} but evaluate_every is 0, so that nothing is "
                "measured; set best_metric='' or let the run evaluate.",
            )


@switches.defaults()
def train(
    task: Task,
    *,
    optimizer: optax.GradientTransformation,
    ema_decay: float,
    loop: LoopConfig,
    workdir: Path,
    config: dict[str, Any],
    stop: StopRequest | None = None,
) -> states.TrainState:
    """Train from the newest checkpoint of ``workdir``, or from the beginning.

    Args:
        task: network, loss and data.
        optimizer: gradient transformation.
        ema_decay: decay of the averaged weights.
        loop: length and intervals.
        workdir: directory of checkpoints and metrics.
        config: the whole experiment, which is saved and compared when a run resumes.
        stop: a request to end early; by default SIGINT and SIGTERM make one.

    Returns:
        The last state. After SIGINT or SIGTERM it is saved and returned early.

    Raises:
        NonFiniteLossError: the loss of some step was not finite; the state before that
            step is saved and the batch dumped.
        InputError: the working directory belongs to another config.
    """
    checkpoints = open_checkpoints(
        workdir, keep=loop.keep_checkpoints, background=loop.background_saves
    )
    checkpoints.agree_on_config(config, task.records)
    mesh = sharding.make_mesh(fsdp=loop.fsdp)
    try:
        state = start(task, optimizer, loop, mesh, checkpoints)
    except InputError:
        checkpoints.abandon()
        raise
    first = int(state.step)
    places, whole = sharding.places(state), sharding.replicated(mesh)
    step = jax.jit(
        steps.make(task.loss, optimizer, ema_decay=ema_decay),
        out_shardings=(places, whole),
        donate_argnums=0,
    )
    constants = jax.device_put(task.constants, whole)
    key = key_stream(loop.seed, "augment")
    stop, log = stop or StopRequest(), _log(workdir, loop, config, first)
    best, report = Best(workdir, loop.best_metric, config), _Report()
    if jax.process_index() == 0:
        write_provenance(workdir, first_step=first)
    bar, lines = _bar(task, loop, first), _Lines(loop, task.unit, first)
    try:
        with task.batches(first, sharding.batch(mesh)) as stream:
            for number, batch in zip(
                range(first + 1, loop.total_steps + 1), stream, strict=False
            ):
                state, metrics = step(state, batch, constants, key, np.int32(number))
                sharding.settle(mesh, metrics)
                report.add(number, metrics)
                bar.update(loop.batch_size)
                due = number % loop.log_every == 0
                done = number == loop.total_steps
                last = done or stop.agreed(ask_others=due)
                if due or last:
                    values = report.summary(task.unit, loop.batch_size)
                    if report.bad is not None:
                        checkpoints.save(state)
                        checkpoints.close()
                        raise NonFiniteLossError(_dump(task, mesh, workdir, report.bad))
                    values["waiting_share"] = stream.waiting_share()
                    log.write(number, values)
                    bar.note(f"loss {values['loss/total']:.3f}")
                    lines.write(number, values)
                if number % loop.save_every == 0 or last:
                    checkpoints.save(state)
                if (done or not last) and _judge(task, loop, number, state, log, best):
                    report.restart_clock()
                if last:
                    break
    except Exception:
        with contextlib.suppress(Exception):  # the first error is the one to tell
            checkpoints.settle()
        raise
    bar.close()
    log.close()
    checkpoints.close()
    stop.restore()
    if int(state.step) < loop.total_steps and jax.process_index() == 0:
        print(
            f"Stopped at step {int(state.step)}; saved in {workdir}.", file=sys.stderr
        )
    return state


def open_checkpoints(
    directory: Path, *, keep: int, background: bool = False
) -> Checkpoints | StoreCheckpoints:
    """Those of a local working directory, or of one in a store."""
    kind = StoreCheckpoints if paths.is_mirrored(directory) else Checkpoints
    return kind(directory, keep=keep, background=background)


def start(
    task: Task,
    optimizer: optax.GradientTransformation,
    loop: LoopConfig,
    mesh: jax.sharding.Mesh,
    checkpoints: Checkpoints | StoreCheckpoints,
) -> states.TrainState:
    """The newest checkpoint, or a fresh state, on the mesh."""
    key = key_stream(loop.seed, "init")

    def create() -> states.TrainState:
        return states.create(task.network, optimizer, key)

    shapes = jax.eval_shape(create)
    places = sharding.state(mesh, shapes)
    if checkpoints.latest() is None:
        state = jax.jit(create, out_shardings=places)()
        if task.adopt is not None:
            state = jax.device_put(states.adopt(state, task.adopt), places)
        return state
    abstract = jax.tree.map(
        lambda leaf, place: jax.ShapeDtypeStruct(
            leaf.shape, leaf.dtype, sharding=place
        ),
        shapes,
        places,
    )
    return checkpoints.load(abstract)


def _log(
    workdir: Path, loop: LoopConfig, config: dict[str, Any], first: int
) -> MetricsLog:
    """The log, and the trackers with config and revision as their settings."""
    settings = run_config.flat(config) | {"revision": revision()}
    told = trackers.begin(loop.trackers, workdir, settings)
    return MetricsLog(workdir, first_step=first, trackers=told)


class _Lines:
    """Lines on stderr where there is no terminal for a bar."""

    def __init__(self, loop: LoopConfig, unit: str, first: int) -> None:
        self._loop, self._unit = loop, unit
        self._is_shown = jax.process_index() == 0 and not progress.draws_bars()
        self._start, self._first = time.monotonic(), first
        self._has_compiled = False

    def write(self, step: int, values: dict[str, float]) -> None:
        """Step, loss, rate, share of the time spent waiting for data, time left."""
        if not self._is_shown:
            return
        total, done = self._loop.total_steps, step - self._first
        rate = values[f"{self._unit}_per_second"]
        now = time.monotonic()
        left = (now - self._start) / done * (total - step)
        if not self._has_compiled:  # which the later lines do not count
            self._has_compiled, self._start, self._first = True, now, step
        progress.note(
            f"step {step:,} of {total:,} ({step / total:.0%}), "
            f"loss {values['loss/total']:.4g}, {rate:,.1f} {self._unit}/s, "
            f"waiting {values['waiting_share']:.0%}, {progress.duration(left)} left"
        )


def _bar(task: Task, loop: LoopConfig, first: int) -> Bar:
    """Progress in records, shown by the first process alone."""
    return Bar(
        total=loop.total_steps * loop.batch_size,
        done=first * loop.batch_size,
        unit=task.unit,
        name="train",
        is_shown=jax.process_index() == 0 and progress.draws_bars(),
    )


def _judge(
    task: Task,
    loop: LoopConfig,
    number: int,
    state: states.TrainState,
    log: MetricsLog,
    best: Best,
) -> bool:
    """Evaluate and draw with the averaged weights where a step is due for it.

    Returns:
        Whether it was due for either.
    """
    done = number == loop.total_steps

    def due(every: int) -> bool:
        return every > 0 and (number % every == 0 or done)

    scored = task.evaluate and due(loop.evaluate_every)
    drawn = task.pictures and due(loop.picture_every)
    if not (scored or drawn):
        return False
    average = sharding.gather(states.inference_variables(state))
    if task.evaluate and scored:
        scores = task.evaluate(average)
        log.write(number, {f"eval/{name}": v for name, v in scores.items()})
        best.offer(number, scores, average)
    if task.pictures and drawn:
        log.picture(number, "predictions", task.pictures(average))
    return True


def _dump(
    task: Task,
    mesh: jax.sharding.Mesh,
    workdir: Path,
    bad: tuple[int, dict[str, float]],
) -> str:
    """Read the bad step's batch again and leave it behind."""
    number, metrics = bad
    with task.batches(number - 1, sharding.batch(mesh)) as stream:
        batch = next(iter(stream))
    return dump_failure(workdir, number, batch, metrics, task.describe)


class _Report:
    """Metrics since the last line of the log.

    ``bad`` is the first step whose loss or gradient was not finite, with its metrics.
    """

    def __init__(self) -> None:
        self.bad: tuple[int, dict[str, float]] | None = None
        self._pending: list[tuple[int, steps.Metrics]] = []
        self.restart_clock()

    def add(self, number: int, metrics: steps.Metrics) -> None:
        self._pending.append((number, metrics))

    def summary(self, unit: str, batch_size: int) -> dict[str, float]:
        """Means of what was added, and the rate; waits for the device."""
        numbers, metrics = zip(*self._pending, strict=True)
        values = jax.device_get(metrics)
        elapsed = time.perf_counter() - self._since
        for number, value in zip(numbers, values, strict=True):
            finite = np.isfinite([value["loss/total"], value["gradient_norm"]]).all()
            if self.bad is None and not finite:
                self.bad = number, {name: float(v) for name, v in value.items()}
        means = {
            name: float(np.mean([value[name] for value in values]))
            for name in values[0]
        }
        means[f"{unit}_per_second"] = len(values) * batch_size / elapsed
        self._pending = []
        self.restart_clock()
        return means

    def restart_clock(self) -> None:
        """Leave out of the rate what has happened since."""
        self._since = time.perf_counter()
