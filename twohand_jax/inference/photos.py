"""Many pictures, one after the other: reconstructed, or their cues made, as files.

For each picture whose cues are made NAME_cues.json (boxes, keypoints, provenance),
NAME_segmentation.png (0 background, 1 right, 2 left), NAME_depth.png (16 bit: 0
background, else 1 near to 65535 far) and NAME_cues.png, to look at. The JSON file comes
last: where it is there and was made of the same file with the same settings, the
picture is done.
"""

import dataclasses
import importlib.util
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import UInt8, UInt16
from PIL import Image

from twohand_jax import files
from twohand_jax.crops import cue_table
from twohand_jax.crops.cue_kinds import hand_pixels
from twohand_jax.diffusion.gate import SENTENCES, Status
from twohand_jax.errors import InputError
from twohand_jax.geometry import boxes as box_ops
from twohand_jax.inference import detections, images, observe, result
from twohand_jax.inference.observe import CueConfig, Observation, Observer
from twohand_jax.inference.reconstruct import Reconstruction, Reconstructor
from twohand_jax.timing import Stopwatch
from twohand_jax.types import SIDES, Cues, ManoModel, Prediction
from twohand_jax.viz.contact_sheet import draw_cues
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


CUE_VERSION = 1
DEPTH_LEVELS = 65535
PIXELS, SCORES = 2, 4
MAPS = tuple(name for name, kind in cue_table.CUE_KINDS.items() if kind.is_map)
CUE_ENDINGS = (*(f"_{name}.png" for name in MAPS), "_cues.png", "_cues.json")


@dataclasses.dataclass(frozen=True, kw_only=True)
class CueJob:
    """Pictures to make cues of, and how.

    Attributes:
        photos: images, videos and folders.
        out: output folder.
        cues: where hands and cues come from.
        boxes: JSON file of hand boxes (``hints``), or None.
        batch: pictures that are extracted at once.
        again: whether finished pictures are made anew.
    """

    photos: Sequence[str | Path]
    out: Path
    cues: CueConfig = CueConfig()
    boxes: Path | None = None
    batch: int = 8
    again: bool = False


class Made(NamedTuple):
    """A picture whose files are there; ``kinds`` is None where they were before."""

    source: Path
    kinds: tuple[str, ...] | None
    hands: int


class _Waiting(NamedTuple):
    """A picture that was read, and the text that its finished files are known by."""

    picture: images.Picture
    key: dict[str, Any]
    image: UInt8[np.ndarray, "h w 3"]
    boxes: Any


def cue_outcomes(job: CueJob) -> Iterator[Made | images.FailedImage]:
    """Make the cues batch by batch; a bad picture does not end the run.

    Raises:
        InputError: the job as a whole cannot be done; nothing has been written then.
    """
    observe.check_choice(job.cues)
    paths = images.expand(job.photos)
    known = detections.read_file(job.boxes) if job.boxes else None
    observer = Observer(job.cues)
    folder = result.prepare_folder(job.out)
    waiting: list[_Waiting] = []
    for picture in images.pictures(paths):
        try:
            key = _key(job, observer, picture)
            if not job.again and has_cues(folder, picture.name, key):
                yield Made(picture.source, None, 0)
                continue
            boxes = detections.for_picture(known, picture.name, str(job.boxes))
            waiting.append(_Waiting(picture, key, picture.read(), boxes))
        except InputError as error:
            yield images.FailedImage(picture.source, str(error))
        if len(waiting) >= job.batch:
            yield from _batch(folder, observer, waiting)
            waiting = []
    yield from _batch(folder, observer, waiting)


def count_images(job: CueJob) -> int | None:
    """How many pictures there are; None with videos among them."""
    paths = images.expand(job.photos)
    has_video = any(path.suffix.lower() in images.VIDEO_SUFFIXES for path in paths)
    return None if has_video else len(paths)


