"""``twohand benchmark``: speed beside the peers, measured in one run."""

import argparse
from pathlib import Path
from typing import Any

PEERS = {
    "all": ("smplx", "smplx compiled"),
    "eager": ("smplx",),
    "none": (),
}


def add(subparsers: Any) -> None:
    """The command's flags."""
    parser = subparsers.add_parser(
        "benchmark",
        help="speed beside the peers",
        description="Time this library and its peers in turns on this machine: "
        "minimum and median milliseconds of a call. Use it on an idle machine.",
    )
    parser.add_argument("subject", choices=["mano"], help="what to time")
    parser.add_argument("--peers", choices=sorted(PEERS), default="all")
    parser.add_argument(
        "--sizes", type=_hands, nargs="+", default=[1, 64, 1024], metavar="HANDS"
    )
    parser.add_argument(
        "--seconds", type=float, default=4.0, help="time for each size and task"
    )
    parser.add_argument("--threads", type=int, default=2, help="threads of PyTorch")
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Measure, print the table and write the JSON."""
    from twohand_jax.benchmarks import mano, report
    from twohand_jax.errors import InputError

    if args.out is not None and not args.out.parent.is_dir():
        raise InputError(
            f"--out {args.out}: the folder {args.out.parent} does not exist; create it "
            "or choose another."
        )
    rows = mano.run(
        sizes=tuple(args.sizes),
        seconds=args.seconds,
        peers=PEERS[args.peers],
        threads=args.threads,
    )
    print("MANO layer, milliseconds: minimum (median); × is the ratio of minima\n")
    print(report.markdown(rows))
    if args.out is not None:
        report.write(rows, args.out)
        print(f"wrote {args.out}")


def _hands(text: str) -> int:
    hands = int(text)
    if hands < 1 or (hands > 1 and hands % 2):
        raise argparse.ArgumentTypeError(f"{text}: give 1 or an even number of hands")
    return hands
