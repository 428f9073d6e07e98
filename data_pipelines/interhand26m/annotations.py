"""Reading InterHand2.6M's annotation files (Moon et al., ECCV 2020).

Layout, keys and units are those of version 1.0: millimetres, world frame, and a camera
translation of minus rotation times position. Joints become canonical, metres and the
camera frame here; nothing downstream converts them again.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from twohand_jax.errors import InputError
from twohand_jax.mano.joints import CANONICAL_FROM_INTERHAND

PARTS = ("data", "camera", "joint_3d")


class Sample(NamedTuple):
    """One annotated picture: both hands, right first.

    ``joints_3d`` is in metres in the camera frame, ``joints_2d`` in pixels.
    """

    image: Path
    hand_type: str
    joints_3d: Float[np.ndarray, "2 21 3"]
    joints_2d: Float[np.ndarray, "2 21 2"]
    valid: Bool[np.ndarray, "2 21"]
    focal: Float[np.ndarray, "2"]
    center: Float[np.ndarray, "2"]


def read(root: str | Path, split: str) -> Iterator[Sample]:
    """The samples of a split, in the order of its annotations.

    Args:
        root: folder with ``annotations`` and ``images``.
        split: train, val or test.

    Raises:
        InputError: a file is missing or names an unknown capture, frame or camera.
    """
    root = Path(root)
    data, cameras, joints = (_load(root, split, part) for part in PARTS)
    images = {image["id"]: image for image in data["images"]}
    for annotation in data["annotations"]:
        image = images[annotation["image_id"]]
        capture, frame = str(image["capture"]), str(image["frame_idx"])
        try:
            camera = {
                key: value[image["camera"]] for key, value in cameras[capture].items()
            }
            world = joints[capture][frame]
        except KeyError as error:
            raise InputError(
                f"Annotation {annotation['id']} of split {split} needs key {error} of "
                f"capture {capture}, frame {frame}, which the annotations do not have."
            ) from error
        path = root / "images" / split / image["file_name"]
        yield _sample(path, annotation, camera, world)


def _load(root: Path, split: str, part: str) -> dict:
    path = root / "annotations" / split / f"InterHand2.6M_{split}_{part}.json"
    try:
        return json.loads(path.read_text())
    except FileNotFoundError as error:
        raise InputError(
            f"{path} is missing; expected InterHand2.6M v1.0 below {root}."
        ) from error
    except json.JSONDecodeError as error:
        raise InputError(f"{path} is not readable as JSON: {error}.") from error


def _sample(path: Path, annotation: dict, camera: dict, world: dict) -> Sample:
    R = np.asarray(camera["camrot"])
    moved = (np.asarray(world["world_coord"]) - camera["campos"]) @ R.T
    joints = _canonical(moved) / 1000.0
    valid = _canonical(np.asarray(annotation["joint_valid"], bool)[:, 0])
    focal, center = np.asarray(camera["focal"]), np.asarray(camera["princpt"])
    return Sample(
        image=path,
        hand_type=annotation["hand_type"],
        joints_3d=joints,
        joints_2d=joints[..., :2] / joints[..., 2:] * focal + center,
        valid=valid,
        focal=focal,
        center=center,
    )


def _canonical(values: np.ndarray) -> np.ndarray:
    """From 42 joints, right hand first and tip to base, to (2, 21) canonical ones."""
    return values.reshape(2, 21, *values.shape[1:])[:, CANONICAL_FROM_INTERHAND]
