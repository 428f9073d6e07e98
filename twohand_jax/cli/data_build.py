"""``twohand data build``: record sets from raw datasets, or drawn."""

import argparse
from typing import Any

from twohand_jax.errors import MissingDependencyError

DRAWN = ("synthetic", "benchmark", "poses")
REAL = ("interhand26m", "reinterhand", "coco_wholebody", "freihand", "ho3d", "hic")


def add(actions: Any) -> None:
    """The action's flags."""
    parser = actions.add_parser(
        "build",
        help="write records",
        description="Write a record set. The same command continues one that was "
        "interrupted. `twohand data build NAME --help` lists the options of a set.",
        add_help=False,
    )
    parser.add_argument("dataset", choices=DRAWN + REAL)
    parser.add_argument("options", nargs=argparse.REMAINDER)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Hand over to the dataset's builder in ``data_pipelines``."""
    builder: Any
    try:
        if args.dataset == "synthetic":
            from data_pipelines.synthetic import build as builder
        elif args.dataset == "benchmark":
            from data_pipelines.synthetic.benchmark import build as builder
        elif args.dataset == "poses":
            from data_pipelines.synthetic import pose_set as builder
        else:
            from data_pipelines.build_dataset import Builder

            builder = Builder(args.dataset)
    except ImportError as error:
        raise MissingDependencyError(
            f"`twohand data build` needs the package {error.name}: install the extras "
            "with pip install 'twohand_jax[data,render]'."
        ) from error
    parser = argparse.ArgumentParser(prog=f"twohand data build {args.dataset}")
    builder.add_arguments(parser)
    builder.run(parser.parse_args(args.options))
