"""A small description of each record, which another machine's record must match.

Drivers and compilers round differently, so the bytes of a set that was built elsewhere
may differ; its hands, its picture and its cues may not.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, Int, UInt8, UInt32

from data_pipelines.synthetic.benchmark import arrays
from twohand_jax.data import images

LANDMARKS = (0, 4, 12)  # wrist, tips of thumb and middle finger
PER_PIXEL = 64  # landmarks and keypoints are kept in parts of a pixel
SIDE = 8


class Prints(NamedTuple):
    """What is kept of each record.

    Attributes:
        crc: CRC-32C of the record.
        landmarks: labelled pixels of ``LANDMARKS``, in 1/``PER_PIXEL``.
        keypoints: mean keypoint cue of each hand, in 1/``PER_PIXEL``.
        labels: pixels of each hand in the segmentation cue.
        depth: mean level of the depth cue.
        thumbnail: the picture in grey.
    """

    crc: UInt32[np.ndarray, "*n"]
    landmarks: Int[np.ndarray, "*n 2 3 2"]
    keypoints: Int[np.ndarray, "*n 2 2"]
    labels: Int[np.ndarray, "*n 2"]
    depth: Int[np.ndarray, "*n"]
    thumbnail: UInt8[np.ndarray, "*n 8 8"]

    def row(self, number: int) -> "Prints":
        """One record's."""
        return Prints(*(column[number] for column in self))


class Distance(NamedTuple):
    """How far two records are from each other, the largest difference of each part."""

    landmarks_px: float
    keypoints_px: float
    labels_share: float
    depth_levels: float
    grey_levels: float


# Three times what was measured: meshes off by 2e-7 of their distance, colours by 0.2 %,
# depth by 1e-6 and labels in 1 % of the outlines' pixels give 1/64 pixel, one level of
# grey and of depth and 0.7 % of the labels.
TOLERANCE = Distance(0.05, 0.05, 0.02, 3.0, 3.0)


def take(example: Mapping[str, object], crc: int) -> Prints:
    """The print of a flat example (``schema``)."""
    joints = np.asarray(example["hands/joints_2d"])[:, LANDMARKS]
    keypoints = np.asarray(example["cues/keypoints"])[..., :2].mean(axis=1)
    labels = images.decode_map(_bytes(example["cues/segmentation"]))
    depth = images.decode_map(_bytes(example["cues/depth"]))
    return Prints(
        crc=np.asarray(crc, np.uint32),
        landmarks=_parts(joints),
        keypoints=_parts(keypoints),
        labels=np.bincount(labels.ravel(), minlength=3)[1:3].astype(np.int32),
        depth=np.round(depth.mean()).astype(np.int32),
        thumbnail=_thumbnail(images.decode_jpeg(_bytes(example["image"]))),
    )


def distance(one: Prints, other: Prints) -> Distance:
    """Between the prints of two records."""
    labels = np.abs(one.labels - other.labels) / np.maximum(other.labels, 1)
    return Distance(
        landmarks_px=_largest(one.landmarks, other.landmarks) / PER_PIXEL,
        keypoints_px=_largest(one.keypoints, other.keypoints) / PER_PIXEL,
        labels_share=float(labels.max()),
        depth_levels=_largest(one.depth, other.depth),
        grey_levels=_largest(one.thumbnail, other.thumbnail),
    )


def save(path: Path, prints: Prints) -> None:
    """Write the file that ``load`` reads."""
    small = {"landmarks": np.int16, "keypoints": np.int16, "depth": np.uint16}
    columns = prints._asdict().items()
    arrays.save(path, {k: v.astype(small.get(k, v.dtype)) for k, v in columns})


def load(path: Path) -> Prints:
    """Read the prints of all records."""
    columns = arrays.load(path, Prints._fields)
    small = {"landmarks", "keypoints", "depth"}
    return Prints(
        **{k: v.astype(np.int32) if k in small else v for k, v in columns.items()}
    )


def _largest(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one.astype(np.int64) - other.astype(np.int64)).max())


def _parts(pixels: Float[np.ndarray, "*b 2"]) -> Int[np.ndarray, "*b 2"]:
    limit = np.iinfo(np.int16)
    parts = np.round(pixels.astype(np.float64) * PER_PIXEL)
    return np.clip(parts, limit.min, limit.max).astype(np.int32)


def _thumbnail(image: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "8 8"]:
    grey = image.astype(np.float32).mean(axis=-1)
    small = cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return np.round(small).astype(np.uint8)


def _bytes(value: object) -> bytes:
    assert isinstance(value, bytes)
    return value
