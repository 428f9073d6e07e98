"""Speed of a network and its training step beside PyTorch, and beside the machine.

Three programs: the forward pass of inference; the network's step, which is forward,
backward and AdamW with the mean square of the outputs as loss; and the training step as
``twohand train`` runs it, with augmentation, all losses and averaged weights. PyTorch
has the first two, of a network with the same layers, in channels-last memory; on a GPU
compiled by ``torch.compile``. The last one is all there is of a prior or feature
network. Data are random numbers on the device.

FLOPs are those of each program as traced: XLA's cost analysis before optimisation, of
the forward pass and of the steps alike. MFU is their rate over that of one large matrix
product in the same dtype, measured in the same run. Memory is the compiled program's
own analysis: arguments, results and temporaries.
"""

import argparse
import sys
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from twohand_jax import arguments, experiments
from twohand_jax.benchmarks import report
from twohand_jax.benchmarks.report import (
    DTYPES,
    OURS,
    PEER,
    ProgramRow,
    Report,
    Timing,
    ceiling,
    interleaved,
    program_table,
)
from twohand_jax.benchmarks.steps import (
    FORWARD,
    NETWORK_STEP,
    TRAINING_STEP,
    CompiledProgram,
    network_programs,
    training_step,
)
from twohand_jax.errors import InputError
from twohand_jax.experiments.regressor import RegressorExperiment
from twohand_jax.models.hamer import HamerConfig
from twohand_jax.models.regressor import RegressorConfig

Calls = dict[str, Callable[[], object]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The benchmark's flags; the command line hands over the parsed config."""
    option = parser.add_argument
    option("--config", default="configs/paper.py", help="Python file, as of train")
    option("--batch", type=arguments.positive, default=8)
    option(
        "--seconds",
        type=arguments.above_zero,
        default=60.0,
        help="for each line of the table",
    )
    option(
        "--dtypes",
        nargs="+",
        choices=DTYPES,
        help="float32 on a CPU, where the other takes minutes a step; else both",
    )
    option("--peers", choices=["all", "none"], default="all")
    option(
        "--threads",
        type=arguments.positive,
        default=2,
        help="threads of PyTorch on a CPU",
    )


def run(args: argparse.Namespace) -> Report:
    """Speed, share of the ceiling, compile time and memory of each program."""
    rows = measure(
        args.config,
        batch=args.batch,
        dtypes=tuple(args.dtypes or _usual_dtypes()),
        seconds=args.seconds,
        peer=args.peers == "all",
        threads=args.threads,
    )
    return program_table(rows, what=f"Batch {args.batch}", unit="item")


def measure(
    config: Mapping[str, Any],
    *,
    batch: int,
    dtypes: tuple[str, ...] = DTYPES,
    seconds: float = 60.0,
    peer: bool = True,
    threads: int = 2,
    product: int | None = None,
) -> list[ProgramRow]:
    """Time every program of a config in every dtype, in turns with the peer.

    Args:
        config: parsed JSON; of a regressor or another network.
        batch: items of a batch.
        dtypes: of the regressor's activations; other networks are float32.
        seconds: rough time to spend on each program.
        peer: whether PyTorch runs beside.
        threads: threads of PyTorch on a CPU.
        product: side of the ceiling's matrices; None suits the device.

    Raises:
        InputError: the config is not usable.
        MissingDependencyError: the peer is wanted and it or torch is absent.
    """
    parsed = experiments.parse(config)
    regressor = isinstance(parsed, RegressorExperiment)
    if regressor and isinstance(parsed.model, HamerConfig):
        raise InputError(
            "The config's network is HaMeR; time it with `twohand benchmark hamer`."
        )
    if peer and regressor:
        report.require_peers("torch")
    rows = []
    for dtype in dtypes if regressor else DTYPES[:1]:
        changed = _changed(config, batch, dtype if regressor else None)
        limit = ceiling(dtype, product)
        programs: dict[str, CompiledProgram] = {}
        theirs: Calls = {}
        if regressor:
            model = experiments.parse_as(RegressorExperiment, changed).model
            assert isinstance(model, RegressorConfig)
            if peer:  # first, since it may be refused and compiling takes minutes
                theirs = torch_programs(model, batch, threads)
            programs = network_programs(model, batch)
        programs[TRAINING_STEP] = training_step(changed)
        for task, program in programs.items():
            calls = {OURS: program.call}
            if task in theirs:
                calls[PEER] = theirs[task]
            print(f"timing {task}, {dtype} …", file=sys.stderr, flush=True)
            timings = _timed(calls, seconds)
            rows.append(ProgramRow(task, dtype, batch, program, limit, timings))
    return rows


def torch_programs(model: RegressorConfig, batch: int, threads: int) -> Calls:
    """PyTorch's forward pass and network step of the same sizes."""
    from twohand_jax.benchmarks.peers import torch_regressor

    forward, step = torch_regressor.programs(
        model, batch, threads=threads, gpu=jax.default_backend() == "gpu"
    )
    return {FORWARD: forward, NETWORK_STEP: step}


def _usual_dtypes() -> tuple[str, ...]:
    return DTYPES[:1] if jax.default_backend() == "cpu" else DTYPES


def _changed(config: Mapping[str, Any], batch: int, dtype: str | None) -> dict:
    loop = {**config["train"], "batch_size": batch, "fsdp": 1}
    changed = {**config, "train": loop}
    if dtype is not None:
        changed["model"] = {**changed["model"], "dtype": dtype}
    return changed


def _timed(calls: Calls, seconds: float) -> dict[str, Timing]:
    once = interleaved(calls, repetitions=1, warmup=1).values()
    count = int(np.clip(1e3 * seconds / sum(t.minimum_ms for t in once), 2, 200))
    return interleaved(calls, repetitions=count, warmup=0)
