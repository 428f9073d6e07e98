"""Build the frozen synthetic benchmark, and see that it is the frozen one.

    twohand data build benchmark --out data/benchmark

The same command continues a build that was interrupted. Never train on this set.
"""

import argparse
import os
from pathlib import Path

from data_pipelines import writer
from data_pipelines.synthetic.benchmark import check, source
from data_pipelines.synthetic.benchmark.manifest import ASSETS


def build(
    out: str | Path, *, workers: int, progress: bool = True, assets: Path = ASSETS
) -> tuple[writer.Report, check.Verdict]:
    """Render the frozen scenes, or what is missing of them, and check the set.

    Args:
        out: directory of the records.
        workers: rendering processes.
        progress: whether to show a bar.
        assets: the benchmark's own files; other ones in tests.

    Raises:
        InputError: the generator is not the one of the benchmark, or the pictures
            differ from the frozen ones by more than rounding does.
    """
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    frozen = source.frozen(assets)
    report = writer.write(frozen, out, workers=workers, progress=progress)
    return report, check.verify(out, assets=assets)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of ``twohand data build benchmark``."""
    parser.add_argument("--out", required=True, help="directory of the records")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)


def run(args: argparse.Namespace) -> None:
    """Build, check and print what was written."""
    report, verdict = build(args.out, workers=args.workers)
    print(f"{report.text()}\n{verdict.text()}\nwrote {args.out}")
