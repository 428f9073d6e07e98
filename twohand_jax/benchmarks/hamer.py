"""Speed of HaMeR's network beside PyTorch, and beside the machine.

The network from crops to pose, shape and camera, at several batch sizes. Weights and
crops are random numbers, in the dtype that is timed. PyTorch runs a network with the
same weights, on a GPU compiled by ``torch.compile``. FLOPs and MFU are counted as in
``benchmarks.cues``.
"""

import argparse
import dataclasses
import sys
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from twohand_jax import arguments
from twohand_jax.benchmarks import report, steps
from twohand_jax.benchmarks.cues import backbone_flops
from twohand_jax.benchmarks.report import (
    DTYPES,
    OURS,
    PEER,
    ProgramRow,
    Report,
    ceiling,
    interleaved,
    program_table,
)
from twohand_jax.benchmarks.steps import CompiledProgram
from twohand_jax.models import apply
from twohand_jax.models.apply import Network, Variables
from twohand_jax.models.hamer import CAMERA, POSE, SHAPE, HamerConfig, HamerValues
from twohand_jax.weights.hamer import RELEASED

TASK = "network"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The benchmark's flags."""
    option = parser.add_argument
    option(
        "--batches",
        nargs="+",
        type=arguments.positive,
        default=[1, 4],
        metavar="N",
        help="crops at a time; 1 and 4",
    )
    option("--repetitions", type=arguments.positive, default=5)
    option(
        "--dtypes",
        nargs="+",
        choices=DTYPES,
        help="float32 on a CPU, bfloat16 elsewhere, as it is used",
    )
    option("--peers", choices=["all", "none"], default="all")
    option(
        "--threads",
        type=arguments.positive,
        default=2,
        help="threads of PyTorch on a CPU",
    )


def run(args: argparse.Namespace) -> Report:
    """Crops a second and share of the ceiling at each batch size."""
    usual = DTYPES[0] if jax.default_backend() == "cpu" else DTYPES[1]
    rows = []
    for dtype in args.dtypes or [usual]:
        rows += measure(
            dataclasses.replace(RELEASED, dtype=dtype),
            batches=args.batches,
            repetitions=args.repetitions,
            peer=args.peers == "all",
            threads=args.threads,
        )
    return program_table(rows, what="HaMeR, ViT-H/16", unit="crop")


def measure(
    config: HamerConfig,
    *,
    batches: Sequence[int],
    repetitions: int = 5,
    peer: bool = True,
    threads: int = 2,
    product: int | None = None,
) -> list[ProgramRow]:
    """Time the network in turns with the peer.

    Args:
        config: of the network; its dtype is that of the weights, too.
        batches: crops at a time, a row for each.
        repetitions: timed calls of each program, after one that is not.
        peer: whether PyTorch runs beside.
        threads: threads of PyTorch on a CPU.
        product: side of the ceiling's matrices; None suits the device.

    Raises:
        MissingDependencyError: the peer is wanted and it or torch is absent.
    """
    if peer:
        report.require_peers("torch")
    limit = ceiling(config.dtype, product)
    variables, theirs = random_variables(config), None
    if peer:
        from twohand_jax.benchmarks.peers import torch_hamer

        gpu = jax.default_backend() == "gpu"
        theirs = torch_hamer.programs(config, threads=threads, gpu=gpu)
    rows = []
    for batch in batches:
        program = network_program(config, batch, variables)
        calls: dict[str, Callable[[], object]] = {OURS: program.call}
        if theirs is not None:
            calls[PEER] = theirs(batch)
        timings = interleaved(calls, repetitions=repetitions, warmup=1)
        task = f"{TASK}, batch {batch}"
        rows.append(ProgramRow(task, config.dtype, batch, program, limit, timings))
        best = ", ".join(f"{k} {t.minimum_ms:.4g} ms" for k, t in timings.items())
        print(f"{config.dtype} {task}: {best}", file=sys.stderr, flush=True)
    limit = max(limit, ceiling(config.dtype, product))
    return [row._replace(ceiling=limit) for row in rows]


def values_network(config: HamerConfig) -> Network:
    """The network from crops to numbers, as pure functions."""
    return apply.network(lambda rngs: HamerValues(config, rngs=rngs))


def random_variables(config: HamerConfig) -> Variables:
    """Weights of random numbers in the config's dtype, gigabytes of the released."""
    dtype, shapes = jnp.dtype(config.dtype), apply.shapes(values_network(config))
    half = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, dtype), shapes.params
    )
    return Variables(steps.weights(half), steps.weights(shapes.batch_stats))


def network_program(
    config: HamerConfig, batch: int, variables: Variables
) -> CompiledProgram:
    """The network on some crops, compiled."""
    dtype, network = jnp.dtype(config.dtype), values_network(config)
    side = config.crop_size
    crops = steps.filled(jax.ShapeDtypeStruct((batch, side, side, 3), dtype))
    forward = jax.jit(lambda variables, crops: network.apply(variables, crops)[0])
    program = steps.compile_program(forward, (), variables, crops)
    return program._replace(flops=batch * flops(config))


def flops(config: HamerConfig) -> int:
    """Floating-point operations for one crop."""
    size, context = config.decoder, config.vit.width
    inner, tokens = size.heads * size.head_width, config.vit.grid[0]
    tokens = tokens * config.vit.grid[1]
    own = 4 * inner * size.width + 2 * size.width * size.mlp
    looks = 2 * inner * context * tokens + 2 * inner * tokens
    readout = size.width * (POSE + SHAPE + CAMERA)
    decoder = 2 * (size.layers * (own + looks) + readout)
    return backbone_flops(config.vit) + config.iterations * decoder
