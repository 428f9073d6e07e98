"""Writes figures of the golden pictures that several devices or processes find.

    python -m tests.evaluation.devices FILE.json NAMES [HOST:PORT PROCESSES PROCESS]

NAMES are protocols, with commas between them. Alone, a process lays one padded batch on
all its devices; of two, each scores its own pictures, the second one fewer.
"""

import json
import sys
from pathlib import Path

import jax

from tests.evaluation import golden
from twohand_jax.evaluation import methods
from twohand_jax.train import distributed
from twohand_jax.types import Batch

PADDED = golden.COUNT + 4


def own_pictures(one: golden.Case) -> list[Batch]:
    """The batches of this process; equally many, though it has fewer pictures."""
    if jax.process_count() == 1:
        return golden.batches(one, PADDED)
    start, stop = ((0, 5), (5, golden.COUNT))[jax.process_index()]
    return golden.batches(one, 3, start=start, stop=stop, count=2)


def main(path: Path, names: list[str], peers: list[str]) -> None:
    """Score and write."""
    if peers:
        address, count, own = peers
        distributed.initialize(False, address, int(count), int(own))
    one = golden.case()
    batches = [methods.spread(batch) for batch in own_pictures(one)]
    model = jax.device_put(one.model, methods.everywhere(methods.local_mesh()))
    rows = {name: golden.figures(name, model, batches) for name in names}
    if jax.process_index() == 0:
        path.write_text(json.dumps({"devices": jax.device_count(), "rows": rows}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2].split(","), sys.argv[3:])
