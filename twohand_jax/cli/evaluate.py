"""``twohand evaluate``: errors of a model on a record set, a row for each cue set."""

import argparse
import importlib
from pathlib import Path
from typing import Any

from twohand_jax.cli import common
from twohand_jax.errors import InputError

OF_A_SET = "evaluate_set"
PROTOCOLS = "wrist, mcp, mcp_scaled, hic, freihand or ho3d"


def add(subparsers: Any) -> None:
    """The command's flags."""
    parser = subparsers.add_parser(
        "evaluate",
        help="errors on a record set, the paper's tables",
        description="Evaluate a model directory on a record set: image only, then with "
        "keypoints, segmentation and depth. Writes tables, scores of every record and "
        "plots; the same command goes on after an interruption.",
    )
    option = parser.add_argument
    option("--model", type=Path, metavar="DIR", help="the shipped one")
    option("--dataset", type=Path, metavar="DIR", help="of records")
    option("--split", default="test")
    option("--protocol", default="wrist", help=PROTOCOLS)
    option("--mano", type=Path, help="folder or .npz of the hand model")
    option("--labels", action="store_true", help="a row of the records' own fits")
    option("--batch", type=int, metavar="N", help="records of this process; 64")
    option("--out", type=Path, metavar="DIR", help="results/DATASET-SPLIT-PROTOCOL")
    option(
        "--plots",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="draw the errors (needs matplotlib)",
    )
    tables = parser.add_argument_group("the paper's tables")
    option = tables.add_argument
    option("--table", metavar="N", help="1, 2, 3 or 4, beside the published rows")
    option("--data", type=Path, default=Path("data"), help="where record sets lie")
    refine = parser.add_argument_group("refinement by the two-hand prior")
    option = refine.add_argument
    option("--refine", action="store_true", help="a row more, and its contact")
    option("--prior", type=Path, metavar="DIR", help="the shipped one")
    option = parser.add_argument_group("two methods on the same records").add_argument
    option("--compare", type=Path, nargs=2, metavar="samples/ROW.npz")
    others = parser.add_argument_group("other systems, in the same protocols")
    option = others.add_argument
    option("--predictions", type=Path, metavar="FILE.npz", help="see docs/evaluation")
    option("--peer", choices=("mediapipe",), help="MediaPipe's world landmarks")
    option("--workers", type=int, default=1, help="processes of the peer")
    server = parser.add_argument_group("benchmark servers (freihand, ho3d)")
    option = server.add_argument
    option("--submission", type=Path, metavar="pred.json", help="write it instead")
    option("--list", type=Path, help="HO-3D's evaluation.txt")
    common.add_processes(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Evaluate, or hand over to what was asked for instead."""
    from twohand_jax.train import distributed

    distributed.initialize(
        args.distributed, args.coordinator, args.processes, args.process
    )
    common.enable_compilation_cache()
    action = _action(args)
    if args.labels and action != OF_A_SET:
        raise InputError(
            "--labels adds a row to our own estimates of a --dataset: give it without "
            "--table, --compare, --predictions, --peer and --submission."
        )
    importlib.import_module(f"twohand_jax.cli.{action}").run(args)


def _action(args: argparse.Namespace) -> str:
    """The module that does what the flags ask for."""
    if args.table is not None:
        return "evaluate_table"
    if args.compare is not None:
        return "evaluate_compare"
    if args.dataset is None:
        raise InputError(
            "Give a --dataset of records, a --table of the paper, or two to --compare."
        )
    if args.submission is not None:
        return "evaluate_submission"
    if args.predictions is not None or args.peer is not None:
        return "evaluate_outside"
    return OF_A_SET
