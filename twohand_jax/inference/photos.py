"""Many pictures, one after the other, reconstructed as files.

A picture whose files are all there, made of the same content with the same settings, is
done and not made again.
"""

import dataclasses
import functools
import importlib.util
import itertools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import jax
import numpy as np

from twohand_jax import __version__, assets
from twohand_jax.diffusion.gate import SENTENCES, Status
from twohand_jax.errors import InputError
from twohand_jax.inference import (
    clip_files,
    gallery,
    images,
    known_camera,
    observe,
    predict,
    result,
    result_file,
    videos,
)
from twohand_jax.inference.clip import WHOLE, Clip, ClipConfig
from twohand_jax.inference.given import first_person
from twohand_jax.inference.hint_files import HintFile
from twohand_jax.inference.observe import CueConfig
from twohand_jax.inference.output_folder import OutputFolder, content_of, state_of
from twohand_jax.inference.reconstruct import (
    MAX_HANDS,
    Reconstruction,
    Reconstructor,
    check_max_hands,
)
from twohand_jax.inference.stream import StreamFilter
from twohand_jax.inference.videos import DoneClip, Unrefined
from twohand_jax.mano.loading import OPEN_HAND
from twohand_jax.timing import Stopwatch
from twohand_jax.types import SIDES, ManoModel, Prediction
from twohand_jax.viz.overlay import hand_meshes, overlay
from twohand_jax.viz.render import Mesh
from twohand_jax.weights import native


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReconstructionJob:
    """What to reconstruct, with what, and where to put it.

    Attributes:
        photos: images, videos and folders.
        out: output folder.
        mano, checkpoint: hand model and trained model; None for those shipped.
        cues: where hands and cues come from.
        boxes, keypoints: JSON files (``hint_files``), or None.
        fit: see ``Reconstructor.detailed``.
        refine: see ``Reconstructor.detailed``; of pictures, not of whole videos.
        prior: model directory of a two-hand prior; None for the shipped one.
        focal: focal length in pixels, of x and y, or None.
        center: principal point in pixels, or None.
        recursive: whether folders in folders are searched as well.
        camera: number of a webcam, in place of the photos, or None.
        frames: how many pictures the webcam takes; None for as many as it gives.
        people: "all" that are found, or "one", the surest.
        max_hands: how many hands of a picture are kept that were searched for.
        again: whether finished pictures are made anew.
        overwrite: whether files that no run made may be replaced.
        html: whether each picture gets a page to look at.
        cache: folder for compiled programs, or None.
        clip: which frames of videos are taken.
        each_frame: whether a video's frames are reconstructed as pictures, as they are
            where ``boxes`` or ``keypoints`` are given.
    """

    photos: Sequence[str | Path]
    out: Path
    mano: Path | None = None
    checkpoint: Path | None = None
    cues: CueConfig = CueConfig()
    boxes: Path | None = None
    keypoints: Path | None = None
    fit: str = "auto"
    refine: str = "auto"
    prior: Path | None = None
    focal: Sequence[float] | None = None
    center: Sequence[float] | None = None
    recursive: bool = False
    camera: int | None = None
    frames: int | None = None
    people: str = "all"
    max_hands: int = MAX_HANDS
    again: bool = False
    overwrite: bool = False
    html: bool = False
    cache: Path | None = None
    clip: ClipConfig = WHOLE
    each_frame: bool = False

    @property
    def has_clips(self) -> bool:
        """Whether videos become one result each."""
        hints = self.boxes is not None or self.keypoints is not None
        return not self.each_frame and not hints


class Done(NamedTuple):
    """A picture that was reconstructed, and the files written for it."""

    source: Path
    files: list[Path]
    people: list[Reconstruction]


class Kept(NamedTuple):
    """A picture whose files are there from an earlier run that was just the same."""

    source: Path
    files: list[Path]


Told: TypeAlias = Done | DoneClip | Kept | images.Skipped | Unrefined
Outcome: TypeAlias = Told | images.FailedImage


