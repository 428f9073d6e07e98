"""Speed of guided refinement beside the same algorithm in PyTorch.

Both invert the other hand to noise and denoise it under the gradient of the collision
energy, with the same weights, hand and step sizes. PyTorch runs it as InterHandGen's
release does, one pair after the other, so its time a pair is taken of a few pairs and
holds for any batch. Ours includes the gate and the way from the camera and back;
PyTorch's starts and ends in the prior's frame. The share of the nearest neighbours is
that of one search for each guided step; "contacts" adds normals and tests.
"""

import argparse
import functools
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from twohand_jax import arguments, collision, mano
from twohand_jax.benchmarks import examples, report
from twohand_jax.benchmarks.report import Report, Timing, interleaved
from twohand_jax.diffusion import guidance, representation
from twohand_jax.diffusion.ddim import DdimConfig, PriorParts
from twohand_jax.diffusion.gate import GateConfig
from twohand_jax.diffusion.refine import RefineConfig, Refined, refine
from twohand_jax.diffusion.representation import OTHER, REFERENCE
from twohand_jax.errors import InputError
from twohand_jax.inference.prior import Prior
from twohand_jax.models.denoiser import DenoiserConfig
from twohand_jax.types import LEFT, RIGHT, ManoModel, Prediction

OURS, PEER = "twohand_jax", "PyTorch"
PEER_PAIRS = 4
PAPER = RefineConfig()


class RefineRow(NamedTuple):
    """Milliseconds of one pair in a batch: whole programs and their parts."""

    batch: int
    compile_seconds: float
    timings: dict[str, Timing]
    parts: dict[str, Timing]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The benchmark's flags."""
    parser.add_argument(
        "--batches", type=arguments.positive, nargs="+", default=[1, 64, 1024]
    )
    parser.add_argument(
        "--steps", type=arguments.positive, default=42, help="guided DDIM steps"
    )
    parser.add_argument(
        "--seconds", type=arguments.above_zero, default=20.0, help="for each batch"
    )
    parser.add_argument("--peers", choices=["all", "none"], default="all")
    parser.add_argument(
        "--threads", type=arguments.positive, default=2, help="threads of PyTorch"
    )
    parser.add_argument(
        "--prior",
        help="model directory of a prior with InterHandGen's network; default: random "
        "weights of a quarter of its width",
    )


def run(args: argparse.Namespace) -> Report:
    """Pairs a second of both, and what nearest neighbours take of ours."""
    rows = measure(
        network_of(args.prior),
        batches=tuple(args.batches),
        config=configuration(args.steps),
        seconds=args.seconds,
        peer=args.peers == "all",
        threads=args.threads,
    )
    return Report(
        title=f"Refinement with {args.steps} guided steps on {jax.default_backend()}, "
        f"pairs a second: best (median). PyTorch's pairs go one by one; its figure is "
        f"of at most {PEER_PAIRS} of them.",
        head=["batch", "compile s", "ms a batch", OURS, PEER, "×", "nearest n."]
        + ["contacts"],
        lines=[_cells(row, args.steps) for row in rows],
        rows=[
            {
                "batch": row.batch,
                "compile_seconds": row.compile_seconds,
                "milliseconds_a_pair": _plain(row.timings),
                "milliseconds_a_pair_and_step": _plain(row.parts),
            }
            for row in rows
        ],
        packages=["smplx"],
    )


def network_of(directory: str | None) -> Prior:
    """The prior to time: both programs must know its network.

    Raises:
        InputError: the directory holds a network that the PyTorch program is not of.
    """
    if directory is None:
        return examples.random_prior(mano.load())
    prior = Prior.load(directory)
    if not isinstance(prior.sizes, DenoiserConfig):
        raise InputError(
            f"The prior in {directory} is a {type(prior.sizes).__name__}, but the "
            "PyTorch program beside has InterHandGen's network; name a prior trained "
            "with configs/prior.py:paper, or leave out --prior."
        )
    return prior


def configuration(steps: int) -> RefineConfig:
    """Exactly so many guided steps of every pair, no descent after."""
    return RefineConfig(
        ddim=DdimConfig(steps=steps),
        evidence=None,
        guidance=guidance.GuidanceConfig(
            across=PAPER.guidance.across,
            others=PAPER.guidance.others,
            limit=PAPER.guidance.limit,
        ),
        gate=GateConfig(when="always"),
    )


