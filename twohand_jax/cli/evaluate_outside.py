"""``twohand evaluate --predictions`` and ``--peer``: another system beside ours."""

import argparse
from pathlib import Path


def run(args: argparse.Namespace) -> None:
    """Evaluate the other system, and ours on the hands that it found."""
    from twohand_jax import assets, mano
    from twohand_jax.data import shards
    from twohand_jax.errors import InputError
    from twohand_jax.evaluation import outputs
    from twohand_jax.evaluation.outside import comparison
    from twohand_jax.train import distributed

    if args.predictions is not None and args.peer is not None:
        raise InputError("--predictions and --peer are two systems: give one of them.")
    if args.refine:
        raise InputError(
            "--refine compares this library's own estimates: give it without "
            "--predictions and --peer."
        )
    directory = args.model or assets.REGRESSOR
    source = shards.open_split(args.dataset, args.split).dataset
    name = args.peer or args.predictions.stem
    default = Path("results") / f"{source}-{args.split}-{args.protocol}-{name}"
    out = args.out or default
    found = comparison.compare_set(
        directory,
        args.dataset,
        args.split,
        args.protocol,
        hand=mano.load(args.mano),
        predictions=args.predictions,
        workers=args.workers,
        out=out,
        batch_size=args.batch,
    )
    if not distributed.is_first():
        return
    title = f"{name} and {directory} on {args.dataset} ({args.split})"
    evaluation = found.evaluation
    table = outputs.Table(
        evaluation.results, title=title, rate=evaluation.images_per_second
    )
    print(f"{table.summary()}\n\n{found.coverage}")
    for path in outputs.write(table, out, plots=args.plots):
        print(f"wrote {path}")