def outcomes(
    job: ReconstructionJob,
    timing: Stopwatch,
    progress: videos.Progress = lambda items, _: items,
) -> Iterator[Outcome]:
    """Reconstruct and write picture by picture; a bad picture does not end the run.

    Args:
        job: what to do.
        timing: where the seconds of each stage are added.
        progress: shows how far a video is.

    Raises:
        InputError: the job as a whole cannot be done; nothing has been written then.
    """
    _check(job)
    found = images.expand(job.photos, recursive=job.recursive)
    stems, of_videos = images.names(found.sources)
    hints = [HintFile(path, stems, of_videos) for path in (job.boxes, job.keypoints)]
    output = OutputFolder(job.out, overwrite=job.overwrite)
    # Of so many people the files of a picture may be.
    most = max(job.max_hands, *(hint.most_people for hint in hints))
    most = most if job.people == "all" else 1
    if job.has_clips:
        output.refuse_others(
            stem + end
            for stem in of_videos
            for end in (*clip_files.ENDINGS, *[PAGE] * job.html)
        )
        of_videos = []
    endings = result.endings(most) + (PAGE,) * job.html
    output.open(stems, of_videos, endings)
    if found.skipped:
        yield images.Skipped(found.skipped)
    clips = [source.path for source in found.sources if _is_clip(job, source)]
    if clips and job.refine == "always":
        yield Unrefined(clips)
    run = _Run(job, output, hints, timing, _settings(job), most)
    for source in _sources(job, found.sources):
        if isinstance(source, images.Source):
            yield from run.clip(source, progress)
        else:
            yield run.picture(source)
    for hint in hints:
        yield from hint.unused()


def _sources(
    job: ReconstructionJob, sources: Sequence[images.Source]
) -> Iterator[images.Picture | images.Source]:
    """Pictures, and videos that become one result."""
    if job.camera is not None:
        yield from itertools.islice(images.webcam(job.camera), job.frames)
    for source in sources:
        if _is_clip(job, source):
            yield source
        else:
            yield from images.pictures([source], job.clip)


def _is_clip(job: ReconstructionJob, source: images.Source) -> bool:
    return job.has_clips and images.is_video(source.path)


@dataclasses.dataclass
class _Run:
    """A job at work; the models are loaded when a readable picture is there."""

    job: ReconstructionJob
    output: OutputFolder
    hints: list[HintFile]
    timing: Stopwatch
    settings: dict[str, Any]
    most: int

    @functools.cached_property
    def reconstructor(self) -> Reconstructor:
        job = self.job
        return Reconstructor.load(
            job.checkpoint,
            job.mano,
            cues=job.cues,
            timing=self.timing,
            cache=job.cache,
            prior=job.prior,
        )

    @functools.cached_property
    def stream(self) -> StreamFilter:
        """Of a webcam's people."""
        return StreamFilter(self.reconstructor.model)

    def is_done(self, name: str, made_of: dict[str, Any]) -> bool:
        again = self.job.again
        return not again and self.output.is_done(name, made_of, kind=KIND)

    def picture(self, picture: images.Picture) -> Outcome:
        job, output = self.job, self.output
        try:
            with self.timing.stage("read"):
                boxes, keypoints = (hint.of(picture.name) for hint in self.hints)
                made_of = self.settings | _made_of(
                    picture.source, picture.frame, boxes, keypoints
                )
                is_kept = self.is_done(picture.name, made_of)
                photo = None if is_kept else picture.read()
        except InputError as error:
            return images.FailedImage(picture.source, str(error))
        if photo is None:
            return Kept(picture.source, output.written(picture.name, kind=KIND))
        reconstructor = self.reconstructor  # typing errors of flags fail the whole run
        try:
            people = _people(reconstructor, job, photo, boxes, keypoints)
            if job.camera is not None and picture.time_s is not None:
                people = self.stream(people, picture.time_s)
            drawn = _Drawn(picture, photo, people, made_of, self.most)
            written = _write(output, job, drawn, reconstructor.model, self.timing)
        except InputError as error:
            return images.FailedImage(picture.source, str(error))
        return Done(picture.source, written, people)

    def clip(
        self, source: images.Source, progress: videos.Progress
    ) -> Iterator[Outcome]:
        job, output = self.job, self.output
        settings = videos.Settings(
            focal=job.focal,
            center=job.center,
            max_hands=job.max_hands,
            most_people=1 if job.people == "one" else None,
            fits=job.fit != "off",
            html=job.html,
        )
        try:
            clip = Clip(source.path, job.clip)
            taken = {"clip": dataclasses.asdict(job.clip)}
            made_of = self.settings | _made_of(source.path) | taken
            if self.is_done(source.stem, made_of):
                yield Kept(source.path, output.written(source.stem, kind=KIND))
                return
        except InputError as error:
            yield images.FailedImage(source.path, str(error))
            return
        reconstructor = self.reconstructor
        try:
            done = videos.reconstruct(
                reconstructor, clip, source.stem, output, made_of, settings, progress
            )
        except InputError as error:
            yield images.FailedImage(source.path, str(error))
            return
        yield done
        if done.note is not None:
            yield images.FailedImage(source.path, done.note)


