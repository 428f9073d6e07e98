"""``twohand train``: train the regressor or the prior, or go on training."""

import argparse
import signal
from typing import Any

from twohand_jax import paths
from twohand_jax.cli import common
from twohand_jax.errors import InputError
from twohand_jax.progress import say


def add(subparsers: Any) -> None:
    """The command's flags."""
    parser = subparsers.add_parser(
        "train",
        help="train or resume",
        description="Train a network from a config, or resume in an old --workdir.",
        examples=(
            "twohand train --config configs/open.py --workdir workdirs/open",
            "twohand train --config configs/paper.py --dry-run",
            "twohand train --config configs/open.py --workdir workdirs/short \\\n"
            "      --config.train.total_steps=1000",
        ),
    )
    common.add_config(parser)
    option = parser.add_argument
    option(
        "--workdir", type=paths.given, help="checkpoints, metrics, the trained model"
    )
    option(
        "--resume",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="go on from the newest checkpoint of the workdir (the default)",
    )
    option(
        "--dry-run",
        action="store_true",
        help="print parameters, FLOPs, memory and shardings; train nothing",
    )
    common.add_processes(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Train and write the averaged weights as a model directory; the exit code."""
    from twohand_jax import experiments
    from twohand_jax.evaluation import monitors
    from twohand_jax.train import distributed, dry_run, loop, sharding, state
    from twohand_jax.weights import native

    distributed.initialize(
        args.distributed, args.coordinator, args.processes, args.process
    )
    common.enable_compilation_cache()
    config = native.current(common.load_config(args.config, args.set).to_dict())
    experiment = experiments.parse(config)
    experiments.check_runnable(experiment)
    if args.workdir is None and not args.dry_run:
        raise InputError("Give a --workdir for checkpoints, metrics and the model.")
    if args.dry_run:
        print(dry_run.describe(experiments.outline(experiment)))
        return 0
    if not args.resume and (args.workdir / "checkpoints").exists():
        raise InputError(
            f"{args.workdir} holds checkpoints, and --no-resume forbids to go on from "
            "them; give a new --workdir."
        )
    with common.alone(args.workdir, "twohand train", "best", "model", "pictures"):
        made = experiments.run(experiment)
        stop = distributed.StopRequest()
        final = loop.train(
            monitors.watched(made.task, experiment),
            optimizer=made.optimizer,
            ema_decay=made.ema_decay,
            loop=made.loop,
            workdir=args.workdir,
            config=config,
            stop=stop,
        )
        out = args.workdir / "model"
        average = sharding.gather(state.inference_variables(final))
        if distributed.is_first():
            native.save(out, average, config)
            say(f"Trained to step {int(final.step)}; wrote {out} and {args.workdir}.")
    if int(final.step) == made.loop.total_steps:
        return 0
    # As of a process that a signal ends: all is saved, but it is not done.
    return 128 + (stop.signal or signal.SIGTERM)
