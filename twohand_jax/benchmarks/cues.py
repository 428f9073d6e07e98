"""Speed of a Sapiens network beside PyTorch, and beside the machine.

Two programs: the backbone, and the whole network with its head. Weights and pictures
are random numbers, in the dtype that is timed. PyTorch runs a network with the same
weights, on a GPU compiled by ``torch.compile``.

FLOPs are those of the matrix products and convolutions, two for each multiplication,
counted from the sizes: compilers see neither into a scan nor into a fused kernel. MFU
is their rate over that of one large matrix product in the same dtype, the better one
of before and after.
"""

import argparse
import sys
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from twohand_jax import arguments
from twohand_jax.benchmarks import report, steps
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
from twohand_jax.models.apply import Variables
from twohand_jax.models.sapiens import (
    KINDS,
    POSE,
    SIZES,
    Sapiens,
    SapiensConfig,
    released,
)
from twohand_jax.models.vit import Backbone, VitConfig

BACKBONE, NETWORK = "backbone", "network"
Calls = Mapping[str, Callable[[], object]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The benchmark's flags."""
    option = parser.add_argument
    option("--size", choices=list(SIZES), default="0.3b")
    option("--kind", choices=KINDS, default=POSE)
    option("--batch", type=arguments.positive, default=1)
    option("--repetitions", type=arguments.positive, default=5)
    option("--dtypes", nargs="+", choices=DTYPES, default=list(DTYPES))
    option("--peers", choices=["all", "none"], default="all")
    option(
        "--threads",
        type=arguments.positive,
        default=2,
        help="threads of PyTorch on a CPU",
    )


def run(args: argparse.Namespace) -> Report:
    """Pictures a second and share of the ceiling of each program."""
    rows = []
    for dtype in args.dtypes:
        config = released(args.kind, args.size, dtype=dtype)
        rows += measure(
            config,
            batch=args.batch,
            repetitions=args.repetitions,
            peer=args.peers == "all",
            threads=args.threads,
        )
    what = f"Sapiens {args.size} {args.kind}, batch {args.batch}"
    return program_table(rows, what=what, unit="image")


def measure(
    config: SapiensConfig,
    *,
    batch: int,
    repetitions: int = 5,
    peer: bool = True,
    threads: int = 2,
    product: int | None = None,
) -> list[ProgramRow]:
    """Time backbone and network in turns with the peer.

    Args:
        config: of the network; its dtype is that of the weights, too.
        batch: pictures at a time.
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
    _tell(f"{config.dtype}: matrix product {limit / 1e9:.4g} GFLOP/s")
    ours = network_programs(config, batch)
    theirs = torch_programs(config, batch, threads) if peer else {}
    rows = []
    for task, program in ours.items():
        calls = {OURS: program.call} | ({PEER: theirs[task]} if peer else {})
        timings = interleaved(calls, repetitions=repetitions, warmup=1)
        rows.append(ProgramRow(task, config.dtype, batch, program, limit, timings))
        best = ", ".join(f"{k} {t.minimum_ms:.4g} ms" for k, t in timings.items())
        _tell(f"{config.dtype} {task}: {best}")
    limit = max(limit, ceiling(config.dtype, product))
    return [row._replace(ceiling=limit) for row in rows]


def network_programs(config: SapiensConfig, batch: int) -> dict[str, CompiledProgram]:
    """Backbone and network, compiled."""
    dtype = jnp.dtype(config.dtype)
    modules = {BACKBONE: Backbone, NETWORK: Sapiens}
    shapes = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, dtype),
        apply.shapes(apply.network(lambda rngs: Sapiens(config, rngs=rngs))),
    )
    weights = steps.weights(shapes.params)
    own = {BACKBONE: weights["backbone"], NETWORK: weights}
    pictures = steps.filled(jax.ShapeDtypeStruct((batch, *config.image, 3), dtype))
    return {
        task: _compiled(module, config, Variables(own[task], {}), pictures)._replace(
            flops=batch * flops(config)[task]
        )
        for task, module in modules.items()
    }


def _compiled(
    module: Any, config: SapiensConfig, variables: Variables, pictures: Array
) -> CompiledProgram:
    network = apply.network(lambda rngs: module(config, rngs=rngs))
    forward = jax.jit(lambda variables, pictures: network.apply(variables, pictures)[0])
    return steps.compile_program(forward, (), variables, pictures)


def flops(config: SapiensConfig) -> dict[str, float]:
    """Floating-point operations of each program for one picture."""
    backbone, pixels = backbone_flops(config), config.grid[0] * config.grid[1]
    head, inputs = 0, config.width
    for outputs in config.deconvs:
        head += 2 * pixels * 16 * inputs * outputs
        pixels, inputs = 4 * pixels, outputs
    for outputs in (*config.convs, config.outputs):
        head += 2 * pixels * inputs * outputs
        inputs = outputs
    return {BACKBONE: backbone, NETWORK: backbone + head}


def backbone_flops(config: VitConfig) -> int:
    """Floating-point operations of a vision Transformer for one picture."""
    width, tokens = config.width, config.grid[0] * config.grid[1]
    products = 4 * width**2 + 2 * width * config.mlp
    block = 2 * tokens * products + 4 * tokens**2 * width
    return 6 * tokens * config.patch**2 * width + config.layers * block


def torch_programs(config: SapiensConfig, batch: int, threads: int) -> Calls:
    """PyTorch's backbone and network of the same sizes."""
    from twohand_jax.benchmarks.peers import torch_sapiens

    backbone, network = torch_sapiens.programs(
        config, batch, threads=threads, gpu=jax.default_backend() == "gpu"
    )
    return {BACKBONE: backbone, NETWORK: network}


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
