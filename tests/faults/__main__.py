"""Disturbs commands again and again; the results must be as if undisturbed.

    python -m tests.faults --kills 20
    python -m tests.faults --kills 5 --only build train
    python -m tests.faults --kills 0 --hosts 0 --disks 5    # as root, who mounts tmpfs
    python -m tests.faults --kills 20 --store s3    # results in an emulated store

Each command runs undisturbed. Then it is killed with SIGKILL at random moments of its
run and started again until it ends by itself, as often as asked in all. Then it runs on
disks that are too small for its results, and again when there is room. What it leaves
is compared byte by byte. Last, one of four processes of a training is killed.
"""

import argparse
import contextlib
import os
import random
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.faults import commands, full_disk, hosts
from tests.faults.commands import Command, Place
from tests.faults.full_disk import Tried
from tests.stores import emulators

FIRST = 0.2  # of the run; before that it has not even read its words


def kills(
    command: Command, folder: Path, place: Place, count: int, draw: random.Random
) -> Tried:
    """Kill a command ``count`` times, and let it end whenever it comes to that.

    Args:
        command: that has left its undisturbed results in ``folder/whole``.
        folder: of those.
        place: to work in.
        count: of kills.
        draw: their moments.
    """
    expected = commands.contents(folder / "whole", command.results)
    again, killed = (commands.inside(place, name) for name in ("again", "killed"))
    seconds = commands.finish(command.words(again))  # now its programs are compiled
    differ = commands.different(expected, commands.contents(again, command.results))
    if differ:
        return Tried("differs undisturbed |" + " |" * 5, differ)
    done = inside = runs = 0
    faults: list[str] = []
    while done < count:
        words = command.words(commands.fresh(killed))
        while done < count and commands.kill(words, draw.uniform(FIRST, 1.0) * seconds):
            done += 1
            inside += bool(commands.everything(killed))
            faults += half(killed)
        commands.finish(words)
        runs += 1
        found = commands.contents(killed, command.results)
        faults += [f"differs: {name}" for name in commands.different(expected, found)]
        faults += [f"left over: {name}" for name in commands.leftovers(killed)]
        faults += half(killed)
    cells = (done, inside, runs, len(expected), len(faults))
    return Tried(f"{' | '.join(map(str, cells))} |", faults)


def half(place: Place) -> list[str]:
    """What of the checkpoints in a store looks complete and is not."""
    if not isinstance(place, str):
        return []
    return [f"half: {name}" for name in emulators.half_visible(place)]


def main() -> int:
    """Kill, fill, compare; 1 if something is not as it should be."""
    parser = argparse.ArgumentParser(description="Disturb commands and compare.")
    parser.add_argument("--kills", type=int, default=20, help="of each command")
    parser.add_argument("--disks", type=int, default=3, help="too small, for each")
    parser.add_argument("--hosts", type=int, default=2, help="of four, each killed")
    parser.add_argument("--only", nargs="+", metavar="COMMAND")
    parser.add_argument("--seed", type=int, default=0)
    text = "kill with results in an emulated store; neither disks nor hosts"
    parser.add_argument("--store", choices=("s3", "gs"), help=text)
    args = parser.parse_args()
    if args.store:
        args.disks = args.hosts = 0
    draw, faults = random.Random(args.seed), 0
    with tempfile.TemporaryDirectory() as name, around(args.store, Path(name)):
        made = commands.make(Path(name)) if args.kills or args.disks else {}
        chosen = {title: made[title] for title in args.only or made if made}
        for title, command in chosen.items():
            commands.finish(command.words(Path(name) / title / "whole"))
        if args.kills:
            print("| command | killed | at work | runs | files | faults |")
            print("|---" * 6 + "|")
        for title, command in chosen.items() if args.kills else ():
            folder = Path(name) / title
            place = (
                f"{args.store}://{emulators.BUCKET}/{title}" if args.store else folder
            )
            tried = kills(command, folder, place, args.kills, draw)
            faults += show(title, tried)
        if args.disks:
            print("\n| command | disk | exit code | files kept | faults |")
            print("|---" * 5 + "|")
        for title, command in chosen.items():
            for tried in full_disk.tries(command, Path(name) / title, args.disks):
                faults += show(title, tried)
        if args.hosts:
            print(
                "\n| of four processes | the others ended after | steps lost | faults |"
            )
            print("|---" * 4 + "|")
        for victim in range(args.hosts):
            tried = hosts.kill_one(Path(name) / "hosts", victim)
            faults += show(f"process {victim} is killed", tried)
    return 1 if faults else 0


@contextlib.contextmanager
def around(store: str | None, folder: Path) -> Iterator[None]:
    """The servers, if there is to be a store, and a place for mirrors left behind."""
    if store is None:
        yield
        return
    mirrors = folder / "mirrors"
    mirrors.mkdir()
    os.environ["TMPDIR"] = str(mirrors)
    with emulators.running():
        yield


def show(title: str, tried: Tried) -> int:
    """Print a row and what was wrong; how much that was."""
    print(f"| {title} | {tried.row}", flush=True)
    for fault in tried.faults[:5]:
        print(f"  {fault}", flush=True)
    return len(tried.faults)


if __name__ == "__main__":
    sys.exit(main())
