"""Cues of many pictures as files.

For each picture NAME_cues.json (boxes, keypoints, provenance), NAME_segmentation.png (0
background, 1 right, 2 left), NAME_depth.png (16 bit: 0 background, else 1 near to 65535
far) and NAME_cues.png, to look at. The JSON file comes last: where it is there and was
made of the same file with the same settings, the picture is done.
"""

import dataclasses
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import UInt8, UInt16
from PIL import Image

from twohand_jax.crops import cue_table
from twohand_jax.crops.cue_kinds import hand_pixels
from twohand_jax.errors import InputError
from twohand_jax.geometry import boxes as box_ops
from twohand_jax.inference import detections, images, observe
from twohand_jax.inference.hint_files import HintFile
from twohand_jax.inference.observe import CueConfig, Observation, Observer
from twohand_jax.inference.output_folder import OutputFolder, content_of, state_of
from twohand_jax.types import SIDES, Cues
from twohand_jax.viz.contact_sheet import draw_cues

KIND, CUE_VERSION = "cues", 2
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
        boxes: JSON file of hand boxes (``hint_files``), or None.
        batch: pictures that are extracted at once.
        recursive: whether folders in folders are searched as well.
        again: whether finished pictures are made anew.
        overwrite: whether files that no run made may be replaced.
    """

    photos: Sequence[str | Path]
    out: Path
    cues: CueConfig = CueConfig()
    boxes: Path | None = None
    batch: int = 8
    recursive: bool = False
    again: bool = False
    overwrite: bool = False


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


def cue_outcomes(
    job: CueJob,
) -> Iterator[Made | images.Skipped | images.FailedImage]:
    """Make the cues batch by batch; a bad picture does not end the run.

    Raises:
        InputError: the job as a whole cannot be done; nothing has been written then.
    """
    observe.check_choice(job.cues)
    sources, skipped = images.expand(job.photos, recursive=job.recursive)
    stems, videos = images.names(sources)
    hints = HintFile(job.boxes, stems, videos)
    # A network does without some of the maps; whoever asks for cues wants them all.
    observer = Observer(dataclasses.replace(job.cues, unseen=()))
    output = OutputFolder(job.out, overwrite=job.overwrite)
    output.open(stems, videos, CUE_ENDINGS)
    if skipped:
        yield images.Skipped(skipped)
    waiting: list[_Waiting] = []
    for picture in images.pictures(sources):
        try:
            boxes = hints.of(picture.name)
            key = _key(job, observer, picture, boxes)
            if not job.again and output.is_done(picture.name, key, kind=KIND):
                yield Made(picture.source, None, 0)
                continue
            waiting.append(_Waiting(picture, key, picture.read().image, boxes))
        except InputError as error:
            yield images.FailedImage(picture.source, str(error))
        if len(waiting) >= job.batch:
            yield from _batch(output, observer, waiting)
            waiting = []
    yield from _batch(output, observer, waiting)
    yield from hints.unused()


def count_images(job: CueJob) -> int | None:
    """How many pictures there are; None with videos among them."""
    sources = images.expand(job.photos, recursive=job.recursive).sources
    stems, videos = images.names(sources)
    return None if videos else len(stems)


def _key(
    job: CueJob, observer: Observer, picture: images.Picture, boxes: Any
) -> dict[str, Any]:
    """What the files of a picture depend on."""
    detector = job.cues.detector
    return {
        "version": CUE_VERSION,
        "content": content_of(picture.source),
        "frame": picture.frame,
        "cues": {kind: list(by) for kind, by in observer.sources().items()},
        "detector": detector and state_of(detector),
        "boxes": boxes,
    }


def _batch(
    output: OutputFolder, observer: Observer, waiting: list[_Waiting]
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
            write_cues(output, one.picture, one.image, observation, one.key)
        except InputError as error:
            yield images.FailedImage(one.picture.source, str(error))
            continue
        kinds = tuple(observation.provenance)
        yield Made(one.picture.source, kinds, int(observation.hands.present.sum()))


def write_cues(
    output: OutputFolder,
    picture: images.Picture,
    image: UInt8[np.ndarray, "h w 3"],
    seen: Observation,
    key: dict[str, Any],
) -> None:
    """Write a picture's files, the JSON file last; maps that are not there are not.

    Raises:
        InputError: the folder cannot be written, or holds other files of these names.
    """
    height, width = image.shape[:2]
    about: dict[str, Any] = {"image": str(picture.source)}
    about |= {"height": height, "width": width}
    content = about | cues_json(seen) | {"made_of": key}
    names = [picture.name + ending for ending in CUE_ENDINGS]
    with output.writing(picture.name, names, key, kind=KIND) as beside:
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
