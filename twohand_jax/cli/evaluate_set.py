"""``twohand evaluate --dataset``: one model, one record set, one protocol."""

import argparse
from pathlib import Path


def run(args: argparse.Namespace) -> None:
    """Evaluate, print the table, and write it with scores and plots."""
    from twohand_jax import assets, mano
    from twohand_jax.data import shards
    from twohand_jax.evaluation import outputs, run
    from twohand_jax.inference.prior import Prior
    from twohand_jax.train import distributed

    hand = mano.load(args.mano)
    directory = args.model or assets.REGRESSOR
    source = shards.open_split(args.dataset, args.split).dataset
    out = args.out or Path("results") / f"{source}-{args.split}-{args.protocol}"
    found = run.evaluate_set(
        directory,
        args.dataset,
        args.split,
        args.protocol,
        hand=hand,
        refine=Prior.load(args.prior, model=hand) if args.refine else None,
        labels=args.labels,
        out=out,
        batch_size=args.batch,
    )
    if not distributed.is_first():
        return
    title = f"{directory} on {args.dataset} ({args.split})"
    table = outputs.Table(found.results, title=title, rate=found.images_per_second)
    print(table.summary())
    for path in outputs.write(table, out, plots=args.plots):
        print(f"wrote {path}")
