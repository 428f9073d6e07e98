"""A network's predictions as labels of one's own pictures, each with a confidence.

The file is one that ``twohand data build own`` reads (docs/data.md): a network teaches
another, or itself, on pictures that nobody has labelled.
"""

import dataclasses
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from PIL import Image

from twohand_jax import fields, files, reading
from twohand_jax.data import decode
from twohand_jax.errors import InputError
from twohand_jax.inference import images
from twohand_jax.inference.images import FailedImage, Photo, Source
from twohand_jax.inference.reconstruct import Reconstruction, Reconstructor
from twohand_jax.types import SIDES, Prediction

SUFFIXES = (".jpg", ".jpeg", ".png")  # of pictures that a labels file may name
FARTHEST_M = 20.0  # beyond it a labels file is refused


@dataclasses.dataclass(frozen=True, kw_only=True)
class LabellingConfig:
    """Which predictions become labels, and how certain they are.

    A hand's confidence is its detector's score, times exp(-e / ``tolerance``) where e
    is the mean distance of the network's joints from the detector's 2D joints, before
    any fit, in hand sizes: two networks that were trained apart seldom err alike.

    Attributes:
        min_confidence: hands below it are left out.
        tolerance: error at which the confidence falls to 1/e of the score, hand sizes.
        split: name of the pictures' split.
        fit: see ``Reconstructor.detailed``.
        refine: see ``Reconstructor.detailed``.
    """

    min_confidence: float = 0.0
    tolerance: float = 0.1
    split: str = "train"
    fit: str = "auto"
    refine: str = "auto"

    def __post_init__(self) -> None:
        fields.check(self, min_confidence=fields.PROBABILITY, tolerance=fields.POSITIVE)


class Labelled(NamedTuple):
    """A picture with labels.

    Attributes:
        source: the picture.
        entries: what the labels file says of it, an entry for each person.
        left_out: number of hands that were found and are not labelled.
    """

    source: Path
    entries: list[dict[str, Any]]
    left_out: int


def label(
    reconstructor: Reconstructor,
    sources: Sequence[Source],
    *,
    folder: Path,
    config: LabellingConfig,
) -> Iterator[Labelled | FailedImage]:
    """Labels picture by picture; a bad picture does not end the run.

    Args:
        reconstructor: network and hand model.
        sources: pictures.
        folder: of the labels file, which pictures are named relative to.
        config: which predictions become labels.
    """
    for source in sources:
        try:
            photo = read_stored(source.path)
            people = reconstructor.people(photo, fit=config.fit, refine=config.refine)
        except InputError as error:
            yield FailedImage(source.path, str(error))
            continue
        found = [hands_of(person, config) for person in people]
        entries = [
            {
                "image": _relative(source.path, folder),
                "id": f"{source.stem}#{number + 1}" if number else source.stem,
                "split": config.split,
                "focal": _plain(person.prediction.camera.focal),
                "center": _plain(person.prediction.camera.center),
                **hands,
            }
            for number, (person, hands) in enumerate(zip(people, found, strict=True))
            if hands
        ]
        shown = sum(int(person.hands.present.sum()) for person in people)
        yield Labelled(source.path, entries, shown - sum(map(len, found)))


def hands_of(person: Reconstruction, config: LabellingConfig) -> dict[str, Any]:
    """What the labels file says of a person's hands, by side."""
    confidence, prediction = confidences(person, config), person.prediction
    is_sound = sound(prediction)
    found = {}
    for side, name in enumerate(SIDES):
        sure = float(confidence[side])
        if not is_sound[side] or not 0.0 < sure or sure < config.min_confidence:
            continue
        box = person.hands.boxes[side]
        found[name] = {
            "confidence": round(sure, 6),
            "box": _plain(box),
            "mano": {
                key: _plain(value[side].reshape(-1))
                for key, value in prediction.mano._asdict().items()
            },
        }
    return found


def confidences(
    person: Reconstruction, config: LabellingConfig
) -> Float[np.ndarray, "2"]:
    """How certain the prediction of each hand is, at most 1; 0 for an absent one."""
    error, _ = person.errors()
    score = np.clip(np.asarray(person.prediction.score, float), 0.0, 1.0)
    return score * np.exp(-error / config.tolerance)


def sound(prediction: Prediction) -> np.ndarray:
    """Which hands ``(2,)`` are finite, before the camera and not too far away."""
    joints = np.asarray(prediction.geometry.joints)
    place = np.asarray(prediction.mano.transl)
    betas = np.asarray(prediction.mano.betas)
    finite = np.isfinite(joints).all(axis=(-2, -1)) & np.isfinite(betas).all(axis=-1)
    near = np.abs(joints).max(axis=(-2, -1)) < FARTHEST_M
    near &= np.abs(place).max(axis=-1) < FARTHEST_M
    return finite & near & (joints[..., 2] > 0).all(axis=-1)


def read_stored(path: Path) -> Photo:
    """A picture as it is stored, which labels are about, and its focal length.

    Its orientation tag is not looked at.

    Raises:
        InputError: it is no JPEG or PNG, or damaged.
    """
    images.check_file(path)
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(
            f"{path} is no {', '.join(SUFFIXES)}: record sets are made of these; "
            "convert it."
        )
    pixels = decode.decode_jpeg(reading.read_bytes(path))
    with Image.open(path) as image:
        return Photo(pixels, images.exif_focal(image))


def write(path: Path, entries: Sequence[dict[str, Any]], *, hand_model: str) -> None:
    """Write a labels file.

    Args:
        path: of the file; made anew, never replaced.
        entries: of all pictures.
        hand_model: name of the model that the parameters belong to.

    Raises:
        InputError: the file is there already, there are no entries, or it cannot be
            written.
    """
    check_new(path)
    if not entries:
        raise InputError(
            "No hand was found that is certain enough to be a label: nothing is "
            "written. Give other pictures, or a lower --min-confidence."
        )
    files.write_json(path, {"hand_model": hand_model, "pictures": list(entries)})


def check_new(path: Path) -> None:
    """Refuse to replace a file of labels, which may be somebody's work.

    Raises:
        InputError: it is there already.
    """
    if os.path.exists(path):  # Path.exists fails on too long a name
        raise InputError(
            f"{path} is there already, and may hold labels of people; give another "
            "--out, or remove it."
        )


def _relative(path: Path, folder: Path) -> str:
    """The picture's path from the folder, or its whole path if it is elsewhere."""
    whole, base = path.resolve(), folder.resolve()
    return str(whole.relative_to(base) if whole.is_relative_to(base) else whole)


def _plain(values: Any) -> list[float]:
    return [float(value) for value in np.asarray(values)]
