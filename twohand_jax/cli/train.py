"""``twohand train``: train, or go on training."""

import argparse
import functools
from pathlib import Path
from typing import Any


def add(subparsers: Any) -> None:
    """The command's flags."""
    parser = subparsers.add_parser(
        "train",
        help="train or resume",
        description="Train a network from a config, or resume in an old --workdir.",
    )
    parser.add_argument(
        "--config", required=True, help="Python file, e.g. configs/open.py"
    )
    parser.add_argument(
        "--workdir", required=True, type=Path, help="checkpoints, metrics"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="SECTION.FIELD=VALUE",
        help="change a field of the config; may be repeated",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Train and write the averaged weights as a model directory."""
    from twohand_jax import build, mano
    from twohand_jax.cli import common, configs
    from twohand_jax.data import batching
    from twohand_jax.evaluation import evaluator
    from twohand_jax.train import loop, optim, state
    from twohand_jax.weights import native

    common.enable_compilation_cache()
    config = configs.load(args.config, args.set).to_dict()
    experiment = build.experiment(config)
    network = build.regressor(experiment.model)
    model = mano.load()
    train = build.reader(experiment, experiment.data.train, "train", shuffle=True)
    test = build.reader(experiment, experiment.data.test, "test", shuffle=False)
    relative = experiment.model.transnet is not None
    compute = evaluator.batch_metrics(network, crop=experiment.crop, relative=relative)

    def batches(step: int, sharding: Any) -> batching.Prefetcher:
        put = functools.partial(batching.to_global, sharding=sharding)
        return batching.Prefetcher(train.batches(step), put)

    def evaluate(variables: Any) -> dict[str, float]:
        rows = evaluator.evaluate(compute, variables, test.once(), model)
        return {
            f"{row}/{name}": value
            for row, values in rows.items()
            for name, value in values.items()
        }

    final = loop.train(
        network=network,
        model=model,
        optimizer=optim.optimizer(experiment.optim),
        step_config=build.step_config(experiment),
        loop=experiment.train,
        batches=batches,
        evaluate=evaluate,
        workdir=args.workdir,
        config=config,
    )
    out = args.workdir / "model"
    native.save(out, state.inference_variables(final), config)
    print(f"Trained to step {int(final.step)}; wrote {out} and {args.workdir}.")
