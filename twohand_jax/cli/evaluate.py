"""``twohand evaluate``: errors of a model on a record set, a row for each cue set."""

import argparse
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twohand_jax import arguments, extras, paths
from twohand_jax.cli import common
from twohand_jax.errors import InputError
from twohand_jax.progress import say, show

if TYPE_CHECKING:
    from twohand_jax.evaluation.outputs import ResultTable
    from twohand_jax.evaluation.results import Result
    from twohand_jax.evaluation.tables.filling import SectionJob
    from twohand_jax.evaluation.tables.layout import Missing
    from twohand_jax.evaluation.worst import WorstRecord
    from twohand_jax.inference.prior import Prior
    from twohand_jax.types import ManoModel


PROTOCOLS = "such as wrist, mcp or freihand (docs/evaluation.md); wrist"


def add(subparsers: Any) -> None:
    """The command's flags."""
    parser = subparsers.add_parser(
        "evaluate",
        help="errors on a record set, the paper's tables",
        description="Evaluate a model directory on a record set: image only, then with "
        "keypoints, segmentation and depth. Writes tables, scores of every record and "
        "plots; the same command goes on after an interruption.",
        examples=(
            "twohand evaluate --dataset data/benchmark --refine",
            "twohand evaluate --model workdirs/a/model --model workdirs/b/model \\\n"
            "      --dataset data/open --protocol mcp --out results/open",
            "twohand evaluate --table 1 --data data",
            "twohand evaluate --compare a/samples/depth.npz b/samples/depth.npz",
        ),
    )
    option = parser.add_argument
    text = "the shipped one; several are compared on the same records"
    option("--model", type=paths.given, action="append", metavar="DIR", help=text)
    option("--dataset", type=paths.given, metavar="DIR", help="of records")
    option("--split", default="test")
    option("--protocol", default="wrist", help=PROTOCOLS)
    option("--mano", type=paths.given, help="folder or .npz of the hand model")
    common.add_hand(parser)
    option("--labels", action="store_true", help="a row of the records' own fits")
    option(
        "--batch",
        type=arguments.positive,
        metavar="N",
        help="records of this process; 64",
    )
    option(
        "--out", type=paths.given, metavar="DIR", help="results/DATASET-SPLIT-PROTOCOL"
    )
    option(
        "--plots",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="draw the errors as PNG files, too (needs matplotlib)",
    )
    text = "records of the largest errors on the page; 8"
    option("--worst", type=arguments.not_negative, default=8, metavar="N", help=text)
    tables = parser.add_argument_group("the paper's tables")
    option = tables.add_argument
    option("--table", metavar="N", help="1, 2, 3 or 4, beside the published rows")
    option(
        "--data", type=paths.given, default=Path("data"), help="where record sets lie"
    )
    refine = parser.add_argument_group("refinement by the two-hand prior")
    option = refine.add_argument
    option("--refine", action="store_true", help="a row more, and its contact")
    option("--prior", type=paths.given, metavar="DIR", help="the shipped one")
    text = "the last row's estimates, as --predictions reads them; or .parquet"
    parser.add_argument(
        "--write-predictions", type=paths.given, metavar="FILE.npz", help=text
    )
    option = parser.add_argument_group("two methods on the same records").add_argument
    option("--compare", type=paths.given, nargs=2, metavar="samples/ROW.npz")
    others = parser.add_argument_group("other systems, in the same protocols")
    option = others.add_argument
    option(
        "--predictions",
        type=paths.given,
        metavar="FILE.npz",
        help="see docs/evaluation",
    )
    option("--peer", choices=("mediapipe",), help="MediaPipe's world landmarks")
    option(
        "--workers", type=arguments.processes, default=1, help="processes of the peer"
    )
    photographs = parser.add_argument_group("what reconstruct does, picture by picture")
    option = photographs.add_argument
    text = "record sets; rows MediaPipe, network, + fit, + refine"
    option("--photographs", type=paths.given, nargs="+", metavar="DIR", help=text)
    text = "hands as the detector finds them; else boxes and camera of the labels"
    option("--found", action="store_true", help=text)
    text = "of each set, evenly; all"
    option("--pictures", type=int, metavar="N", help=text)
    server = parser.add_argument_group("servers of benchmarks that keep their labels")
    option = server.add_argument
    option(
        "--submission", type=paths.given, metavar="pred.json", help="write it instead"
    )
    option(
        "--list", type=paths.given, help="the server's order: HO-3D's evaluation.txt"
    )
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
    args.model, *others = models = args.model or [None]
    if others:
        if action is not evaluate_set or args.write_predictions is not None:
            raise InputError(
                "Several --model are compared on a --dataset: leave out --table, "
                "--photographs, --compare, --predictions, --write-predictions, --peer "
                "and --submission."
            )
        for one in models:
            common.check_hand(args.mano, one, is_asked=args.other_hand)
        return evaluate_models(args, models)
    if action in (evaluate_set, evaluate_photographs, write_submission):
        common.check_hand(args.mano, args.model, is_asked=args.other_hand)
    if args.write_predictions is not None:
        if action is not evaluate_set:
            raise InputError(
                "--write-predictions keeps our own estimates of a --dataset: give it "
                "without --table, --photographs, --compare, --predictions, --peer and "
                "--submission."
            )
        from twohand_jax.evaluation.outside import prediction_shards

        prediction_shards.check_path(args.write_predictions)
    if args.labels and action is not evaluate_set:
        raise InputError(
            "--labels adds a row to our own estimates of a --dataset: give it without "
            "--table, --photographs, --compare, --predictions, --peer and --submission."
        )
    action(args)


