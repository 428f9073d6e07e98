"""``twohand evaluate --refine``: estimates before and after refinement."""

import argparse
from typing import Any


def run(
    args: argparse.Namespace, experiment: Any, network: Any, variables: Any, reader: Any
) -> None:
    """Print and write what refinement does to the estimates."""
    from twohand_jax.evaluation import pair_features, refinement, report
    from twohand_jax.inference.prior import Prior
    from twohand_jax.mano import load

    model = load(args.mano)
    prior = Prior.load(args.prior, model=model)
    encoder = pair_features.Encoder.load(model=model)
    relative = experiment.model.transnet is not None
    pairs = refinement.collect(
        network,
        variables,
        reader.once(),
        model,
        crop=experiment.crop,
        count=args.pairs,
        relative=relative,
    )
    title = (
        f"{len(pairs.keypoints)} pairs of overlapping hands of {args.dataset} "
        f"({args.split}), protocol wrist; errors and depths in mm, volumes in cm³"
    )
    print(title)
    for name, one in refinement.cases(pairs, model).items():
        rows = refinement.table(prior.parts, model, one, features=encoder)
        print(f"\n{name}\n\n{report.markdown(rows, columns=refinement.COLUMNS)}")
        if args.out is not None:
            for path in report.write(
                rows,
                args.out,
                name=f"refine-{name.split()[0]}",
                title=f"{title}: {name}",
                columns=refinement.COLUMNS,
            ):
                print(f"wrote {path}")
