"""Speed of evaluation beside the same metrics in numpy, a picture at a time.

Three programs for each protocol: ``metrics``, the jitted comparison of a batch on the
device, true hands posed in it; ``scores``, the whole evaluation of estimates that are
there, with errors of single joints, overlap and occlusion, up to arrays on the host;
``network``, the same from records on the device, the shipped network estimating from
all cues. ``twohand evaluate`` itself prints its rate with reading and decoding.

The peers loop over pictures on the host. ``as published`` does what the original codes
do: for wrist and mcp the true hands are posed a picture at a time (InterWild and
IntagHand do so in their data sets; here with smplx), for freihand points are counted
one by one. ``numpy`` (``peers.numpy_metrics``) is written to be fast and is given the
posed true meshes. Joints are regressed from surfaces in all of them.
"""

import argparse
import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from twohand_jax import arguments, assets, mano
from twohand_jax.benchmarks import report
from twohand_jax.benchmarks.examples import Examples, examples
from twohand_jax.benchmarks.report import Report, Timing, interleaved
from twohand_jax.evaluation import evaluator, protocols, truth
from twohand_jax.evaluation import run as evaluation
from twohand_jax.types import ManoModel, ManoParams, Mean

TASKS = METRICS, SCORES, NETWORK = "metrics", "scores", "network"
PROTOCOLS = ("wrist", "mcp", "freihand")
OURS, NUMPY, PUBLISHED = "twohand_jax", "numpy", "as published"
PEERS = {"all": (NUMPY, PUBLISHED), "numpy": (NUMPY,), "none": ()}
PEER_PICTURES = 64
TOLERANCE = 2e-3  # millimetres; F-scores and areas are far below
CANVAS = 256  # side in pixels, as the shipped network was trained
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
Program = Callable[[], Any]


class EvaluationRow(NamedTuple):
    """Milliseconds of one picture in a batch, by program."""

    protocol: str
    task: str
    batch: int
    timings: dict[str, Timing]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The benchmark's flags."""
    option = parser.add_argument
    option("--protocols", nargs="+", choices=PROTOCOLS, default=PROTOCOLS)
    option("--batches", type=arguments.positive, nargs="+", default=[64, 256])
    option(
        "--seconds",
        type=arguments.above_zero,
        default=4.0,
        help="for each line of the table",
    )
    option("--peers", choices=sorted(PEERS), default="all")
    option("--programs", nargs="+", choices=TASKS, default=list(TASKS))
    option(
        "--clock",
        choices=sorted(CLOCKS),
        default="wall",
        help="cpu: time of all cores, which a busy machine changes little",
    )
    option(
        "--threads",
        type=arguments.positive,
        default=2,
        help="threads of PyTorch, for smplx",
    )


def run(args: argparse.Namespace) -> Report:
    """Pictures a second of every program, after a check that figures agree."""
    names = PEERS[args.peers]
    rows = measure(
        names=tuple(args.protocols),
        batches=tuple(args.batches),
        seconds=args.seconds,
        peer_names=names,
        tasks=tuple(args.programs),
        threads=args.threads,
        clock=args.clock,
    )
    return Report(
        title=f"Evaluation on {jax.default_backend()}, images a second of the "
        f"{args.clock} clock: best (median); × is of the best",
        head=["protocol", "program", "batch", OURS, *names]
        + [f"× {name}" for name in names],
        lines=[_cells(row, names) for row in rows],
        rows=[
            {
                "protocol": row.protocol,
                "program": row.task,
                "batch": row.batch,
                "clock": args.clock,
                "milliseconds_an_image": {
                    name: timing._asdict() for name, timing in row.timings.items()
                },
            }
            for row in rows
        ],
        packages=["scipy", "smplx"],
    )


def measure(
    *,
    names: tuple[str, ...],
    batches: tuple[int, ...],
    seconds: float,
    peer_names: tuple[str, ...],
    tasks: tuple[str, ...] = TASKS,
    threads: int = 2,
    clock: str = "wall",
) -> list[EvaluationRow]:
    """Compare figures, then time every program in turns.

    Args:
        names: of the protocols.
        batches: numbers of pictures; the peers get at most ``PEER_PICTURES`` of them.
        seconds: rough time to spend on each line.
        peer_names: which peers run beside the metrics.
        tasks: which of our programs to time.
        threads: threads of PyTorch.
        clock: ``wall``, or ``cpu`` for the time of all cores together.

    Raises:
        MissingDependencyError: a peer or its package is absent.
        RuntimeError: a peer finds other figures.
    """
    if peer_names:
        wanted = ("torch", "smplx") if PUBLISHED in peer_names else ()
        report.require_peers(*wanted)
    # Named like MANO, so that joints are regressed from surfaces as with MANO.
    model = dataclasses.replace(mano.load(), name="MANO")
    rows = []
    for name in names:
        for batch in batches:
            given = examples(model, batch, canvas=CANVAS)
            beside = {
                peer_name: peer(peer_name, name, model, given, threads=threads)
                for peer_name in peer_names
            }
            compare_figures(name, model, given, beside)
            for task in tasks:
                programs = {OURS: ours(task, name, model, given)}
                programs |= beside if task == METRICS else {}
                timings = _timed(programs, batch, seconds, CLOCKS[clock])
                rows.append(EvaluationRow(name, task, batch, timings))
    return rows


