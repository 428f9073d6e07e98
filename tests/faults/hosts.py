"""One of four processes of ``twohand train`` is killed; what the others do."""

import signal
import subprocess
import time
from pathlib import Path

from tests.faults.full_disk import Tried
from tests.multiprocess import launch
from tests.train import runs
from twohand_jax.train.distributed import LOST

PROCESSES, SOON_S = 4, 20.0
SETTINGS = {
    "train__log_every": 1,
    "train__save_every": 2,
    "train__evaluate_every": 0,
    "train__best_metric": "",
}


def start(workdir: Path, poses: Path, steps: int) -> list[subprocess.Popen]:
    """Four processes of one run, as docs/training.md starts them on plain hosts."""
    address = f"localhost:{launch.free_port()}"
    words = runs.arguments(
        "prior", workdir, poses, train__total_steps=steps, **SETTINGS
    )
    shared = ["--coordinator", address, "--processes", str(PROCESSES), "--process"]
    command = ["-m", "twohand_jax.cli.main", *words, *shared]
    return [launch.start([*command, str(number)]) for number in range(PROCESSES)]


def kill_one(folder: Path, victim: int) -> Tried:
    """Kill one of four and see how the others end, and that the run goes on.

    Args:
        folder: to work in.
        victim: its number.
    """
    workdir, poses = folder / f"victim-{victim}", runs.pose_set(folder / "poses")
    faults: list[str] = []
    processes = start(workdir, poses, steps=10**6)
    metrics = workdir / "metrics.jsonl"
    launch.wait_for(metrics, processes)
    while metrics.read_text().count("\n") < 4:
        time.sleep(0.1)
    processes[victim].send_signal(signal.SIGKILL)
    before, others = time.monotonic(), processes[:victim] + processes[victim + 1 :]
    ends = launch.finish(others)
    seconds = time.monotonic() - before
    if seconds > SOON_S:
        faults.append(f"they took {seconds:.0f} s")
    for code, _, told in ends:
        if code == 0 or LOST not in told:
            faults.append(f"exit code {code}, said: {told[-300:]}")
    processes[victim].wait()
    saved = max(int(path.name) for path in (workdir / "checkpoints").iterdir())
    logged = metrics.read_text().count("\n")
    processes = start(workdir, poses, steps=10**6)  # the same command
    while metrics.read_text().count("\n") <= logged:
        assert all(process.poll() is None for process in processes)
        time.sleep(0.1)
    for process in processes:
        process.send_signal(signal.SIGTERM)
    codes = [code for code, _, _ in launch.finish(processes)]
    if codes != [143] * PROCESSES:
        faults.append(f"the same command ends with {codes}")
    repeated = logged - saved
    if repeated > SETTINGS["train__save_every"]:
        faults.append(f"{repeated} steps are lost")
    cells = (f"{seconds:.1f} s", repeated, len(faults))
    return Tried(f"{' | '.join(map(str, cells))} |", faults)
