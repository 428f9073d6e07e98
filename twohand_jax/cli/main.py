"""The command ``twohand``: finds the sub-command, turns errors into one sentence."""

import argparse
import os
import sys
from collections.abc import Sequence

import twohand_jax
from twohand_jax.cli import (
    benchmark,
    common,
    cues,
    data,
    evaluate,
    export,
    prior,
    reconstruct,
    train,
    weights,
)
from twohand_jax.errors import FailedError, InputError

# Each module has add(subparsers), and imports what it needs when it runs.
COMMANDS = (reconstruct, cues, train, evaluate, prior, data, weights, export, benchmark)
FAILED, BAD_INPUT, INTERRUPTED = 1, 2, 130


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = common.Parser(
        prog="twohand",
        description="Two interacting hands from one image: meshes, poses, training.",
    )
    version = f"twohand_jax {twohand_jax.__version__}"
    top.add_argument("--version", action="version", version=version)
    subparsers = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add(subparsers)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code.

    0: done. 1: what was asked for could not be finished. 2: wrong use or input. 130 and
    143: interrupted by Ctrl-C, by SIGTERM. One sentence on stderr says what it was.

    Args:
        argv: arguments without the program's name; ``sys.argv`` by default.
    """
    args = parser().parse_args(argv)
    try:
        args.run(args)
    except InputError as error:
        print(f"twohand {args.command}: {error}", file=sys.stderr)
        return BAD_INPUT
    except FailedError as error:
        print(f"twohand {args.command}: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("twohand: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output went away (as with `| head`): not an error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


if __name__ == "__main__":
    sys.exit(main())
