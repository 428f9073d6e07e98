"""The commands that are disturbed, on small data, and how they are run."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import cv2

from tests.inference import networks
from tests.stores import emulators
from tests.train import runs
from twohand_jax import assets, leases, locks
from twohand_jax.pipelines import datasets

Words = list[str]
Place = Path | str  # a folder, or the URL of one in a store
PHOTOS, SIDE = 10, 320


class Command(NamedTuple):
    """A command line for a folder of results, and which files there are its results.

    The others hold times and rates, or are the state that a next start goes on from.
    """

    words: Callable[[Place], Words]
    results: tuple[str, ...]


def make(folder: Path) -> dict[str, Command]:
    """The commands, on data that is made here."""
    own, records, poses = folder / "own", folder / "records", folder / "poses"
    datasets.write_miniature("own", own, count=40, seed=0)
    runs.pose_set(poses)
    model = networks.save(folder / "model", networks.config())
    trained = {"train__total_steps": 40, "train__save_every": 2, "train__log_every": 1}
    quiet = {"train__evaluate_every": 0, "train__best_metric": ""}
    photos = _photos(folder / "photos")

    def build(out: Place) -> Words:
        words = ["data", "build", "own", "--source", str(own), "--out", str(out)]
        return [*words, "--shard-size", "4", "--workers", "2", "--max-rejected", "100%"]

    def cues(out: Place) -> Words:
        words = ["data", "cues", str(records), "--out", str(out)]
        return [*words, "--cues", "labels"]

    def train(out: Place) -> Words:
        return runs.arguments("prior", out, poses, **(trained | quiet))

    def evaluate(out: Place) -> Words:
        words = ["evaluate", "--model", str(model), "--dataset", str(records)]
        return [*words, "--batch", "1", "--no-plots", "--out", str(out)]

    def reconstruct(out: Place) -> Words:
        words = ["reconstruct", str(photos), "--out", str(out), "--fit", "off"]
        return [*words, "--checkpoint", str(model), "--refine", "never"]

    environment(folder)
    finish(build(records))
    return {
        "build": Command(build, ("*",)),
        "cues": Command(cues, ("*",)),
        "train": Command(train, ("model/*",)),
        "evaluate": Command(evaluate, ("samples/*",)),
        "reconstruct": Command(reconstruct, ("*.json", "*.obj", "*.glb", "*.png")),
    }


def _photos(folder: Path) -> Path:
    folder.mkdir()
    image = cv2.imread(str(assets.DEMO))
    scale = SIDE / max(image.shape[:2])
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    for number in range(PHOTOS):
        cv2.imwrite(str(folder / f"{number}.png"), small)
    return folder


def environment(folder: Path) -> None:
    """Keep the programs of these commands in a folder of their own."""
    os.environ["XDG_CACHE_HOME"] = str(folder / "cache")


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
        process.communicate()
        return False
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return True


def inside(place: Place, name: str) -> Place:
    """What is called so in a folder."""
    return f"{place}/{name}" if isinstance(place, str) else place / name


def everything(place: Place) -> dict[str, bytes]:
    """All files by name."""
    if isinstance(place, str):
        return emulators.content(place)
    files = [path for path in sorted(place.rglob("*")) if path.is_file()]
    return {str(path.relative_to(place)): path.read_bytes() for path in files}


def contents(place: Place, results: tuple[str, ...]) -> dict[str, bytes]:
    """The result files by name."""
    return {
        name: value
        for name, value in everything(place).items()
        if not name.startswith(".twohand")
        and any(PurePosixPath(name).match(pattern) for pattern in results)
    }


def different(one: dict[str, bytes], other: dict[str, bytes]) -> list[str]:
    """Names of files that one has and the other has not, or otherwise."""
    names = one.keys() | other.keys()
    return sorted(name for name in names if one.get(name) != other.get(name))


def leftovers(place: Place) -> list[str]:
    """Hidden files of writers that are gone, locks, and leases."""
    if isinstance(place, str):
        names = list(everything(place))
    else:
        names = [str(path.relative_to(place)) for path in place.rglob("*")]
    own = (locks.LOCK, leases.LEASE)
    return [n for n in names if ".partial-" in n or PurePosixPath(n).name in own]


def fresh(place: Place) -> Place:
    """The folder, without what lies there."""
    if not isinstance(place, str):
        shutil.rmtree(place, ignore_errors=True)
    elif emulators.content(place):
        emulators.filesystem(place).rm(place, recursive=True)
    return place
