"""``twohand prior compare``: a regressor's estimates before and after refinement."""

import argparse
from pathlib import Path
from typing import Any


def add(actions: Any) -> None:
    """The flags."""
    parser = actions.add_parser(
        "compare",
        help="estimates before and after refinement",
        description="What refinement does to a regressor's estimates of overlapping "
        "hands, beside plain descent on the collision energy without the prior.",
    )
    option = parser.add_argument
    option("--dataset", type=Path, required=True, metavar="DIR", help="of records")
    option("--split", default="test")
    option("--model", type=Path, metavar="DIR", help="the shipped one")
    option("--mano", type=Path, help="folder or .npz of the hand model")
    option("--pairs", type=int, default=500, help="how many hands")
    option("--out", type=Path, help="folder for the tables")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Print and write what refinement does to the estimates."""
    from twohand_jax import assets, build
    from twohand_jax.cli import common
    from twohand_jax.evaluation import report
    from twohand_jax.evaluation.prior import pair_features, refinement
    from twohand_jax.inference.prior import Prior
    from twohand_jax.mano import load
    from twohand_jax.models import apply
    from twohand_jax.weights import native

    common.enable_compilation_cache()
    directory = args.model or assets.REGRESSOR
    experiment = build.experiment(native.load_config(directory))
    network = build.regressor(experiment.model)
    variables = native.load(directory, apply.shapes(network))
    reader = build.reader(experiment, str(args.dataset), args.split, shuffle=False)
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
