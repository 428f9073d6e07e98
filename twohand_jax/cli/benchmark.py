"""``twohand benchmark``: speed beside the peers, measured in one run."""

import argparse
import importlib
from pathlib import Path
from typing import Any

# Each is a module of twohand_jax.benchmarks with add_arguments(parser) and
# run(args) -> benchmarks.report.Report, loaded when it is asked for. A flag --config
# names a config file, and reaches the subject as what is in it, changed by --set.
SUBJECTS = {
    "mano": "the hand model beside smplx",
    "input": "reading records beside the bare decoding of their pictures",
    "train": "network and training step beside PyTorch and a matrix product",
    "refine": "guided refinement of pairs beside PyTorch",
    "hamer": "HaMeR's network beside PyTorch and a matrix product",
    "cues": "a network of Sapiens beside PyTorch and a matrix product",
    "evaluate": "metrics of a batch beside numpy, a picture at a time",
    "video": "a video of known hands: speed, memory, error and jitter",
    "nearest": "nearest neighbours of two meshes beside scipy and trimesh",
}


def add(subparsers: Any) -> None:
    """The command's flags."""
    subjects = "\n".join(f"  {name:10} {what}" for name, what in SUBJECTS.items())
    parser = subparsers.add_parser(
        "benchmark",
        help="speed beside the peers",
        examples=[*(_examples(name)[0] for name in ("mano", "train", "video"))],
        description="Time this library and its peers in turns on this machine. Use it "
        f"on an idle one.\n\nsubjects:\n{subjects}\n\nTheir flags: twohand benchmark "
        "SUBJECT --help.",
    )
    parser.add_argument("subject", choices=list(SUBJECTS), help="what to time")
    parser.add_argument("flags", nargs=argparse.REMAINDER, help="of the subject")
    parser.set_defaults(run=run)


def _examples(subject: str) -> tuple[str, str]:
    command = f"twohand benchmark {subject}"
    return command, f"{command} --out {subject}.json"


def flags_of(subject: str) -> argparse.ArgumentParser:
    """The parser of a subject's flags."""
    from twohand_jax.cli import common
    from twohand_jax.cli.parsing import Parser

    parser = Parser(
        prog=f"twohand benchmark {subject}",
        description=SUBJECTS[subject],
        examples=_examples(subject),
    )
    _module(subject).add_arguments(parser)
    if parser.get_default("config") is not None:
        common.add_changes(parser)
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    return parser


def _module(subject: str) -> Any:
    return importlib.import_module(f"twohand_jax.benchmarks.{subject}")


def run(args: argparse.Namespace) -> None:
    """Measure, print the table and write the JSON."""
    from twohand_jax.benchmarks import report
    from twohand_jax.cli import common, verbosity
    from twohand_jax.progress import say, show

    flags = flags_of(args.subject).parse_args(args.flags)
    if flags.out is not None:
        report.check_path(flags.out)
    if hasattr(flags, "config"):
        flags.config = common.load_config(flags.config, flags.set).to_dict()
    with verbosity.applied(flags):
        found = _module(args.subject).run(flags)
    show(f"{found.title}\n\n{report.markdown(found)}")
    if flags.out is not None:
        report.write(found, flags.out)
        say(f"wrote {flags.out}")
