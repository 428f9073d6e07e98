"""``twohand data``: build record sets, renew their cues, look into them."""

import argparse
import sys
from typing import Any

from twohand_jax import arguments, extras, paths
from twohand_jax.cli import common, verbosity
from twohand_jax.cli.parsing import Parser
from twohand_jax.errors import InputError
from twohand_jax.pipelines import datasets
from twohand_jax.pipelines.datasets import add_limit
from twohand_jax.progress import say


def add(subparsers: Any) -> None:
    """The command's flags."""
    parser = subparsers.add_parser(
        "data",
        help="build and inspect record sets",
        examples=(
            "twohand data build synthetic --out data/open --train 8192 --test 512",
            "twohand data inspect data/open --check",
        ),
    )
    actions = parser.add_subparsers(dest="action", required=True)
    add_build(actions)
    add_cues(actions)
    add_label(actions)
    add_inspect(actions)


def add_build(actions: Any) -> None:
    """The action's flags."""
    parser = actions.add_parser(
        "build",
        help="write records",
        description="Write a record set. The same command continues one that was "
        "interrupted. `twohand data build NAME --help` lists the options of a set.",
        examples=(
            "twohand data build synthetic --out data/open --train 8192 --test 512",
            "twohand data build freihand --source FreiHAND --out data/freihand",
        ),
    )
    parser.add_argument("dataset", choices=tuple(datasets.DATASETS))
    parser.add_argument("options", nargs=argparse.REMAINDER, help="of the set")
    parser.set_defaults(run=run_build)


def run_build(args: argparse.Namespace) -> None:
    """Hand over to the dataset's entry (``twohand_jax.pipelines.datasets``)."""
    entry = datasets.get(args.dataset)
    flags = entry.parser(Parser).parse_args(args.options)
    paths.attach_all(vars(flags).values())
    with verbosity.applied(flags):
        entry.run(flags)


LABELS = "labels"
CUES_DESCRIPTION = """\
Extract cues anew in the labelled boxes of a record set, and write the set with them.
Pictures and labels keep their bytes, and so do cues that are not made anew. The same
command continues one that was interrupted. `--cues labels` makes the cues from the
labels themselves, for ablations; they are marked as ground truth."""


def add_cues(actions: Any) -> None:
    """The action's flags."""
    parser = actions.add_parser(
        "cues",
        help="new cues for records",
        description=CUES_DESCRIPTION,
        examples=(
            "twohand data cues data/plain --out data/with_cues",
            "twohand data cues data/plain --out data/true_cues --cues labels",
        ),
    )
    option = parser.add_argument
    option("directory", type=paths.given, help="record set")
    option("--out", type=paths.given, required=True, help="directory of the new set")
    common.add_cue_options(parser, LABELS)
    option("--only", nargs="+", choices=common.CUE_NAMES, default=(), metavar="CUE")
    option(
        "--mano", type=paths.given, help="hand model of the fits, with --cues labels"
    )
    option("--splits", nargs="+", default=(), help="to write; all")
    option(
        "--batch", type=arguments.positive, default=8, help="pictures extracted at once"
    )
    option(
        "--workers",
        type=arguments.processes_or_none,
        default=0,
        help="processes; 0: this one",
    )
    text = "run as an Apache Beam pipeline with this option, as runner=DirectRunner"
    option("--beam", action="append", metavar="OPTION=VALUE", help=text)
    add_limit(parser)
    parser.set_defaults(run=run_cues)


def run_cues(args: argparse.Namespace) -> None:
    """Extract and write what is missing; print what came of it."""
    wanted = ("data", "beam") if args.beam else ("data",)
    with extras.needed_for("`twohand data cues` needs", *wanted):
        from twohand_jax.pipelines import cue_stage, worker, writer

        if args.beam:
            from twohand_jax.pipelines import beam
    if args.out.resolve() == args.directory.resolve():
        raise InputError("--out must be another directory than that of the records.")
    is_truth = args.cues == LABELS
    if args.detector or (args.mano and not is_truth):
        raise InputError(
            "Records hold their hands' boxes, so that --detector has no use here, and "
            "--mano is of use with --cues labels only."
        )
    make = beam.maker(args.beam) if args.beam else None  # before a model is loaded
    config = cue_stage.StageConfig(
        cues=None if is_truth else common.cue_config(args),
        mano=args.mano,
        only=tuple(args.only),
        batch=args.batch,
        splits=tuple(args.splits),
    )
    if args.cues == "sapiens" and (args.workers or args.beam):
        worker.leave_room(0 if args.beam else args.workers)
    source = cue_stage.RecordCues(args.directory, config)
    report = writer.write(
        source,
        args.out,
        workers=args.workers,
        make=make,
        limit=writer.RejectionLimit.of(args.max_rejected),
        recheck=args.recheck,
    )
    print(report.text())


LABEL_DESCRIPTION = """\
Write a network's predictions as labels of your own pictures, each hand with a
confidence: the detector's score, less where the network's joints and the detector's
differ. `twohand data build own` makes records of them, and training weighs them by
their confidence (loss.min_confidence leaves out those below it)."""