KIND, PAGE = "reconstruct", ".html"
PEOPLE = ("all", "one")


def _people(
    reconstructor: Reconstructor,
    job: ReconstructionJob,
    photo: images.Photo,
    boxes: Any,
    keypoints: Any,
) -> list[Reconstruction]:
    how = (job.fit, job.focal, job.refine, job.center)
    if job.people == "all":
        return reconstructor.people(
            photo, boxes, keypoints, *how, max_hands=job.max_hands
        )
    one = reconstructor.detailed(photo, *first_person(boxes, keypoints), *how)
    return [one] if one.hands.present.any() else []


def _settings(job: ReconstructionJob) -> dict[str, Any]:
    """What the files of every picture depend on."""
    models = {
        "mano": job.mano or OPEN_HAND,
        "checkpoint": job.checkpoint or assets.REGRESSOR,
        "prior": job.prior or assets.PRIOR,
        "segdepth": assets.SEGDEPTH,
        **job.cues.sapiens,
    }
    if job.cues.detector is not None:
        models["detector"] = job.cues.detector
    return {
        "version": __version__,
        "schema_version": result_file.SCHEMA_VERSION,
        "models": {name: state_of(path) for name, path in models.items()},
        "cues": [job.cues.source, *job.cues.unseen],
        "fit": job.fit,
        "refine": job.refine,
        "people": [job.people, job.max_hands],
        "camera": [job.focal, job.center],
        # Only where it is asked for, so that results of earlier versions stay done.
        **({"html": True} if job.html else {}),
    }


def _made_of(
    source: Path, frame: int | None = None, boxes: Any = None, keypoints: Any = None
) -> dict[str, Any]:
    """What the files of a picture or a video depend on besides."""
    return {
        "source": os.path.abspath(source),
        "content": content_of(source),
        "frame": frame,
        "boxes": boxes,
        "keypoints": keypoints,
    }


def describe(done: Told) -> str:
    """What was found in a picture and what was written, for a person."""
    if isinstance(done, DoneClip):
        head, *lines = done.told
        lines = [f"{done.source}: {head}", *lines]
        return "\n".join(lines + [f"  {path}" for path in done.files])
    if isinstance(done, images.Skipped | Unrefined):
        return done.sentence()
    if isinstance(done, Kept):
        return f"{done.source}: done before, unchanged"
    if len(done.people) == 1:
        head, *lines = _told(done.people[0])
        lines = [f"{done.source}: {head}", *lines]
    else:
        count = f"{len(done.people)} people" if done.people else "no hands found"
        lines = [f"{done.source}: {count}"]
        for number, one in enumerate(done.people, start=1):
            head, *more = _told(one)
            lines += [f"  person {number}: {head}", *(f"  {line}" for line in more)]
    return "\n".join(lines + [f"  {path}" for path in done.files])


