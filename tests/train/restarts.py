"""Kills a training run again and again with SIGKILL; the last start may finish.

    python -m tests.train.restarts WORKDIR --steps 60 --kills 10 --seed 5
    python -m tests.train.restarts WORKDIR --steps 60 --reach 6 --data data/tiny

Without ``--data`` the run is the toy of the tests, with it ``configs/tiny.py`` on those
records. Children are forked before JAX starts its threads, so that a start takes no
imports. Before it trains, every child reads all checkpoints that can be seen.
"""

import argparse
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
from orbax.checkpoint import v1 as ocp

from tests.train import runs, toy
from twohand_jax.cli import main as cli

Start = Callable[[], None]


def read_all(workdir: Path) -> None:
    """Read every checkpoint under a final name; raises when one is not whole."""
    for path in sorted((workdir / "checkpoints").glob("*")):
        if path.name.isdigit():
            ocp.load(path)


def last_state(workdir: Path, step: int) -> dict[str, np.ndarray]:
    """The leaves of a step's checkpoint."""
    found = ocp.load(workdir / "checkpoints" / str(step))
    leaves = jax.tree_util.tree_leaves_with_path(found)
    return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}


def toy_start(workdir: Path, steps: int) -> Start:
    """One start of the toy's run."""

    def start() -> None:
        read_all(workdir)
        toy.train(workdir, total_steps=steps, save_every=1)

    return start


def tiny_start(workdir: Path, steps: int, data: Path) -> Start:
    """One start of ``twohand train --config configs/tiny.py``."""
    config = str(runs.ROOT / "configs" / "tiny.py")
    words = ["train", "--config", config, "--workdir", str(workdir)]
    settings = {"train": str(data), "test": str(data)}
    often = {"total_steps": steps, "save_every": 1, "log_every": 1}
    changed = {f"data.{name}": value for name, value in settings.items()}
    changed |= {f"train.{name}": value for name, value in often.items()}
    for name, value in (changed | {"train.evaluate_every": 10 * steps}).items():
        words += ["--set", f"{name}={value!r}"]

    def start() -> None:
        read_all(workdir)
        if cli.main(words) != 0:
            raise RuntimeError("twohand train failed")

    return start


def fork(start: Start) -> int:
    """Run a start in a child; it exits with 0 only when the run is done."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            start()
            code = 0
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    return child


def kill(child: int, workdir: Path, draw: random.Random, reach: float) -> bool:
    """Kill a child at a random moment; False when it ended by itself.

    Some die while they start, the others up to ``reach`` seconds after their first
    step.
    """
    path, before = workdir / "metrics.jsonl", _size(workdir)
    if draw.random() < 0.3:
        time.sleep(draw.uniform(0.0, 1.0))
    else:
        while not path.exists() or path.stat().st_size == before:
            if os.waitpid(child, os.WNOHANG)[0]:
                return False
            time.sleep(0.01)
        time.sleep(draw.uniform(0.0, reach))
    os.kill(child, signal.SIGKILL)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def _size(workdir: Path) -> int:
    path = workdir / "metrics.jsonl"
    return path.stat().st_size if path.exists() else 0


def main() -> int:
    """Kill, then let the run finish; the last line is how many were killed."""
    parser = argparse.ArgumentParser(description="Kill a training run and resume it.")
    parser.add_argument("workdir", type=Path)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--reach", type=float, default=0.3, help="seconds of training")
    parser.add_argument("--data", type=Path, help="records: train the tiny config")
    args = parser.parse_args()
    if args.data is None:
        start = toy_start(args.workdir, args.steps)
    else:
        start = tiny_start(args.workdir, args.steps, args.data)
    draw, killed = random.Random(args.seed), 0
    for _ in range(args.kills):
        killed += kill(fork(start), args.workdir, draw, args.reach)
    status = os.waitpid(fork(start), 0)[1]
    print(killed)
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(main())
