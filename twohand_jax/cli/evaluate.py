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
    names = "wrist, mcp, mcp_scaled, hic, freihand or ho3d"
    parser.add_argument("--protocol", default="wrist", help=names)
    parser.add_argument("--mano", type=Path, help="folder or .npz of the hand model")
    parser.add_argument("--out", type=Path, help="folder for the table")
    server = parser.add_argument_group("benchmark servers (freihand, ho3d)")
    server.add_argument(
        "--submission", type=Path, help="write estimates to this pred.json instead"
    )
    server.add_argument("--list", type=Path, help="HO-3D's evaluation.txt")
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
    from twohand_jax.cli import common, evaluate_refined, evaluate_submission
    from twohand_jax.evaluation import evaluator, fitness, protocols, report
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
    if args.submission is not None:
        evaluate_submission.run(args, experiment, network, variables, reader)
        return
    protocol, where = protocols.get(args.protocol), reader.split
    fitness.check(protocol, dataset=where.dataset, split=where.name)
    relative = experiment.model.transnet is not None
    compute = evaluator.batch_metrics(
        network, crop=experiment.crop, protocol=protocol.name, relative=relative
    )
    model = mano.load(args.mano)
    rows = evaluator.evaluate(
        compute, variables, reader.once(), model, progress="evaluate"
    )
    evaluator.require_counted(rows, protocol, dataset=where.dataset, split=where.name)
    title = (
        f"{directory} on {args.dataset} ({args.split}), protocol {protocol.name}, "
        f"{protocol.units}"
    )
    print(f"{title}\n\n{report.markdown(rows, columns=protocol.columns)}")
    if args.out is not None:
        columns, name = protocol.columns, protocol.name
        for path in report.write(
            rows, args.out, name=name, title=title, columns=columns
        ):
            print(f"wrote {path}")
