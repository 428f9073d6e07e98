"""What code and machine a run was made with, one line a start."""

import json
import subprocess
import time
from importlib import metadata
from pathlib import Path

import jax

PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")


def write(workdir: Path, *, first_step: int) -> None:
    """Append a line to ``WORKDIR/starts.jsonl``."""
    line = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "first_step": first_step,
        "revision": revision(),
        "devices": f"{jax.device_count()} x {jax.devices()[0].device_kind}",
        "processes": jax.process_count(),
        "versions": {name: metadata.version(name) for name in PACKAGES},
    }
    workdir.mkdir(parents=True, exist_ok=True)
    with (workdir / "starts.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")


def revision() -> str | None:
    """The git revision of the code, with "-dirty" for local changes; None without."""
    here = Path(__file__).parent
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        done = subprocess.run(
            command, cwd=here, capture_output=True, text=True, timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
