"""``twohand evaluate`` with two processes finds what one finds, record by record."""

import json
from pathlib import Path

import jax
import numpy as np
import pytest

from tests.data.records import Squares
from tests.inference.conftest import checkpoint
from tests.multiprocess import launch
from twohand_jax.cli import main as cli
from twohand_jax.evaluation import results
from twohand_jax.pipelines import writer

__all__ = ["checkpoint"]

RECORDS = 3
TWOHAND = ["-m", "twohand_jax.cli.main", "evaluate", "--batch", "2", "--no-plots"]


def evaluated(out: Path, *words: str) -> list[str]:
    return [*TWOHAND, "--out", str(out), *words]


@pytest.mark.slow
def test_two_processes_evaluate_as_one_does(checkpoint, tmp_path):
    data = tmp_path / "data"  # fewer shards than processes
    sizes = (("test", (RECORDS,)),)
    writer.write(Squares(sizes=sizes), data, workers=0, progress=False)
    words = ["--model", str(checkpoint), "--dataset", str(data)]
    one, two = tmp_path / "of-one", tmp_path / "of-two"
    _, _, *own = evaluated(one, *words)  # in this process
    assert cli.main(own) == 0
    address = f"localhost:{launch.free_port()}"
    processes = ["--coordinator", address, "--processes", "2", "--process"]
    pair = [evaluated(two, *words, *processes, str(number)) for number in range(2)]
    launch.succeed([launch.start(process) for process in pair])
    alone, together = (
        json.loads((out / "wrist.json").read_text()) for out in (one, two)
    )
    assert alone["records"] == RECORDS
    assert alone["rows"].keys() == together["rows"].keys()
    for row, figures in alone["rows"].items():
        for name, value in figures.items():
            found = together["rows"][row][name]
            assert found == (value and pytest.approx(value, rel=1e-6)), (row, name)
    first, second = (results.load(out / "samples" / "depth.npz") for out in (one, two))
    assert first.image_id.tolist() == second.image_id.tolist()
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-3),
        first.scores,
        second.scores,
    )
    assert not list(two.rglob("parts")) and not list(tmp_path.rglob("*.partial-*"))
