"""Python processes with some CPU devices each, alone or as one run."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
SECONDS = 560.0


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as found:
        found.bind(("localhost", 0))
        return found.getsockname()[1]


def start(words: Sequence[str], *, devices: int = 1) -> subprocess.Popen:
    """A process with CPU devices; its outputs are kept.

    Args:
        words: after ``python``.
        devices: it sees.
    """
    settings = {
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": os.environ.get("XLA_FLAGS", "")
        + f" --xla_force_host_platform_device_count={devices}",
        # Collectives wait for each other when there are fewer threads than devices.
        "NPROC": str(max(8, 2 * devices)),
        "TF_CPP_MIN_LOG_LEVEL": "3",
        # Where `twohand` keeps its programs.
        "XDG_CACHE_HOME": str(ROOT / ".pytest_cache"),
    }
    return subprocess.Popen(
        [sys.executable, *words],
        cwd=ROOT,
        env=os.environ | settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(path: Path, processes: Sequence[subprocess.Popen]) -> None:
    """Wait until a file holds something; ends the processes when it does not come."""
    give_up = time.monotonic() + SECONDS
    while not (path.exists() and path.stat().st_size):
        ended = any(process.poll() is not None for process in processes)
        if ended or time.monotonic() > give_up:
            for process in processes:
                process.kill()
            raise AssertionError(f"{path} was not written")
        time.sleep(0.1)


def finish(processes: Sequence[subprocess.Popen]) -> list[tuple[int, str, str]]:
    """Exit code, stdout and stderr of processes; kills them all when one hangs."""
    try:
        outputs = [process.communicate(timeout=SECONDS) for process in processes]
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
    codes = [process.returncode for process in processes]
    return [(code, *out) for code, out in zip(codes, outputs, strict=True)]


def succeed(processes: Sequence[subprocess.Popen]) -> None:
    """Wait for processes and fail with their words if one of them fails."""
    for code, out, error in finish(processes):
        assert code == 0, f"exit code {code}\n{out}\n{error}"
