"""Many pictures, one after the other: read, reconstruct, draw, write."""

import dataclasses
import importlib.util
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from twohand_jax.diffusion.gate import SENTENCES, Status
from twohand_jax.errors import InputError
from twohand_jax.inference import detections, images, observe, result
from twohand_jax.inference.observe import CueConfig
from twohand_jax.inference.reconstruct import Reconstruction, Reconstructor
from twohand_jax.timing import Stopwatch
from twohand_jax.types import SIDES, ManoModel, Prediction
from twohand_jax.viz.overlay import hand_meshes, overlay
from twohand_jax.weights import native


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReconstructionJob:
    """What to reconstruct, with what, and where to put it.

    Attributes:
        photos: images, videos and folders.
        out: output folder.
        mano, checkpoint: hand model and trained model; None for those shipped.
        cues: where hands and cues come from.
        boxes, keypoints: JSON files (``hints``), or None.
        fit: see ``Reconstructor.detailed``.
        refine: see ``Reconstructor.detailed``.
        prior: model directory of a two-hand prior; None for the shipped one.
        focal: focal length in pixels, or None.
        cache: folder for compiled programs, or None.
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
    focal: float | None = None
    cache: Path | None = None


class Done(NamedTuple):
    """A picture that was reconstructed, and the files written for it."""

    source: Path
    files: list[Path]
    reconstruction: Reconstruction


def outcomes(
    job: ReconstructionJob, timing: Stopwatch
) -> Iterator[Done | images.FailedImage]:
    """Reconstruct and write picture by picture; a bad picture does not end the run.

    Args:
        job: what to do.
        timing: where the seconds of each stage are added.

    Raises:
        InputError: the job as a whole cannot be done; nothing has been written then.
    """
    _check(job)
    files = images.expand(job.photos)
    known = [detections.read_file(p) if p else None for p in (job.boxes, job.keypoints)]
    folder = result.prepare_folder(job.out)
    reconstructor: Reconstructor | None = None
    for picture in images.pictures(files):
        try:
            with timing.stage("read"):
                image = picture.read()
            boxes, keypoints = (
                detections.for_picture(content, picture.name, str(path))
                for content, path in zip(known, (job.boxes, job.keypoints), strict=True)
            )
        except InputError as error:
            yield images.FailedImage(picture.source, str(error))
            continue
        # Loaded now, when a readable picture is there, so that typos fail at once.
        reconstructor = reconstructor or Reconstructor.load(
            job.checkpoint,
            job.mano,
            cues=job.cues,
            timing=timing,
            cache=job.cache,
            prior=job.prior,
        )
        try:
            one = reconstructor.detailed(
                image, boxes, keypoints, job.fit, job.focal, job.refine
            )
            written = _write(folder, picture, image, one, reconstructor.model, timing)
        except InputError as error:
            yield images.FailedImage(picture.source, str(error))
        else:
            yield Done(picture.source, written, one)


def describe(done: Done) -> str:
    """What was found in a picture and what was written, for a person."""
    one = done.reconstruction
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
    lines = [f"{done.source}: {' and '.join(words) or 'no hands found'}"]
    if one.refinement is not None:
        lines.append(f"  {SENTENCES[Status(int(one.refinement.status))]}")
    return "\n".join(lines + [f"  {path}" for path in done.files])


def _write(
    folder: Path,
    picture: images.Picture,
    image: np.ndarray,
    one: Reconstruction,
    model: ManoModel,
    timing: Stopwatch,
) -> list[Path]:
    prediction = one.prediction
    present = np.asarray(prediction.score) > 0
    with timing.stage("render"):
        meshes = hand_meshes(model, np.asarray(prediction.geometry.vertices), present)
        drawing = overlay(image, meshes, prediction.camera)
    with timing.stage("write"):
        content = result.to_json(
            prediction,
            image=str(picture.source),
            model=model.name,
            refined=one.refined,
            penetration=penetration(prediction, model) if present.all() else None,
        )
        return result.write(
            folder, picture.name, content, prediction, model, meshes, drawing
        )


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
    if job.prior is not None:
        native.load_config(job.prior)
    observe.check_choice(job.cues)
