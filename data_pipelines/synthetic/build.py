"""Build the synthetic record set.

    python -m data_pipelines.synthetic.build --out DIR --train 4096 --test 512 \
        --seed 0 --workers 2

The same command continues a build that was interrupted.
"""

import argparse
import os
import sys
from pathlib import Path

from data_pipelines import writer
from data_pipelines.synthetic.config import SyntheticConfig
from data_pipelines.synthetic.source import SyntheticSource
from twohand_jax.errors import InputError


def build(
    config: SyntheticConfig, out: str | Path, *, workers: int, progress: bool = True
) -> writer.Report:
    """Render and write the set, or what is missing of it.

    Args:
        config: decides every byte.
        out: directory of the records.
        workers: rendering processes.
        progress: whether to show a bar.
    """
    # Posing is cheap; every worker would reserve the accelerator's memory.
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    return writer.write(
        SyntheticSource(config), out, workers=workers, progress=progress
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags, shared with ``twohand data build synthetic``."""
    default = SyntheticConfig()
    parser.add_argument("--out", required=True, help="directory of the records")
    parser.add_argument("--train", type=int, default=default.train, help="pictures")
    parser.add_argument("--test", type=int, default=default.test, help="pictures")
    parser.add_argument("--size", type=int, default=default.size, help="pixels")
    parser.add_argument("--seed", type=int, default=default.seed)
    parser.add_argument("--views", type=int, default=default.views, help="of a pose")
    parser.add_argument("--shard-size", type=int, default=default.shard_size)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)


def run(args: argparse.Namespace) -> None:
    """Build as the flags say and print what was written."""
    config = SyntheticConfig(
        size=args.size,
        seed=args.seed,
        train=args.train,
        test=args.test,
        shard_size=args.shard_size,
        views=args.views,
    )
    report = build(config, args.out, workers=args.workers)
    print(report.text())


def main() -> None:
    """Entry point of ``python -m``."""
    parser = argparse.ArgumentParser(description="Build the synthetic record set.")
    add_arguments(parser)
    try:
        run(parser.parse_args())
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
