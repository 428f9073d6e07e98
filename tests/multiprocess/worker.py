"""The toy run on whatever devices this process and its peers have.

    python -m tests.multiprocess.worker FOLDER [HOST:PORT PROCESSES PROCESS]

Runs once with whole parameters and, where there are devices for it, once with split
ones, and leaves the losses and the last state of each in FOLDER.
"""

import sys
from pathlib import Path

import jax
import numpy as np

from tests.train import toy
from twohand_jax.train import distributed, sharding


def main(folder: Path, coordinator: str | None, processes: int, process: int) -> None:
    """Train and write."""
    if coordinator is not None:
        distributed.initialize(False, coordinator, processes, process)
    for fsdp in (1, 2):
        if jax.device_count() % fsdp == 0:
            run(folder / f"fsdp{fsdp}", fsdp)


def run(workdir: Path, fsdp: int) -> None:
    """One run: four steps, then two more from its checkpoint."""
    toy.train(workdir, fsdp=fsdp, total_steps=4)
    last = toy.train(workdir, fsdp=fsdp, total_steps=6)
    dense = last.params["dense"]
    part = dense.addressable_shards[0].data.shape
    whole = sharding.gather(last)
    if jax.process_index() == 0:
        leaves = jax.tree_util.tree_leaves_with_path(whole)
        arrays = {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}
        np.savez(workdir / "last.npz", part=part, **arrays)


if __name__ == "__main__":
    where, *peers = sys.argv[1:]
    address = peers[0] if peers else None
    count, own = (int(peers[1]), int(peers[2])) if peers else (1, 0)
    main(Path(where), address, count, own)
