"""Speed, memory, error and jitter of a reconstructed video whose hands are known.

A clip is CLIP.mp4 with CLIP.npz beside it: ``joints_cam`` (frames, 2, 21, 3), ``focal``
and ``center``, as `python -m twohand_jax.pipelines.synthetic.clips` writes them. The
clip is reconstructed once as `twohand reconstruct` does it; a second time only the
smoothing is left out. Jitter is the mean length of a joint's acceleration, mm a frame
squared.
"""

import argparse
import importlib.util
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from twohand_jax.benchmarks.report import Report
from twohand_jax.errors import InputError
from twohand_jax.inference import clip_files, motion, smoothing, videos
from twohand_jax.inference.clip import Clip, ClipConfig
from twohand_jax.inference.output_folder import OutputFolder
from twohand_jax.inference.reconstruct import Reconstructor
from twohand_jax.timing import Stopwatch

WARM_FRAMES = 4  # of the run before, which compiles


class Accuracy(NamedTuple):
    """Of the frames and hands that were found, mm.

    Attributes:
        error: mean error of the joints relative to the wrist.
        wrist_error: mean error of the wrist in the camera.
        jitter: mean acceleration of the joints in the camera, a frame squared.
        relative_jitter: the same relative to the wrist.
        missing: share of hands that were not found.
    """

    error: float
    wrist_error: float
    jitter: float
    relative_jitter: float
    missing: float


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The benchmark's flags."""
    option = parser.add_argument
    option("clips", nargs="+", type=Path, metavar="CLIP.mp4", help="with CLIP.npz")
    option("--end", type=float, metavar="S", help="last second; all")


def run(args: argparse.Namespace) -> Report:
    """Each clip with and without smoothing, and what is true."""
    reconstructor, rows = Reconstructor.load(), []
    for path in args.clips:
        rows += measure(reconstructor, path, ClipConfig(end=args.end))
    names = list(Accuracy._fields)
    lines = [
        [
            row["clip"],
            row["what"],
            *(f"{row[name]:.2f}" for name in names),
            *(_cell(row.get(name)) for name in ("frames_a_second", "cpu_s_a_frame")),
            _cell(row.get("peak_mb"), "{:.0f}"),
        ]
        for row in rows
    ]
    return Report(
        title="Videos of known hands. Errors and jitter in mm; speed of reading, "
        "estimates, smoothing and all files, compiling left out.",
        head=[
            "clip",
            "hands",
            "error",
            "wrist error",
            "jitter",
            "jitter about the wrist",
            "missing",
            "frames/s",
            "CPU s a frame",
            "peak MB",
        ],
        lines=lines,
        rows=rows,
        packages=["opencv-python-headless"],
    )


def measure(
    reconstructor: Reconstructor, path: Path, taken: ClipConfig
) -> list[dict[str, Any]]:
    """Rows of one clip.

    Args:
        reconstructor: of the frames.
        path: of the video.
        taken: which frames.

    Raises:
        InputError: the truth is missing.
    """
    known = _truth(path.with_suffix(".npz"))
    given = videos.Settings(focal=known["focal"].tolist())
    with tempfile.TemporaryDirectory() as folder:
        warm = Clip(path, ClipConfig(end=WARM_FRAMES / Clip(path).rate))
        _reconstruct(reconstructor, warm, Path(folder) / "warm", given)
        clip, out = Clip(path, taken), Path(folder) / "out"
        reconstructor.timing = Stopwatch()
        start, cpu = time.perf_counter(), time.process_time()
        result, estimates = _reconstruct(reconstructor, clip, out, given)
        wall, cpu = time.perf_counter() - start, time.process_time() - cpu
    print(reconstructor.timing.table(), file=sys.stderr, flush=True)
    count = len(estimates.number)
    truth = known["joints_cam"][estimates.number]
    people = motion.people(
        estimates,
        clip.interval,
        reconstructor.model,
        result.camera,
        most=1,
        config=smoothing.UNSMOOTHED,
        programs=reconstructor.programs,
    )
    speed = {
        "frames_a_second": count / wall,
        "cpu_s_a_frame": cpu / count,
        "peak_mb": _peak_mb(),
    }
    there = np.ones(truth.shape[:2], bool)
    kinds = {
        "smoothed": accuracy(*_joints(result), truth),
        "each frame alone": accuracy(*_joints(result._replace(people=people)), truth),
        "truth": accuracy(truth, there, truth),
    }
    rows = [
        {"clip": path.stem, "what": what, "frames": count, **found._asdict()}
        for what, found in kinds.items()
    ]
    rows[0] |= speed
    return rows


def _reconstruct(
    reconstructor: Reconstructor, clip: Clip, out: Path, given: videos.Settings
) -> tuple[clip_files.ClipResult, Any]:
    """All files, as the command writes them, and what they were made of."""
    output, kept = OutputFolder(out), []
    output.prepare()

    def keep(result: clip_files.ClipResult, estimates: Any) -> None:
        kept.append((result, estimates))

    videos.reconstruct(reconstructor, clip, "clip", output, {}, given, keep=keep)
    return kept[0]


def _peak_mb() -> float:
    """Most memory that this process had; NaN on Windows, which does not say."""
    if importlib.util.find_spec("resource") is None:
        return float("nan")
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _joints(
    result: clip_files.ClipResult,
) -> tuple[Float[np.ndarray, "f 2 21 3"], np.ndarray]:
    """Joints of the person seen most, and where hands are there."""
    count = len(result.number)
    if not result.people:
        return np.zeros((count, 2, 21, 3)), np.zeros((count, 2), bool)
    person = result.people[0]
    parts = [part.joints for part in clip_files.posed(result, person)]
    return np.concatenate(parts), person.present


def accuracy(
    joints: Float[np.ndarray, "f 2 21 3"],
    present: np.ndarray,
    truth: Float[np.ndarray, "f 2 21 3"],
) -> Accuracy:
    """Errors and jitter of hands that are there."""

    def mean(values: np.ndarray, there: np.ndarray) -> float:
        chosen = values[there]
        return 1000 * float(chosen.mean()) if chosen.size else float("nan")

    def length(values: np.ndarray) -> np.ndarray:
        return np.linalg.norm(values, axis=-1)

    def acceleration(values: np.ndarray) -> np.ndarray:
        return length(values[2:] - 2 * values[1:-1] + values[:-2])

    about, wanted = (values - values[:, :, :1] for values in (joints, truth))
    in_a_row = present[2:] & present[1:-1] & present[:-2]
    return Accuracy(
        error=mean(length(about - wanted), present),
        wrist_error=mean(length(joints - truth)[..., 0], present),
        jitter=mean(acceleration(joints), in_a_row),
        relative_jitter=mean(acceleration(about), in_a_row),
        missing=float(1 - present.mean()),
    )


def _truth(path: Path) -> dict[str, np.ndarray]:
    if not path.is_file():
        raise InputError(
            f"There is no {path}, which says where the hands are; make clips with "
            "`python -m twohand_jax.pipelines.synthetic.clips`."
        )
    with np.load(path, allow_pickle=False) as found:
        return dict(found)


def _cell(value: float | None, form: str = "{:.2f}") -> str:
    return "" if value is None else form.format(value)
