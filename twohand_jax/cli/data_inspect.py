"""``twohand data inspect``: what is in a record set, and whether it is right."""

import argparse
import sys
from pathlib import Path
from typing import Any

from twohand_jax.errors import InputError

DESCRIPTION = """\
Counts, validity rates, provenance, histograms and pictures of a record set. --out
FILE.html is one self-contained page, --out FILE.png a contact sheet. --check holds
every record against the schema and its labels against each other, lists violations
and ends with exit code 1 if there are any."""
REPORT = "inspection.html"
BENCHMARK = "synthetic_benchmark"
VIOLATIONS = 1


def add(actions: Any) -> None:
    """The action's flags."""
    parser = actions.add_parser(
        "inspect", help="what is in a record set", description=DESCRIPTION
    )
    option = parser.add_argument
    default = f"{REPORT} in the record set; none with --check"
    option("directory", type=Path, help="record set")
    option("--split", help="one split; all by default")
    option("--out", type=Path, help=f"report, .html or .png; {default}")
    option("--count", type=int, default=24, help="records drawn of each split")
    option("--max-records", type=int, help="of each split, for a quick look; all")
    option("--mano", type=Path, help="hand model of the fits; the open hand")
    option("--check", action="store_true", help="verify every record")
    limit = {"type": float, "help": "limit of --check, see data/record_check.py"}
    option("--max-reprojection", default=1.0, metavar="PX", **limit)
    option("--max-posing", default=50.0, metavar="MM", **limit)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Print what is in each split, write the report, end with 1 on a violation."""
    from twohand_jax import mano
    from twohand_jax.data import inspect_split, inspection_report, shards
    from twohand_jax.data.record_check import CheckConfig

    if args.count < 0 or (args.max_records is not None and args.max_records < 1):
        raise InputError("--count must be at least 0 and --max-records at least 1.")
    if not (args.max_reprojection > 0 and args.max_posing > 0):
        raise InputError("--max-reprojection and --max-posing must be above 0.")
    out = args.out or (None if args.check else args.directory / REPORT)
    splits = [args.split] if args.split else shards.split_names(args.directory)
    if out:
        inspection_report.check_path(out, args.count)
    check = CheckConfig(
        max_reprojection_px=args.max_reprojection, max_posing_mm=args.max_posing
    )
    config = inspect_split.InspectConfig(
        count=args.count if out else 0,
        max_records=args.max_records,
        check=check if args.check else None,
    )
    model, parts = mano.load(args.mano), []
    for split in splits:
        parts.append(inspect_split.inspect(args.directory, split, model, config))
        print(inspection_report.text(parts[-1]))
    if args.check and shards.read_info(args.directory).get("name") == BENCHMARK:
        from data_pipelines.synthetic import benchmark

        print(benchmark.verify(args.directory).text())
    if out:
        inspection_report.write(out, args.directory, parts, model=model.name)
        print(f"\nwrote {out}")
    if any(part.violations for part in parts):
        sys.exit(VIOLATIONS)
