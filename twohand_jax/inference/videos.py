"""A video as one result: estimate frame by frame, follow, smooth, write.

Estimates are kept in a hidden folder until the result is written, so that the same
command goes on after a run that was killed.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from twohand_jax import files, switches
from twohand_jax.errors import InputError
from twohand_jax.inference import (
    clip_files,
    estimates,
    gallery,
    known_camera,
    motion,
    smoothing,
)
from twohand_jax.inference.clip import Clip
from twohand_jax.inference.clip_files import ClipResult
from twohand_jax.inference.estimates import Estimates, Work
from twohand_jax.inference.output_folder import OutputFolder
from twohand_jax.inference.reconstruct import Reconstructor
from twohand_jax.inference.result_file import PictureInfo
from twohand_jax.timing import Stopwatch
from twohand_jax.types import SIDES, Camera

# Wraps the steps of a stage, of which there are so many if that is known.
Progress = Callable[[Iterator[Any], int | None], Iterator[Any]]
KIND = "reconstruct"


class Settings(NamedTuple):
    """How a video is reconstructed.

    Attributes:
        focal: see ``ReconstructionJob``.
        center: see ``ReconstructionJob``.
        max_hands: of a frame.
        most_people: of the result; None for all.
        fits: whether the hands are fitted to keypoints.
        html: whether there is a page to look at.
    """

    focal: Any = None
    center: Any = None
    max_hands: int = 16
    most_people: int | None = None
    fits: bool = True
    html: bool = False


class DoneClip(NamedTuple):
    """A video that was reconstructed, and the files written for it."""

    source: Path
    files: list[Path]
    told: list[str]
    note: str | None


class Unrefined(NamedTuple):
    """Videos of a job that asks for what is not done in them."""

    paths: list[Path]

    def sentence(self) -> str:
        """Of which videos, and what to do."""
        named = ", ".join(map(str, self.paths))
        return (
            f"--refine always does nothing for {named}: hands of a video are not "
            "separated by the prior; give --each-frame for that."
        )


def work_folder(out: Path, name: str) -> Path:
    """Where the estimates of a video are kept until it is done."""
    return out / f".{name}.clip"


@switches.defaults()
def reconstruct(
    reconstructor: Reconstructor,
    clip: Clip,
    name: str,
    output: OutputFolder,
    made_of: dict[str, Any],
    settings: Settings,
    progress: Progress = lambda items, _: items,
    keep: Callable[[ClipResult, Estimates], None] = lambda *_: None,
) -> DoneClip:
    """Reconstruct a video and write its files.

    Args:
        reconstructor: of its frames.
        clip: the video.
        name: stem of the files.
        output: where they are written.
        made_of: on what they depend.
        settings: how.
        progress: shows how far a stage is.
        keep: is given the result before it is written, and what it was made of.

    Raises:
        InputError: the video has no frame where it should, or the folder cannot be
            written.
    """
    timing, work = reconstructor.timing, Work(work_folder(output.path, name), made_of)
    height, width = clip.size
    known = known_camera.choose(
        height, width, focal=settings.focal, center=settings.center
    )
    smoothing.prepare(reconstructor.model, reconstructor.programs)
    _estimate(reconstructor, clip, work, known.camera, settings, progress)
    seen, _ = work.load()
    with timing.stage("smooth"):
        people = motion.people(
            seen,
            clip.interval,
            reconstructor.model,
            known.camera,
            fits=settings.fits,
            most=settings.most_people,
            programs=reconstructor.programs,
        )
    info = PictureInfo(
        file=str(clip.path),
        height=height,
        width=width,
        camera_from=(known.focal_from, known.center_from),
    )
    result = ClipResult(
        clip,
        info,
        Camera(*map(np.asarray, known.camera)),
        seen.number,
        seen.time_s,
        people,
        reconstructor.model,
    )
    keep(result, seen)
    note = clip.note  # drawing reads the video again
    names = [name + ending for ending in clip_files.ENDINGS]
    page = f"{name}.html"
    if settings.html or output.is_own(page):  # an earlier run's goes if not wanted
        names.append(page)
    with output.writing(name, names, made_of, kind=KIND) as beside:
        _write(beside, name, result, timing, settings, progress)
    work.remove()
    return DoneClip(clip.path, output.written(name, kind=KIND), _told(result), note)


def _estimate(
    reconstructor: Reconstructor,
    clip: Clip,
    work: Work,
    camera: Camera,
    settings: Settings,
    progress: Progress,
) -> None:
    """Estimates of all frames, going on with those that are there."""
    steps = estimates.estimate(
        reconstructor,
        clip,
        work,
        camera,
        max_hands=settings.max_hands,
        fits=settings.fits,
    )
    expected = clip.expected()
    left = None if expected is None else max(expected - work.count(), 0)
    try:
        for _ in progress(steps, left):
            pass
    except InputError:
        if not work.parts():  # nothing to go on with
            work.remove()
        raise


def _write(
    beside: Path,
    name: str,
    result: ClipResult,
    timing: Stopwatch,
    settings: Settings,
    progress: Progress,
) -> None:
    """A clip's files, in a folder."""
    with timing.stage("write"):
        clip_files.write(beside, name, result)
    with timing.stage("draw"):
        frames = result.clip.frames(last=int(result.number[-1]))
        drawn = progress((frame.image for frame in frames), len(result.number))
        clip_files.write_overlay(beside, name, result, drawn)
        if settings.html:
            shown = gallery.load([beside / f"{name}.json"], result.model)
            files.write_text(beside / f"{name}.html", gallery.page(shown))


def _told(result: ClipResult) -> list[str]:
    """Frames and people in words, a line each."""
    count = len(result.number)
    seconds = float(result.time_s[-1] - result.time_s[0]) + result.clip.interval
    words = f"{count} frames ({seconds:.1f} s), "
    words += f"{len(result.people)} people" if len(result.people) != 1 else "1 person"
    lines = [words if result.people else f"{count} frames, no hands found"]
    for number, person in enumerate(result.people, start=1):
        parts = []
        for side, name in enumerate(SIDES):
            there, bridged = person.present[:, side], person.bridged[:, side]
            if there.any():
                part = f"{name} hand in {there.sum()} frames"
                part += f" ({bridged.sum()} of them bridged)" if bridged.any() else ""
                parts.append(part)
        lines.append(f"  person {number}: {' and '.join(parts)}")
    return lines