def _action(args: argparse.Namespace) -> Callable[[argparse.Namespace], None]:
    """What does what the flags ask for."""
    if args.photographs is not None:
        return evaluate_photographs
    if args.found or args.pictures is not None:
        raise InputError("--found and --pictures go with --photographs DIR.")
    if args.table is not None:
        return fill_table
    if args.compare is not None:
        return compare
    if args.dataset is None:
        raise InputError(
            "Give a --dataset of records, a --table of the paper, --photographs of "
            "records, or two to --compare."
        )
    if args.submission is not None:
        return write_submission
    if args.predictions is not None or args.peer is not None:
        return evaluate_outside
    return evaluate_set


def compare(args: argparse.Namespace) -> None:
    """Print paired differences of figures, with intervals by bootstrap."""
    from twohand_jax.evaluation import bootstrap, outputs, results

    first, second = (results.load(path) for path in args.compare)
    found = bootstrap.difference(first, second)
    show(
        f"{args.compare[0]} minus {args.compare[1]}: {len(first):,} records, protocol "
        f"{first.protocol}\n\n{outputs.differences(found, first.protocol)}"
    )


def evaluate_outside(args: argparse.Namespace) -> None:
    """Evaluate the other system, and ours on the hands that it found."""
    from twohand_jax import assets, mano
    from twohand_jax.data import shards
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
    with _alone(out, draws=args.plots):
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
        title = f"{name} and {args.model or SHIPPED} on {args.dataset} ({args.split})"
        evaluation = found.evaluation
        table = outputs.ResultTable(
            evaluation.results, title=title, rate=evaluation.images_per_second
        )
        _tell(f"{table.summary()}\n\n{found.coverage}", table, out, args)


def evaluate_set(args: argparse.Namespace) -> None:
    """Evaluate, print the table, and write it with scores and plots."""
    import jax

    from twohand_jax import assets, mano
    from twohand_jax.data import shards
    from twohand_jax.evaluation import outputs, run, worst
    from twohand_jax.inference.prior import Prior
    from twohand_jax.train import distributed

    hand = mano.load(args.mano)
    directory = args.model or assets.REGRESSOR
    source = shards.open_split(args.dataset, args.split).dataset
    out = args.out or Path("results") / f"{source}-{args.split}-{args.protocol}"
    with _alone(out, draws=args.plots):
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
            predictions=args.write_predictions,
        )
        if not distributed.is_first():
            return
        for path in found.written:
            say(f"wrote {path}")
        title = f"{args.model or SHIPPED} on {args.dataset} ({args.split})"
        table = outputs.ResultTable(
            found.results, title=title, rate=found.images_per_second
        )
        cases = worst.find(found.results[-1], args.worst)
        if cases and found.subject and found.reader and jax.process_count() == 1:
            method = found.results[-1].method
            cases = worst.drawn(cases, found.subject, method, found.reader)
        _tell(table.summary(), table, out, args, cases)