def compare_figures(
    name: str, model: ManoModel, given: Examples, beside: Mapping[str, Program]
) -> None:
    """Check that the peers find the figures that the protocol finds.

    Args:
        name: of the protocol.
        model: hand model.
        given: pictures; of them the first ``PEER_PICTURES`` are compared.
        beside: the peers' programs, which return figures.

    Raises:
        RuntimeError: a figure differs by more than ``TOLERANCE``.
    """
    few = jax.tree.map(
        lambda leaf: np.asarray(leaf)[:PEER_PICTURES],
        ours(METRICS, name, model, given)(),
    )
    wanted = protocols.metric_values(
        {
            metric: Mean(*(part.sum(axis=0) for part in mean))
            for metric, mean in few.items()
        }
    )
    for program_name, program in beside.items():
        for figure, value in program().items():
            if not abs(value - wanted[figure]) <= TOLERANCE:
                raise RuntimeError(
                    f"{program_name} finds {value} for {figure} of protocol {name}, "
                    f"{OURS} {wanted[figure]}; they are to be the same."
                )


def ours(task: str, name: str, model: ManoModel, given: Examples) -> Program:
    """A program of this library, for the whole batch.

    Args:
        task: ``metrics``, ``scores`` or ``network``.
        name: of the protocol.
        model: hand model.
        given: pictures.
    """
    batch, prediction = given.batch, given.prediction
    if task == METRICS:
        compare = protocols.get(name).compare
        pose = jax.jit(jax.vmap(truth.posed_truth, in_axes=(0, None)))
        each = jax.jit(jax.vmap(compare, in_axes=(0, 0, None, 0)))
        return lambda: jax.block_until_ready(
            each(prediction, pose(batch.targets, model), model, batch.weight)
        )
    score, method = evaluator.scorer(protocols.get(name)), lambda batch: prediction
    if task == NETWORK:
        *_, method = evaluation.regressor(assets.REGRESSOR, hand=model).methods.values()
    return lambda: list(evaluator.scored({task: method}, score, [batch], model))


def peer(
    name: str, protocol: str, model: ManoModel, given: Examples, *, threads: int
) -> Program:
    """A peer's program, picture after picture, which returns figures.

    Args:
        name: ``numpy`` or ``as published``.
        protocol: name of the protocol.
        model: hand model.
        given: pictures; the peer gets the first ``PEER_PICTURES``.
        threads: threads of PyTorch.
    """
    from twohand_jax.benchmarks.peers import numpy_metrics

    prediction, targets, vertices = jax.device_get(
        jax.tree.map(
            lambda leaf: leaf[:PEER_PICTURES],
            (given.prediction, given.batch.targets, given.truth.vertices),
        )
    )
    pictures = numpy_metrics.pictures(prediction, targets, vertices)
    compute = numpy_metrics.METRICS[protocol]
    regressor = np.asarray(model.joint_regressor)
    if name == NUMPY:
        return lambda: compute(pictures, regressor)
    if protocol == "freihand":
        return lambda: numpy_metrics.freihand_by_points(pictures, regressor)
    from twohand_jax.benchmarks.peers import smplx_mano

    poses = [ManoParams(*row) for row in zip(*targets.mano, strict=True)]
    pose = smplx_mano.poser(model, threads)
    return lambda: compute(
        (
            one._replace(true_vertices=pose(hands, one.fitted))
            for one, hands in zip(pictures, poses, strict=True)
        ),
        regressor,
    )


def _timed(
    programs: Mapping[str, Program],
    batch: int,
    seconds: float,
    clock: Callable[[], float],
) -> dict[str, Timing]:
    """Time of one picture by program."""
    pictures = {
        name: batch if name == OURS else min(batch, PEER_PICTURES) for name in programs
    }
    once = interleaved(programs, repetitions=1, warmup=1).values()
    count = int(np.clip(1e3 * seconds / sum(t.minimum_ms for t in once), 3, 500))
    return {
        name: Timing(*(value / pictures[name] for value in timing))
        for name, timing in interleaved(
            programs, repetitions=count, warmup=0, clock=clock
        ).items()
    }


def _cells(row: EvaluationRow, names: tuple[str, ...]) -> list[str]:
    own, beside = row.timings[OURS], [row.timings.get(name) for name in names]
    speeds = [
        f"{1e3 / t.minimum_ms:.4g} ({1e3 / t.median_ms:.4g})" if t else "-"
        for t in (own, *beside)
    ]
    ratios = [f"{t.minimum_ms / own.minimum_ms:.1f}" if t else "-" for t in beside]
    return [row.protocol, row.task, str(row.batch), *speeds, *ratios]