def measure(
    prior: Prior,
    *,
    batches: tuple[int, ...],
    config: RefineConfig,
    seconds: float,
    peer: bool = True,
    threads: int = 2,
) -> list[RefineRow]:
    """Time refinement of every batch size, in turns with the peer.

    Args:
        prior: and its hand model.
        batches: numbers of pairs.
        config: see ``configuration``.
        seconds: rough time to spend on each size.
        peer: whether PyTorch runs beside.
        threads: threads of PyTorch; this library uses all cores.

    Raises:
        MissingDependencyError: the peer is wanted and it, torch or smplx is absent.
    """
    if peer:
        report.require_peers("torch", "smplx")
    rows = []
    for batch in batches:
        given = examples.touching_pair(prior.model, batch)
        start = time.perf_counter()
        ours = compiled(prior, given, config)
        took = time.perf_counter() - start
        programs: dict[str, Callable[[], object]] = {OURS: ours}
        sizes = {OURS: batch}
        if peer:
            few = min(batch, PEER_PAIRS)
            problem = to_problem(prior, given, config)
            programs[PEER] = theirs(prior, problem, few, config, threads)
            sizes[PEER] = few
        whole = _a_pair(_timed(programs, seconds), sizes)
        parts = _timed(_parts(prior.model, given), seconds / 10)
        rows.append(
            RefineRow(batch, took, whole, _a_pair(parts, dict.fromkeys(parts, batch)))
        )
    return rows


def compiled(
    prior: Prior, prediction: Prediction, config: RefineConfig
) -> Callable[[], Refined]:
    """Our program, compiled."""
    given = (prior.parts, prior.model, prediction, jax.random.key(0))
    program = jax.jit(functools.partial(refine, config=config)).lower(*given).compile()
    return lambda: jax.block_until_ready(program(*given))


def to_problem(
    prior: Prior,
    prediction: Prediction,
    config: RefineConfig,
) -> Any:
    """The same pairs as PyTorch's program takes them, ``torch_refine.Problem``."""
    from twohand_jax.benchmarks.peers.torch_refine import Problem

    given = _problem(prior.parts, prior.model, prediction, config=config)
    return Problem(**{name: np.array(value) for name, value in given.items()})


@functools.partial(jax.jit, static_argnames="config")
def _problem(
    parts: PriorParts, model: ManoModel, prediction: Prediction, *, config: RefineConfig
) -> dict[str, Array]:
    hands = prediction.mano
    reference = jnp.full(len(prediction.score), LEFT)
    frame = representation.pair_frame(model, hands, reference)
    scene = guidance.pair_context(prediction, reference, frame)
    vectors = representation.pack(model, hands, reference)
    pair = representation.normalise(vectors, parts.statistics)
    sizes = guidance.step_sizes(
        config.ddim.steps, parts.statistics, parts.kind, config=config.guidance
    )
    return {
        "clean": pair[:, OTHER],
        "condition": pair[:, REFERENCE],
        "fixed": scene.reference_vertices,
        "sight": guidance.line_of_sight(scene),
        "sizes": sizes,
    }


def theirs(
    prior: Prior, problem: Any, count: int, config: RefineConfig, threads: int
) -> Callable[[], np.ndarray]:
    """PyTorch's program for the first ``count`` pairs, on the same kind of device."""
    from twohand_jax.benchmarks.peers import torch_refine

    refiner = torch_refine.refiner(
        prior, config, threads=threads, gpu=jax.default_backend() == "gpu"
    )
    cut = {name: getattr(problem, name)[:count] for name in problem._fields[:-1]}
    few = problem._replace(**cut)
    return lambda: refiner(few)


def _parts(model: ManoModel, prediction: Prediction) -> dict[str, Callable[[], object]]:
    """One search of all pairs of the batch, alone and with normals and tests."""
    sides = [prediction.geometry.vertices[:, side] for side in (RIGHT, LEFT)]
    faces = [model.faces[side] for side in (RIGHT, LEFT)]
    search, contacts = jax.jit(collision.nearest), jax.jit(collision.find_contacts)
    return {
        "nearest": lambda: jax.block_until_ready(search(*sides)),
        "contacts": lambda: jax.block_until_ready(contacts(*sides, *faces)),
    }


def _timed(
    programs: dict[str, Callable[[], object]], seconds: float
) -> dict[str, Timing]:
    once = interleaved(programs, repetitions=1, warmup=1).values()
    count = int(np.clip(1e3 * seconds / sum(t.minimum_ms for t in once), 2, 500))
    return interleaved(programs, repetitions=count, warmup=0)


def _a_pair(timings: dict[str, Timing], sizes: dict[str, int]) -> dict[str, Timing]:
    return {
        name: Timing(*(value / sizes[name] for value in timing))
        for name, timing in timings.items()
    }


def _plain(timings: dict[str, Timing]) -> dict[str, dict[str, float]]:
    return {name: timing._asdict() for name, timing in timings.items()}


def _cells(row: RefineRow, steps: int) -> list[str]:
    ours, peer = row.timings[OURS], row.timings.get(PEER)
    shares = [
        steps * row.parts[name].median_ms / ours.median_ms
        for name in ("nearest", "contacts")
    ]
    speeds = [
        f"{1e3 / t.minimum_ms:.3g} ({1e3 / t.median_ms:.3g})" if t else "-"
        for t in (ours, peer)
    ]
    ratio = f"{peer.minimum_ms / ours.minimum_ms:.1f}" if peer else "-"
    batch = f"{row.batch * ours.minimum_ms:.4g}"
    compiling = f"{row.compile_seconds:.1f}"
    return [str(row.batch), compiling, batch, *speeds, ratio] + [
        f"{share:.0%}" for share in shares
    ]
