"""The datasets that ``twohand data build`` writes, one line each, loaded when used.

A module that is named here describes its dataset in ``ENTRY``; the command, the
miniatures and the tests ask that entry and nothing else. Naming needs no import, so
that ``twohand data --help`` stays quick and free of TensorFlow.
"""

import argparse
import dataclasses
import importlib
from collections.abc import Callable, Sequence
from pathlib import Path

from twohand_jax import arguments, extras
from twohand_jax.errors import InputError

DRAWN = {
    "synthetic": "twohand_jax.pipelines.synthetic.source",
    "benchmark": "twohand_jax.pipelines.synthetic.benchmark.source",
    "poses": "twohand_jax.pipelines.synthetic.pose_set",
}
CONVERTED = {
    "interhand26m": "twohand_jax.pipelines.interhand26m.dataset",
    "reinterhand": "twohand_jax.pipelines.reinterhand.dataset",
    "coco_wholebody": "twohand_jax.pipelines.coco_wholebody.dataset",
    "freihand": "twohand_jax.pipelines.freihand.dataset",
    "ho3d": "twohand_jax.pipelines.ho3d.dataset",
    "hic": "twohand_jax.pipelines.hic.dataset",
    "own": "twohand_jax.pipelines.own.dataset",
}
DATASETS = DRAWN | CONVERTED


ParserMaker = Callable[..., argparse.ArgumentParser]


@dataclasses.dataclass(frozen=True, kw_only=True)
class DatasetEntry:
    """A dataset as ``twohand data build NAME`` knows it.

    Attributes:
        name: on the command line.
        summary: what it is, in one line.
        add_arguments: adds its flags.
        run: builds it as the parsed flags say and prints what was written.
        miniature: module whose ``write`` makes a miniature in the official layout; ""
            for datasets that are drawn.
        protocol: by which models are evaluated on it; "" without labels for one.
        examples: command lines that build it, for the help.
    """

    name: str
    summary: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], None]
    miniature: str = ""
    protocol: str = ""
    examples: Sequence[str] = ()

    def parser(self, make: ParserMaker) -> argparse.ArgumentParser:
        """The command line of ``twohand data build NAME``.

        Args:
            make: the command's class of parsers, which shows ``examples``.
        """
        evaluation = f"twohand evaluate --dataset DIR --protocol {self.protocol}"
        parser = make(
            prog=f"twohand data build {self.name}",
            description=self.summary,
            epilog=f"To evaluate on it: {evaluation}" if self.protocol else None,
            examples=self.examples,
        )
        self.add_arguments(parser)
        return parser


def get(name: str) -> DatasetEntry:
    """The entry of a dataset; imports what it needs.

    Raises:
        InputError: there is none of that name.
        MissingDependencyError: a package of an extra is not installed.
    """
    if name not in DATASETS:
        raise InputError(
            f"There is no dataset {name!r}; choose from {', '.join(DATASETS)}."
        )
    wanted = ("data", "render") if name in DRAWN else ("data",)
    with extras.needed_for(f"Dataset {name} needs", *wanted):
        return importlib.import_module(DATASETS[name]).ENTRY


def add_limit(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say what becomes of samples that are left out."""
    parser.add_argument(
        "--max-rejected",
        type=arguments.share,
        metavar="SHARE",
        help="end with exit code 1 when more than this share of the samples, such as "
        "1%%, is left out; by default when the files of more than 1%% are missing or "
        "damaged",
    )
    parser.add_argument(
        "--recheck",
        action="store_true",
        help="make finished shards from which something was left out again",
    )


def write_miniature(name: str, directory: Path, *, count: int, seed: int) -> None:
    """Write a miniature of a dataset in its official layout.

    Args:
        name: of a dataset that is converted.
        directory: is created.
        count: of scenes.
        seed: of poses and cameras.

    Raises:
        InputError: there is no such dataset, or it is drawn and has no source.
    """
    entry = get(name)
    if not entry.miniature:
        raise InputError(
            f"Dataset {name} is drawn and has no source to make a miniature of; choose "
            f"from {', '.join(CONVERTED)}."
        )
    importlib.import_module(entry.miniature).write(directory, count=count, seed=seed)
