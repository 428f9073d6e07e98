"""``twohand data``: build record sets, and look into them."""

import argparse
from pathlib import Path
from typing import Any

from twohand_jax.errors import InputError, MissingDependencyError

DATASETS = ("synthetic", "poses")


def add(subparsers: Any) -> None:
    """The command's flags."""
    parser = subparsers.add_parser("data", help="build and inspect record sets")
    actions = parser.add_subparsers(dest="action", required=True)
    build = actions.add_parser(
        "build",
        help="write records",
        description="Write a record set. The same command continues one that was "
        "interrupted. `twohand data build NAME --help` lists the options of a set.",
        add_help=False,
    )
    build.add_argument("dataset", choices=DATASETS)
    build.add_argument("options", nargs=argparse.REMAINDER)
    build.set_defaults(run=_build)
    inspect = actions.add_parser(
        "inspect",
        help="what is in a record set",
        description="Counts, validity rates, provenance and a contact sheet.",
    )
    inspect.add_argument("directory", type=Path)
    inspect.add_argument("--split", help="one split; all by default")
    inspect.add_argument("--sheet", type=Path, help="PNG; default contact_SPLIT.png")
    inspect.add_argument("--count", type=int, default=24, help="records on the sheet")
    inspect.add_argument("--mano", type=Path, help="hand model; the embedded one")
    inspect.set_defaults(run=_inspect)


def _build(args: argparse.Namespace) -> None:
    """Hand over to the dataset's builder in ``data_pipelines``."""
    try:
        from data_pipelines.synthetic import build, pose_set
    except ImportError as error:
        raise MissingDependencyError(
            f"`twohand data build` needs the package {error.name}: install the extras "
            "with pip install 'twohand_jax[data,render]'."
        ) from error
    parser = argparse.ArgumentParser(prog=f"twohand data build {args.dataset}")
    builder: Any = {"synthetic": build, "poses": pose_set}[args.dataset]
    builder.add_arguments(parser)
    builder.run(parser.parse_args(args.options))


def _inspect(args: argparse.Namespace) -> None:
    """Print a summary of each split and write its contact sheet."""
    import cv2

    from twohand_jax import mano
    from twohand_jax.data import inspection, shards, tfrecord

    model = mano.load(args.mano)
    splits = [args.split] if args.split else shards.split_names(args.directory)
    for split in splits:
        config = tfrecord.ReaderConfig(
            directory=str(args.directory), split=split, shuffle=False
        )
        reader = tfrecord.Reader(config)
        summary = inspection.Summary(model)
        for rows in reader.rows():
            summary.add(rows)
        print(f"\nsplit {split}: {summary.text()}")
        sheet = inspection.sheet(reader.rows(), count=args.count)
        path = args.sheet or args.directory / f"contact_{split}.png"
        if not cv2.imwrite(str(path), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR)):
            raise InputError(f"Cannot write {path}; choose another --sheet.")
        print(f"wrote {path}")