def has_cues(folder: Path, name: str, key: dict[str, Any]) -> bool:
    """Whether a picture's files are there and belong to this file and settings."""
    try:
        content = json.loads((folder / f"{name}_cues.json").read_text())
        return content["made_of"] == key
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _key(job: CueJob, observer: Observer, picture: images.Picture) -> dict[str, Any]:
    """What the files of a picture depend on."""
    detector = job.cues.detector
    try:
        status = picture.source.stat()
    except OSError as error:
        raise InputError(f"{picture.source} cannot be read: {error}.") from error
    return {
        "version": CUE_VERSION,
        "bytes": status.st_size,
        "cues": {kind: list(by) for kind, by in observer.sources().items()},
        "detector": detector and [str(detector), detector.stat().st_size],
        "boxes": job.boxes and str(job.boxes),
    }


def _batch(
    folder: Path, observer: Observer, waiting: list[_Waiting]
) -> Iterator[Made | images.FailedImage]:
    """Find, extract and write a few pictures."""
    found = []
    for one in waiting:
        try:
            found.append((one, observer.find(one.image, one.boxes)))
        except InputError as error:
            yield images.FailedImage(one.picture.source, str(error))
    seen = observer.observe(
        [one.image for one, _ in found], [hands for _, hands in found]
    )
    for (one, _), observation in zip(found, seen, strict=True):
        try:
            write_cues(folder, one.picture, one.image, observation, one.key)
        except InputError as error:
            yield images.FailedImage(one.picture.source, str(error))
            continue
        kinds = tuple(observation.provenance)
        yield Made(one.picture.source, kinds, int(observation.hands.present.sum()))


def write_cues(
    folder: Path,
    picture: images.Picture,
    image: UInt8[np.ndarray, "h w 3"],
    seen: Observation,
    key: dict[str, Any],
) -> None:
    """Write a picture's files, the JSON file last; maps that are not there are not.

    Raises:
        InputError: the folder cannot be written.
    """
    height, width = image.shape[:2]
    about: dict[str, Any] = {"image": str(picture.source)}
    about |= {"height": height, "width": width}
    content = about | cues_json(seen) | {"made_of": key}
    names = [picture.name + ending for ending in CUE_ENDINGS]
    with files.together(folder, names) as beside:
        for name in MAPS:
            if seen.cues.has(name):
                path = beside / f"{picture.name}_{name}.png"
                Image.fromarray(map_levels(name, seen.cues)).save(path)
        drawing = Image.fromarray(draw_cues(image, seen.hands.boxes, seen.cues))
        drawing.save(beside / f"{picture.name}_cues.png", compress_level=4)
        text = json.dumps(content, indent=1) + "\n"
        (beside / f"{picture.name}_cues.json").write_text(text)


def cues_json(seen: Observation) -> dict[str, Any]:
    """Boxes, keypoints and what made them as plain values, pixels."""
    hands = seen.hands
    iou = float(box_ops.iou(*hands.boxes)) if hands.present.all() else 0.0
    return {
        "hands": {
            side: _hand_json(hands, number) if hands.present[number] else None
            for number, side in enumerate(SIDES)
        },
        "box_iou": round(iou, SCORES),
        "cues": {kind: by._asdict() for kind, by in seen.provenance.items()},
    }


def map_levels(
    name: str, cues: Cues
) -> UInt8[np.ndarray, "..."] | UInt16[np.ndarray, "..."]:
    """A map as it is written: labels, or 0 for the background and levels above it.

    Depth has 16 bits, 1 near to 65535 far; further maps have the levels of records.
    """
    storage, values = cue_table.map_storage(name), np.asarray(cues.values[name])
    assert storage is not None, name
    if not storage.is_scaled:
        return values
    if storage.scale is None:
        levels = np.rint(np.clip(values, 0, 1) * (DEPTH_LEVELS - 1)) + 1
    else:
        levels = np.rint((values - storage.offset) / storage.scale)
    there = hand_pixels(cues, name)
    there = there if values.ndim == 2 else there[..., None]
    return np.where(there, levels, 0).astype(storage.levels)


def _hand_json(hands: detections.Detections, side: int) -> dict[str, Any]:
    points = np.asarray(hands.keypoints[side], np.float64)
    rounded = np.column_stack([points[:, :2].round(PIXELS), points[:, 2].round(SCORES)])
    return {
        "score": round(float(hands.score[side]), SCORES),
        "box": np.asarray(hands.boxes[side], np.float64).round(PIXELS).tolist(),
        "keypoints": rounded.tolist() if (points[:, 2] > 0).any() else None,
    }