def _told(one: Reconstruction) -> list[str]:
    """A person's hands in words, and what the prior did in a second line."""
    network, fitted = one.errors()
    words = []
    for side in np.flatnonzero(one.hands.present):
        text = f"{SIDES[side]} hand"
        if (one.hands.keypoints[side, :, 2] > 0).any():
            text += f" ({100 * fitted[side]:.1f} % of its size off the 2D joints"
            if one.prediction is not one.network:
                text += f", {100 * network[side]:.1f} % before the fit"
            text += ")"
        words.append(text)
    lines = [" and ".join(words)]
    if one.refinement is not None:
        lines.append(f"  {SENTENCES[Status(int(one.refinement.status))]}")
    return lines


class _Drawn(NamedTuple):
    """A picture and the people in it, and how many may be in one."""

    picture: images.Picture
    photo: images.Photo
    people: list[Reconstruction]
    made_of: dict[str, Any]
    most: int


def _write(
    output: OutputFolder,
    job: ReconstructionJob,
    drawn: _Drawn,
    model: ManoModel,
    timing: Stopwatch,
) -> list[Path]:
    picture, photo, people, made_of, most = drawn
    height, width = photo.image.shape[:2]
    # As each person was given it; said here for pictures of nobody.
    known = known_camera.choose(
        height, width, focal=job.focal, center=job.center, exif=photo.focal
    )
    absent = predict.EMPTY._replace(camera=known.camera)
    predictions = [one.prediction for one in people] or [absent]
    with timing.stage("render"):
        hands: list[Mesh] = []
        for one in predictions:
            present = np.asarray(one.score) > 0
            hands += hand_meshes(model, np.asarray(one.geometry.vertices), present)
        drawing = overlay(photo.image, hands, known.camera)
    with timing.stage("write"):
        info = result_file.PictureInfo(
            file=str(picture.source),
            height=height,
            width=width,
            frame=picture.frame,
            time_s=picture.time_s,
            camera_from=(known.focal_from, known.center_from),
        )
        content = result_file.to_json(
            jax.tree.map(lambda *leaves: np.stack(leaves), *predictions),
            info,
            model=model.name,
            refined=[one.refined for one in people] or [False],
            before=[one.fitted.mano for one in people],
            penetration=[_penetration_of(one, model) for one in predictions],
        )
        endings = result.endings(most)
        names = [picture.name + ending for ending in endings]
        page = picture.name + PAGE
        if job.html or output.is_own(page):  # where not wanted, an earlier run's goes
            names.append(page)
        with output.writing(picture.name, names, made_of, kind=KIND) as beside:
            result.write(beside, picture.name, content, predictions, model, drawing)
            if job.html:
                path = beside / f"{picture.name}.json"
                gallery.write_beside(path, model, photo.image)
        return output.written(picture.name, kind=KIND)


def _penetration_of(
    one: Prediction, model: ManoModel
) -> dict[str, float | None] | None:
    has_both = bool((np.asarray(one.score) > 0).all())
    return penetration(one, model) if has_both else None


def penetration(prediction: Prediction, model: ManoModel) -> dict[str, float | None]:
    """How far both hands run into each other; the volume is None without manifold3d."""
    vertices = np.asarray(prediction.geometry.vertices)
    low, high = vertices.min(axis=1), vertices.max(axis=1)
    if (low.max(axis=0) > high.min(axis=0)).any():
        return {"max_depth_mm": 0.0, "volume_cm3": 0.0}
    from twohand_jax.collision.penetration import measure
    from twohand_jax.mano.topology import close_wrist

    has_volume = importlib.util.find_spec("manifold3d") is not None
    faces = [close_wrist(np.asarray(side)) for side in model.faces]
    found = measure(*vertices, *faces, volume=has_volume)
    volume = round(float(found.volume_cm3), 3) if has_volume else None
    return {"max_depth_mm": round(float(found.max_depth_mm), 2), "volume_cm3": volume}


def _check(job: ReconstructionJob) -> None:
    if (job.camera is None) == (not job.photos):
        raise InputError("Give either photographs, videos and folders, or --camera.")
    if job.people not in PEOPLE:
        raise InputError(f"people must be one of {PEOPLE}, not {job.people!r}.")
    check_max_hands(job.max_hands)
    job.clip.check()
    known_camera.choose(1, 1, focal=job.focal, center=job.center)
    if job.prior is not None:
        native.load_config(job.prior)
    observe.check_choice(job.cues)
