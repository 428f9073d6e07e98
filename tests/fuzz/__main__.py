"""Tries malformed files and flags on everything that reads them.

    python -m tests.fuzz --cases 2000 --seed 0
    python -m tests.fuzz --subject flags --case 1234

Prints a table of what was tried and how it ended, and every case that ended otherwise
than with a documented exit code and a sentence. Ends with 1 if there is one.
"""

import argparse
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.fuzz import cases
from tests.fuzz.subjects import SUBJECTS


def main() -> int:
    """Run the cases; the exit code."""
    parser = argparse.ArgumentParser(description="Malformed files and flags.")
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--subject", choices=list(SUBJECTS), help="this one alone")
    parser.add_argument("--case", type=int, help="with --subject: this one alone")
    args = parser.parse_args()
    drawn = cases.draw_cases(args.cases, args.seed)
    if args.subject:
        drawn = [(args.subject, seed) for _, seed in drawn]
    if args.case is not None:
        drawn = [(args.subject, args.case)]
    cases.quickly()
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        found = run_all(drawn, Path(folder))
    print_table(found, time.perf_counter() - start)
    bad = [one for ones in found.values() for one in ones if one.faults]
    for one in bad:
        print(f"{one.where}: {one.faults}")
    return 1 if bad else 0


def run_all(drawn: list[tuple[str, int]], folder: Path) -> dict[str, list[cases.Found]]:
    """All cases, by subject."""
    valid = cases.valid_files(folder, sorted({name for name, _ in drawn}))
    found: dict[str, list[cases.Found]] = {name: [] for name in valid}
    for number, (name, seed) in enumerate(drawn):
        place = folder / f"case-{number}"
        place.mkdir()
        found[name].append(cases.run(name, seed, valid[name], place))
        shutil.rmtree(place, ignore_errors=True)
        if sys.stderr.isatty():
            print(f"\r{number + 1}/{len(drawn)}", end="", file=sys.stderr)
    return found


def print_table(found: dict[str, list[cases.Found]], seconds: float) -> None:
    """What was tried and how it ended."""
    ends = list(cases.CODES.values())[:3]
    print(f"| subject | tried | {' | '.join(ends)} | faults |")
    print("|---|" + "---|" * (len(ends) + 2))
    total: Counter[str] = Counter()
    for name, ones in sorted(found.items()):
        counts = Counter(one.end for one in ones)
        counts |= {"tried": len(ones), "faults": sum(bool(o.faults) for o in ones)}
        total.update(counts)
        print(_line(name, counts, ends))
    print(_line("all", total, ends))
    print(f"\n{seconds:.0f} s")


def _line(name: str, counts: Counter, ends: list[str]) -> str:
    shown = [str(counts[key]) for key in ("tried", *ends, "faults")]
    return f"| {name} | {' | '.join(shown)} |"


if __name__ == "__main__":
    sys.exit(main())
