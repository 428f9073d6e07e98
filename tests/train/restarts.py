"""Kills a training run again and again with SIGKILL; the last start may finish.

    python -m tests.train.restarts WORKDIR STEPS KILLS SEED

Children are forked before JAX starts its threads, so that a start takes no imports.
Before it trains, every child reads all checkpoints that can be seen.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

import jax
import numpy as np
from orbax.checkpoint import v1 as ocp

from tests.train import toy


def read_all(workdir: Path) -> None:
    """Read every checkpoint under a final name; raises when one is not whole."""
    for path in sorted((workdir / "checkpoints").glob("*")):
        if path.name.isdigit():
            ocp.load(path)


def train(workdir: Path, steps: int) -> None:
    """One start of the run; writes its last state when it gets there."""
    read_all(workdir)
    last = toy.train(workdir, total_steps=steps, save_every=1)
    leaves = jax.tree_util.tree_leaves_with_path(last)
    arrays = {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}
    np.savez(workdir / "last.npz", **arrays)


def fork(workdir: Path, steps: int) -> int:
    """Start a child; it exits with 0 only when the run is done."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            train(workdir, steps)
            code = 0
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    return child


def kill(child: int, workdir: Path, draw: random.Random) -> bool:
    """Kill a child at a random moment; False when it ended by itself.

    Some die while they start, the others up to some steps after their first one.
    """
    path, before = workdir / "metrics.jsonl", _size(workdir)
    if draw.random() < 0.3:
        time.sleep(draw.uniform(0.0, 1.0))
    else:
        while not path.exists() or path.stat().st_size == before:
            if os.waitpid(child, os.WNOHANG)[0]:
                return False
            time.sleep(0.01)
        time.sleep(draw.uniform(0.0, 0.3))
    os.kill(child, signal.SIGKILL)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def _size(workdir: Path) -> int:
    path = workdir / "metrics.jsonl"
    return path.stat().st_size if path.exists() else 0


def main(workdir: Path, steps: int, kills: int, seed: int) -> int:
    """Kill ``kills`` times, then let the run finish; prints how many were killed."""
    draw, killed = random.Random(seed), 0
    for _ in range(kills):
        killed += kill(fork(workdir, steps), workdir, draw)
    status = os.waitpid(fork(workdir, steps), 0)[1]
    print(killed)
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    folder, *numbers = sys.argv[1:]
    sys.exit(main(Path(folder), *map(int, numbers)))
