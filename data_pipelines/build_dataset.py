"""Build the records of a real dataset: the flags and steps that all of them share.

    twohand data build interhand26m --source DIR --out DIR --mano DIR

Each package of a dataset has a module ``dataset`` whose ``ENTRY`` comes from
``converted``: its own flags and ``from_arguments``, which gives the ``Dataset`` (see
``twohand_jax.pipelines.labelled``). Cutting into shards, workers, progress and resuming
are the writer's. What is written is what a TFDS builder writes:
``tfds.builder_from_directory`` reads it.
"""

import argparse
import contextlib
import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twohand_jax import arguments, extras, files, paths
from twohand_jax.errors import InputError
from twohand_jax.pipelines import writer
from twohand_jax.pipelines.datasets import DatasetEntry, add_limit
from twohand_jax.pipelines.labelled import Dataset, LabelledSource, ShardConfig

INDICES = ".index"  # of the annotations, beside the records


def converted(
    *,
    name: str,
    summary: str,
    add_arguments: Callable[[argparse.ArgumentParser], None] = lambda parser: None,
    from_arguments: Callable[[argparse.Namespace], Dataset],
    miniature: str = "",
    protocol: str = "",
    has_folder: bool = True,
) -> DatasetEntry:
    """The entry of a dataset that is converted from its official release.

    Args:
        name: on the command line.
        summary: what it is, in one line.
        add_arguments: adds the flags that are its own; none by default.
        from_arguments: the dataset that the parsed flags describe.
        miniature: see ``DatasetEntry``.
        protocol: see ``DatasetEntry``.
        has_folder: whether it is a folder, which --source must name.
    """

    def add_all(parser: argparse.ArgumentParser) -> None:
        _add_common(parser, has_folder=has_folder)
        add_arguments(parser)

    build = f"twohand data build {name}"
    source = f" --source {name}" if has_folder else " --labels labels.json"
    return DatasetEntry(
        name=name,
        summary=summary,
        add_arguments=add_all,
        run=functools.partial(run, from_arguments),
        miniature=miniature,
        protocol=protocol,
        examples=(
            f"{build}{source} --out data/{name} --mano mano",
            f"{build}{source} --out data/{name} --splits test --max-samples 100",
        ),
    )


def run(
    from_arguments: Callable[[argparse.Namespace], Dataset], args: argparse.Namespace
) -> None:
    """Check the source, write what is missing, print what came of it.

    Raises:
        InputError: the source is not complete, or a flag does not fit.
    """
    # Posing is cheap; every worker would reserve the accelerator's memory.
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    if args.source is not None and not args.source.is_dir():
        raise InputError(f"--source {args.source} is not a folder.")
    make = beam_maker(args)  # refused before anything is read
    try:
        report = _write(from_arguments(args), args, make)
    except InputError:
        _forget_indices(args.out)
        raise
    print(report.text())


def beam_maker(args: argparse.Namespace) -> writer.MakeShards | None:
    """What makes the shards where --beam is given; None without it.

    Raises:
        InputError: Beam is not installed, or an option does not fit.
    """
    if args.beam is None:
        return None
    with extras.needed_for("--beam needs", "data", "beam"):
        from twohand_jax.pipelines import beam
    return beam.maker(args.beam)


def _write(
    dataset: Dataset, args: argparse.Namespace, make: writer.MakeShards | None
) -> writer.BuildReport:
    if args.mano is None:
        print(
            "No --mano: the embedded open hand stands for MANO, which is right for "
            "miniatures made with it and for sources without fits."
        )
    return write(dataset, args, make)


def _forget_indices(out: Path) -> None:
    """Leave no trace of a build that was refused before it had a shard."""
    if not any(".tfrecord-" in name for name in paths.names(out)):
        files.remove(out / INDICES)
        with contextlib.suppress(OSError):
            out.rmdir()


def write(
    dataset: Dataset, args: argparse.Namespace, make: writer.MakeShards | None = None
) -> writer.BuildReport:
    """Write the shards that are not there yet, in processes or as a Beam pipeline.

    Args:
        dataset: to write.
        args: the common flags.
        make: makes the shards in place of this machine's processes.
    """
    config = ShardConfig(
        splits=tuple(args.splits),
        shard_size=args.shard_size,
        max_samples=args.max_samples,
        seed=args.seed,
    )
    source = LabelledSource(dataset, config)
    kept: dict[str, Any] = {
        "limit": writer.RejectionLimit.of(args.max_rejected),
        "recheck": args.recheck,
    }
    if make is None:
        return writer.write(source, args.out, workers=args.workers, **kept)
    return writer.write(source, args.out, make=make, progress=False, **kept)


def _add_common(parser: argparse.ArgumentParser, *, has_folder: bool) -> None:
    default = ShardConfig()
    parser.add_argument(
        "--source",
        type=paths.given,
        required=has_folder,
        help="folder of the dataset as released",
    )
    parser.add_argument(
        "--out", type=paths.given, required=True, help="directory of the records"
    )
    parser.add_argument(
        "--mano",
        type=paths.given,
        help="MANO, whose parameters the fits are: folder with MANO_RIGHT.pkl and "
        "MANO_LEFT.pkl, or .npz; the embedded open hand, for miniatures",
    )
    parser.add_argument("--splits", nargs="+", default=(), help="to write; all")
    parser.add_argument(
        "--max-samples", type=arguments.positive, help="of each split, for a trial"
    )
    parser.add_argument(
        "--shard-size", type=arguments.positive, default=default.shard_size
    )
    parser.add_argument(
        "--seed", type=arguments.seed, default=default.seed, help="of the order"
    )
    add_limit(parser)
    parser.add_argument(
        "--workers",
        type=arguments.processes_or_none,
        default=os.cpu_count() or 1,
        help="processes; 0: in this one",
    )
    parser.add_argument(
        "--beam",
        action="append",
        metavar="OPTION=VALUE",
        help="run as an Apache Beam pipeline with this option, as runner=DirectRunner; "
        "may be repeated",
    )
