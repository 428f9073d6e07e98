"""One of several processes is killed: the others end soon and say what to do."""

import signal
import time

import pytest

from tests.multiprocess import launch

ENDLESS = """
import sys
from pathlib import Path
from tests.train import toy
from twohand_jax.train import distributed
distributed.initialize(False, sys.argv[2], 2, int(sys.argv[3]))
toy.train(Path(sys.argv[1]), total_steps=10**7, log_every=20, save_every=50)
"""
SOON_S = 40.0  # on a machine that does other things as well; about 20 on an idle one


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_the_other_process_ends_with_a_sentence(tmp_path, victim):
    address = f"localhost:{launch.free_port()}"
    words = ["-c", ENDLESS, str(tmp_path), address]
    processes = [launch.start([*words, str(number)]) for number in range(2)]
    try:
        launch.wait_for(tmp_path / "metrics.jsonl", processes)
        processes[victim].send_signal(signal.SIGKILL)
        before = time.monotonic()
        other = processes[1 - victim]
        _, told = other.communicate(timeout=SOON_S)
        print(f"ended after {time.monotonic() - before:.1f} s")
    finally:
        for process in processes:
            process.kill()
    assert other.returncode != 0
    assert "one of the others has died" in told
    assert "which goes on from the newest checkpoint" in told