def add_label(actions: Any) -> None:
    """The action's flags."""
    parser = actions.add_parser(
        "label",
        help="pseudo labels of your own pictures",
        description=LABEL_DESCRIPTION,
        examples=(
            "twohand data label photos --out photos/labels.json",
            "twohand data label photos --model weights/hamer --mano MANO \\\n"
            "      --min-confidence 0.5 --out labels.json",
        ),
    )
    option = parser.add_argument
    option(
        "photos",
        nargs="+",
        type=paths.given_text,
        metavar="PHOTO",
        help="JPEG and PNG files, or folders",
    )
    path = paths.given
    option("--out", type=path, required=True, metavar="FILE", help="labels file, .json")
    option("--model", type=path, metavar="DIR", help="of the network; the shipped one")
    option("--mano", type=path, metavar="DIR", help="hand model; the open hand")
    common.add_hand(parser)
    common.add_cue_options(parser)
    option("--recursive", action="store_true", help="folders in folders as well")
    option(
        "--min-confidence",
        type=arguments.share,
        default=0.0,
        metavar="SHARE",
        help="leave out hands below it, 0 to 1",
    )
    option("--split", default="train", metavar="NAME", help="of the pictures; train")
    option(
        "--fit",
        choices=["auto", "on", "off"],
        default="auto",
        help="fit the hands to the detector's 2D joints",
    )
    option(
        "--refine",
        choices=["auto", "always", "never"],
        default="auto",
        help="separate hands with the two-hand prior",
    )
    parser.set_defaults(run=run_label)


def run_label(args: argparse.Namespace) -> None:
    """Label all pictures; bad ones are named at the end."""
    from twohand_jax.inference import images, labelling
    from twohand_jax.inference.reconstruct import Reconstructor
    from twohand_jax.pipelines.own.labels import SPLIT
    from twohand_jax.progress import Bar
    from twohand_jax.types import SIDES

    if not SPLIT.fullmatch(args.split):
        raise InputError(
            f"--split {args.split!r} is not a name of a split: use up to 32 small "
            "letters, digits and underscores."
        )
    config = labelling.LabellingConfig(
        min_confidence=args.min_confidence,
        split=args.split,
        fit=args.fit,
        refine=args.refine,
    )
    labelling.check_new(args.out)
    common.check_hand(args.mano, args.model, is_asked=args.other_hand)
    found = images.expand(args.photos, recursive=args.recursive)
    common.enable_compilation_cache()
    reconstructor = Reconstructor.load(
        args.model,
        args.mano,
        cues=common.cue_config(args),
        cache=common.cache_folder(),
    )
    folder, entries, bad, left_out = args.out.parent, [], [], 0
    made = labelling.label(reconstructor, found.sources, folder=folder, config=config)
    for one in Bar(total=len(found.sources), unit="picture").count(made):
        if isinstance(one, images.FailedImage):
            bad.append(one.sentence())
            continue
        entries += one.entries
        left_out += one.left_out
    labelling.write(args.out, entries, hand_model=reconstructor.model.name)
    hands = sum(side in entry for entry in entries for side in SIDES)
    say(f"wrote {args.out}: {hands} hands labelled, {left_out} left out")
    if bad:
        raise InputError("\n".join(bad))


INSPECT_DESCRIPTION = """\
Counts, validity rates, provenance, histograms and pictures of a record set. --out
FILE.html is one self-contained page, --out FILE.png a contact sheet. --check holds
every record against the schema and its labels against each other, lists violations
and ends with exit code 1 if there are any."""
REPORT = "inspection.html"
BENCHMARK = "synthetic_benchmark"
VIOLATIONS = 1


def add_inspect(actions: Any) -> None:
    """The action's flags."""
    parser = actions.add_parser(
        "inspect",
        help="what is in a record set",
        description=INSPECT_DESCRIPTION,
        examples=(
            "twohand data inspect data/open",
            "twohand data inspect data/open --split test --check",
            "twohand data inspect data/open --out sheet.png --count 12",
        ),
    )
    option = parser.add_argument
    default = f"{REPORT} in the record set; none with --check"
    option("directory", type=paths.given, help="record set")
    option("--split", help="one split; all by default")
    option("--out", type=paths.given, help=f"report, .html or .png; {default}")
    option(
        "--count",
        type=arguments.not_negative,
        default=24,
        help="records drawn of each split",
    )
    option(
        "--max-records",
        type=arguments.positive,
        help="of each split, for a quick look; all",
    )
    option("--mano", type=paths.given, help="hand model of the fits; the open hand")
    option("--check", action="store_true", help="verify every record")
    limit = {
        "type": arguments.above_zero,
        "help": "limit of --check, see inspection/check.py",
    }
    option("--max-reprojection", default=1.0, metavar="PX", **limit)
    option("--max-posing", default=50.0, metavar="MM", **limit)
    parser.set_defaults(run=run_inspect)


def run_inspect(args: argparse.Namespace) -> None:
    """Print what is in each split, write the report, end with 1 on a violation."""
    from twohand_jax import mano
    from twohand_jax.data import shards
    from twohand_jax.inspection import report
    from twohand_jax.inspection.check import CheckConfig

    out = args.out or (None if args.check else args.directory / REPORT)
    splits = [args.split] if args.split else shards.split_names(args.directory)
    if out:
        report.check_path(out, args.count)
    check = CheckConfig(
        max_reprojection_px=args.max_reprojection, max_posing_mm=args.max_posing
    )
    config = report.InspectConfig(
        count=args.count if out else 0,
        max_records=args.max_records,
        check=check if args.check else None,
    )
    model, parts = mano.load(args.mano), []
    for split in splits:
        parts.append(report.inspect(args.directory, split, model, config))
        print(report.text(parts[-1]))
    print(report.rejections_text(args.directory))
    if args.check and shards.read_info(args.directory).get("name") == BENCHMARK:
        from twohand_jax.pipelines.synthetic import benchmark

        print(benchmark.verify(args.directory).text())
    if out:
        report.write(out, args.directory, parts, model=model.name)
        say(f"\nwrote {out}")
    if any(part.violations for part in parts):
        sys.exit(VIOLATIONS)
