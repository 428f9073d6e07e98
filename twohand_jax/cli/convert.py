"""``twohand convert``: results as one table, or in other systems' conventions."""

import argparse
from typing import Any

from twohand_jax import paths
from twohand_jax.progress import say

# Of inference.conventions, which would import JAX before a command line is even read.
CONVENTIONS = ("twohand", "smplx", "hamer", "interwild")
DESCRIPTION = """\
Write the results of `twohand reconstruct`, of one picture or of a whole folder, as one
CSV table (a hand in each row) or one NPZ file of arrays. docs/result_files.md explains
the conventions."""


def add(subparsers: Any) -> None:
    """The command's flags."""
    parser = subparsers.add_parser(
        "convert",
        help="results to CSV, NPZ, and the conventions of others",
        description=DESCRIPTION,
        examples=(
            "twohand convert results --out hands.csv",
            "twohand convert results --out hands.npz --convention smplx --flat",
        ),
    )
    option = parser.add_argument
    option(
        "results",
        type=paths.given_text,
        nargs="+",
        metavar="RESULT",
        help="NAME.json files, or folders",
    )
    option(
        "--out", required=True, type=paths.given, metavar="FILE", help=".npz or .csv"
    )
    option("--convention", choices=CONVENTIONS, default=CONVENTIONS[0])
    text = "smplx: poses against the flat hand (flat_hand_mean=True)"
    option("--flat", action="store_true", help=text)
    text = "smplx: left hands as mirrored right ones"
    option("--mirror-left", action="store_true", help=text)
    option("--mano", type=paths.given, metavar="DIR", help="hand model; the open hand")
    text = "replace the file if it is there"
    option("--overwrite", action="store_true", help=text)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Read, convert, write."""
    from twohand_jax import mano
    from twohand_jax.errors import InputError
    from twohand_jax.inference import convert
    from twohand_jax.inference.conventions import SmplxConfig

    is_form = args.flat or args.mirror_left
    config = SmplxConfig(flat=args.flat, mirror_left=args.mirror_left)
    form = config if is_form else None
    convert.check(args.out, args.convention, form)
    if args.out.exists() and not args.overwrite:
        raise InputError(
            f"{args.out} is there already; give --overwrite to replace it."
        )
    found = convert.find(args.results)
    model = mano.load(args.mano)
    result = convert.load(found.results, model)
    notes = convert.write(
        args.out, result, model, convention=args.convention, config=form
    )
    hands = int((result.prediction.score > 0).sum())
    say(f"wrote {args.out}: {hands} hands of {len(result.pictures)} pictures")
    if found.others:
        say(f"skipped, no results: {', '.join(path.name for path in found.others)}")
    for note in notes:
        say(note)
