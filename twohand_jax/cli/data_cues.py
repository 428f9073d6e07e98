"""``twohand data cues``: new cues for a finished record set."""

import argparse
from pathlib import Path
from typing import Any

from twohand_jax.cli import cue_options
from twohand_jax.errors import InputError, MissingDependencyError

LABELS = "labels"
DESCRIPTION = """\
Extract cues anew in the labelled boxes of a record set, and write the set with them.
Pictures and labels keep their bytes, and so do cues that are not made anew. The same
command continues one that was interrupted. `--cues labels` makes the cues from the
labels themselves, for ablations; they are marked as ground truth."""


def add(actions: Any) -> None:
    """The action's flags."""
    parser = actions.add_parser(
        "cues", help="new cues for records", description=DESCRIPTION
    )
    option = parser.add_argument
    option("directory", type=Path, help="record set")
    option("--out", type=Path, required=True, help="directory of the new set")
    cue_options.add(parser, LABELS)
    option("--only", nargs="+", choices=cue_options.KINDS, default=(), metavar="CUE")
    option("--mano", type=Path, help="hand model of the fits, with --cues labels")
    option("--splits", nargs="+", default=(), help="to write; all")
    option("--batch", type=int, default=8, help="pictures extracted at once")
    option("--workers", type=int, default=0, help="processes; 0: this one")
    text = "run as an Apache Beam pipeline with this option, as runner=DirectRunner"
    option("--beam", action="append", metavar="OPTION=VALUE", help=text)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Extract and write what is missing; print what came of it."""
    try:
        from data_pipelines import cue_stage, writer

        if args.beam:
            from data_pipelines import beam
    except ImportError as error:
        raise MissingDependencyError(
            f"`twohand data cues` needs the package {error.name}: install the extras "
            "with pip install 'twohand_jax[data]' (with --beam: [data,beam])."
        ) from error
    if args.batch < 1 or args.workers < 0:
        raise InputError("--batch must be at least 1 and --workers at least 0.")
    if args.out.resolve() == args.directory.resolve():
        raise InputError("--out must be another directory than that of the records.")
    is_truth = args.cues == LABELS
    if args.detector or (args.mano and not is_truth):
        raise InputError(
            "Records hold their hands' boxes, so that --detector has no use here, and "
            "--mano is of use with --cues labels only."
        )
    config = cue_stage.StageConfig(
        cues=None if is_truth else cue_options.config(args),
        mano=args.mano,
        only=tuple(args.only),
        batch=args.batch,
        splits=tuple(args.splits),
    )
    source = cue_stage.RecordCues(args.directory, config)
    make = beam.maker(args.beam) if args.beam else None
    print(writer.write(source, args.out, workers=args.workers, make=make).text())
