"""Kills commands again and again with SIGKILL; the results must be as if undisturbed.

    python -m tests.faults --kills 20
    python -m tests.faults --kills 5 --only build train

Each command runs once undisturbed. Then it is started and killed at random moments of
its run, as often as asked, and may finish. What it leaves is compared byte by byte.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from data_pipelines import datasets
from tests.inference import networks
from tests.train import runs
from twohand_jax import assets, locks

Words = list[str]


class Command(NamedTuple):
    """A command line for a folder of results, and which files there are its results."""

    words: Callable[[Path], Words]
    results: str


def commands(folder: Path) -> dict[str, Command]:
    """The commands, on small data that is made here."""
    own, records, poses = folder / "own", folder / "records", folder / "poses"
    datasets.write_miniature("own", own, count=40, seed=0)
    runs.pose_set(poses)
    config = networks.config(model__cues=networks.ALL)
    model = networks.save(folder / "model", config)
    trained = {"train__total_steps": 40, "train__save_every": 2, "train__log_every": 1}
    quiet = {"train__evaluate_every": 0, "train__best_metric": ""}
    photos = folder / "photos"
    photos.mkdir()
    for number in range(4):
        shutil.copy(assets.DEMO, photos / f"{number}.jpg")

    def build(out: Path) -> Words:
        words = ["data", "build", "own", "--source", str(own), "--out", str(out)]
        return [*words, "--shard-size", "4", "--workers", "2", "--max-rejected", "100%"]

    def cues(out: Path) -> Words:
        words = ["data", "cues", str(records), "--out", str(out)]
        return [*words, "--cues", "labels"]

    def train(out: Path) -> Words:
        return runs.arguments("prior", out, poses, **(trained | quiet))

    def evaluate(out: Path) -> Words:
        words = ["evaluate", "--model", str(model), "--dataset", str(records)]
        words += ["--batch", "4", "--no-plots"]
        return [*words, "--out", str(out)]

    def reconstruct(out: Path) -> Words:
        words = ["reconstruct", str(photos), "--out", str(out), "--fit", "off"]
        return [*words, "--checkpoint", str(model), "--refine", "never"]

    finish(build(records))
    return {
        "build": Command(build, "*"),
        "cues": Command(cues, "*"),
        "train": Command(train, "model/*"),
        "evaluate": Command(evaluate, "samples/*"),
        "reconstruct": Command(reconstruct, "*"),
    }


def start(words: Words) -> subprocess.Popen:
    """A command in a session of its own, so that its workers can be killed with it."""
    return subprocess.Popen(
        [sys.executable, "-m", "twohand_jax.cli.main", *words],
        cwd=runs.ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finish(words: Words) -> float:
    """Let a command run to its end; seconds that it took."""
    before = time.monotonic()
    process = start(words)
    _, told = process.communicate()
    if process.returncode:
        raise RuntimeError(f"{' '.join(words)} ended with {process.returncode}: {told}")
    return time.monotonic() - before


def kill(words: Words, after: float) -> bool:
    """Start a command and kill it and its workers; False if it ended before."""
    process = start(words)
    try:
        process.wait(timeout=after)
        return False
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return True


def contents(folder: Path, results: str) -> dict[str, bytes]:
    """The result files by name; hidden leftovers are no results, but must not be."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.relative_to(folder).match(results)
    }


def main() -> int:
    """Kill, finish, compare; 1 if something differs."""
    parser = argparse.ArgumentParser(description="Kill commands and compare.")
    parser.add_argument("--kills", type=int, default=20, help="of each command")
    parser.add_argument("--only", nargs="+", metavar="COMMAND")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    draw, is_same = random.Random(args.seed), True
    print("| command | killed | files | differ | left over |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for title, command in commands(folder).items():
            if args.only and title not in args.only:
                continue
            whole, killed = folder / f"{title}-whole", folder / f"{title}-killed"
            seconds = finish(command.words(whole))
            kills = sum(
                kill(command.words(killed), draw.uniform(0.1, 1.0) * seconds)
                for _ in range(args.kills)
            )
            finish(command.words(killed))
            expected = contents(whole, command.results)
            found = contents(killed, command.results)
            differ = {
                name
                for name in expected.keys() | found.keys()
                if expected.get(name) != found.get(name)
            }
            left = [
                path
                for path in killed.rglob("*")
                if ".partial-" in path.name or path.name == locks.LOCK
            ]
            is_same &= not differ and not left
            counts = (kills, len(expected), len(differ), len(left))
            print(f"| {title} | {' | '.join(map(str, counts))} |", flush=True)
            for one in sorted(differ)[:5]:
                print(f"  differs: {one}")
    return 0 if is_same else 1


if __name__ == "__main__":
    sys.exit(main())