def evaluate_models(args: argparse.Namespace, models: Sequence[Path]) -> None:
    """Evaluate each model, and print and write all of them with their differences."""
    from twohand_jax import mano
    from twohand_jax.data import shards
    from twohand_jax.evaluation import side_by_side
    from twohand_jax.inference.prior import Prior
    from twohand_jax.train import distributed

    hand = mano.load(args.mano)
    source = shards.open_split(args.dataset, args.split).dataset
    named = dict(zip(side_by_side.labels(models), models, strict=True))
    default = f"{source}-{args.split}-{args.protocol}-{'-'.join(named)}"
    out = args.out or RESULTS / default
    with _alone(out, draws=args.plots):
        found = side_by_side.evaluate_set(
            named,
            args.dataset,
            args.split,
            args.protocol,
            hand=hand,
            refine=Prior.load(args.prior, model=hand) if args.refine else None,
            labels=args.labels,
            out=out,
            batch_size=args.batch,
        )
        if distributed.is_first():
            title = f"{' and '.join(map(str, models))} on {args.dataset} ({args.split})"
            table = side_by_side.table(found, title=title)
            _tell(table.summary(), table, out, args)


def evaluate_photographs(args: argparse.Namespace) -> None:
    """Reconstruct the pictures of record sets; print and write a table for each."""
    from twohand_jax import assets
    from twohand_jax.evaluation import outputs, photographs, run
    from twohand_jax.inference.reconstruct import Reconstructor

    if args.dataset is not None:
        raise InputError("--photographs names record sets itself: leave out --dataset.")
    config = photographs.PhotographsConfig(found=args.found, pictures=args.pictures)
    directory = args.model or assets.REGRESSOR
    reconstructor = Reconstructor.load(
        args.model, args.mano, cache=common.cache_folder(), prior=args.prior
    )
    identity = {
        "model": run.digest(directory),
        "hand": reconstructor.model.name,
        "prior": paths.url(args.prior) if args.prior else "",
    }
    told = "hands found" if args.found else "boxes given"
    for dataset in args.photographs:
        name = f"{dataset.resolve().name}-{args.split}-{told.replace(' ', '-')}"
        out = (args.out or RESULTS / "photographs") / name
        with _alone(out, draws=args.plots):
            found = photographs.evaluate(
                reconstructor,
                dataset,
                args.split,
                config=config,
                identity=identity,
                out=out,
            )
            where = f"photographs of {dataset} ({args.split}), {told}"
            table = outputs.ResultTable(
                found.results,
                title=f"{args.model or SHIPPED} on {where}",
                rate=found.images_per_second,
                note=photographs.NOTE,
            )
            _tell(table.summary(), table, out, args)


def _alone(out: Path, *, draws: bool) -> AbstractContextManager[None]:
    """The results' directory for this command alone; what draws there is at hand."""
    if draws:
        wanted = ("data", "evaluation")
        with extras.needed_for("Plots need", *wanted, instead="pass --no-plots"):
            import matplotlib  # noqa: F401 - before the work, not after it
    return common.alone(out, COMMAND, "samples", "plots")


def _tell(
    summary: str,
    table: "ResultTable",
    out: Path,
    args: argparse.Namespace,
    cases: "Sequence[WorstRecord] | None" = None,
) -> None:
    """Print what was found, write it, and say where; cases are records to show."""
    from twohand_jax.evaluation import outputs, worst

    if cases is None:
        cases = worst.find(table.results[-1], args.worst)
    show(summary)
    for path in outputs.write(table, out, plots=args.plots, worst=cases):
        say(f"wrote {path}")


