"""``twohand evaluate``: metrics of a model on a record set, a row for each cue set."""

import argparse
from pathlib import Path
from typing import Any


def add(subparsers: Any) -> None:
    """The command's flags."""
    parser = subparsers.add_parser(
        "evaluate",
        help="metrics on a record set",
        description="Evaluate a model directory on a record set: image only, then with "
        "keypoints, segmentation and depth. Millimetres.",
    )
    parser.add_argument("--model", type=Path, help="model directory; the shipped one")
    parser.add_argument("--dataset", required=True, help="directory of records")
    parser.add_argument("--split", default="test")
    parser.add_argument("--protocol", default="wrist", choices=["wrist"])
    parser.add_argument("--mano", type=Path, help="folder or .npz of the hand model")
    parser.add_argument("--out", type=Path, help="folder for the table")
    refine = parser.add_argument_group("refinement by the two-hand prior")
    refine.add_argument(
        "--refine",
        action="store_true",
        help="compare estimates of overlapping hands before and after refinement",
    )
    refine.add_argument("--prior", type=Path, help="model directory; the shipped one")
    refine.add_argument("--pairs", type=int, default=500, help="how many hands")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Evaluate, print the table and write it."""
    from twohand_jax import assets, build, mano
    from twohand_jax.cli import common, evaluate_refined
    from twohand_jax.evaluation import evaluator, report
    from twohand_jax.models import apply
    from twohand_jax.weights import native

    common.enable_compilation_cache()
    directory = args.model or assets.REGRESSOR
    experiment = build.experiment(native.load_config(directory))
    network = build.regressor(experiment.model)
    variables = native.load(directory, apply.shapes(network))
    reader = build.reader(experiment, args.dataset, args.split, shuffle=False)
    if args.refine:
        evaluate_refined.run(args, experiment, network, variables, reader)
        return
    compute = evaluator.batch_metrics(
        network,
        crop=experiment.crop,
        protocol=args.protocol,
        relative=experiment.model.transnet is not None,
    )
    rows = evaluator.evaluate(
        compute,
        variables,
        reader.once(),
        mano.load(args.mano),
        progress="evaluate",
    )
    title = (
        f"{directory} on {args.dataset} ({args.split}), protocol {args.protocol}, mm"
    )
    print(f"{title}\n\n{report.markdown(rows)}")
    if args.out is not None:
        for path in report.write(rows, args.out, name=args.protocol, title=title):
            print(f"wrote {path}")