def write_submission(args: argparse.Namespace) -> None:
    """Estimate every right hand of the split and write them in the server's format."""
    import jax

    from twohand_jax import assets, experiments, mano
    from twohand_jax.evaluation import protocols, submissions
    from twohand_jax.experiments import data
    from twohand_jax.experiments.regressor import RegressorExperiment
    from twohand_jax.models import apply
    from twohand_jax.weights import native

    benchmark, server = args.protocol, protocols.server(args.protocol)
    directory = args.model or assets.REGRESSOR
    experiment = experiments.parse_as(
        RegressorExperiment, native.load_config(directory)
    )
    network = experiments.network(experiment)
    variables = native.load(directory, apply.shapes(network))
    reader = data.reader(experiment, str(args.dataset), args.split, shuffle=False)
    if reader.split.dataset != benchmark:
        raise InputError(
            f"{args.dataset} holds records of {reader.split.dataset}, which the "
            f"{benchmark} server does not take: give the test split of {benchmark}."
        )
    if server.listing and args.list is None:
        raise InputError(
            f"The {benchmark} server expects the order of its {server.listing}: give "
            "that file with --list."
        )
    if jax.process_count() > 1:
        raise InputError("A submission is one file: write it with one process.")
    names = submissions.image_ids(reader.rows())
    order = server.order(list(names.values()), args.list)
    found = submissions.estimate(
        network,
        variables,
        reader.once(),
        names,
        mano.load(args.mano),
        crop=experiment.crop,
        benchmark=benchmark,
    )
    submissions.write(args.submission, found, order, benchmark=benchmark)
    say(
        f"wrote {args.submission}: {len(order):,} pictures; the server expects "
        f"{server.pictures}, zipped"
    )


RESULTS, COMMAND = Path("results"), "twohand evaluate"
SHIPPED = "the shipped model"


def fill_table(args: argparse.Namespace) -> None:
    """Say what is missing, evaluate the rest, print and write the table."""
    from twohand_jax import assets, mano
    from twohand_jax.evaluation import methods
    from twohand_jax.evaluation import run as evaluation
    from twohand_jax.evaluation.tables import filling, layout, rendering
    from twohand_jax.evaluation.tables.filling import read_checkpoint
    from twohand_jax.evaluation.tables.layout import Missing
    from twohand_jax.train import distributed

    table = layout.get(args.table)
    hand = mano.load(args.mano)
    checkpoint = read_checkpoint(args.model or assets.REGRESSOR)
    prior = _prior(args, hand)
    out = args.out or RESULTS
    subject = f"{checkpoint.name}, hand model {hand.name}"
    jobs = filling.plan(table, args.data, checkpoint=checkpoint, hand=hand, prior=prior)

    def evaluate(job: "SectionJob") -> Sequence["Result"]:
        refine = None
        if not isinstance(prior, Missing) and methods.DIFFUSION in job.rows:
            refine = prior
        name = job.name if refine is None else f"{job.name}-refined"
        return evaluation.evaluate_set(
            checkpoint.directory,
            args.data / job.block.records.directory,
            job.block.records.split,
            job.protocol,
            hand=hand,
            refine=refine,
            out=out / name,
            batch_size=args.batch,
        ).results

    with _alone(out, draws=False):
        if distributed.is_first():
            say(f"{subject}: {rendering.outlook(jobs)}")
        sections = filling.fill(jobs, evaluate)
        if not distributed.is_first():
            return
        show(rendering.markdown(table, sections, subject=subject))
        for path in rendering.write(table, sections, out, subject=subject):
            say(f"wrote {path}")


def _prior(args: argparse.Namespace, hand: "ManoModel") -> "Prior | Missing":
    """The prior of the refined row, or why there is none."""
    from twohand_jax.evaluation.tables.layout import Missing
    from twohand_jax.inference.prior import Prior

    if not args.refine:
        return Missing("Refinement by the two-hand prior takes --refine.")
    try:
        return Prior.load(args.prior, model=hand)
    except InputError as error:
        return Missing(str(error))
