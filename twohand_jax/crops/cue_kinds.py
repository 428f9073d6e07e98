"""What a kind of cue is: how it is stored, moved with its picture, cut and drawn.

Each kind is one ``CueKind`` in a file of its own; ``crops.cue_table`` lists them. The
reader, the augmentation, the networks and the tables of an evaluation take all they
need to know of a kind from there (METHOD §3).
"""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Bool, Float

from twohand_jax.crops.motion import Motion
from twohand_jax.types import Cues


@dataclasses.dataclass(frozen=True, kw_only=True)
class PointStorage:
    """Numbers of a fixed shape, in pixels of the picture, stored as they are."""

    shape: tuple[int, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class MapStorage:
    """A map of the whole picture, stored as a PNG.

    A stored level above 0 stands for ``offset + scale * level``, 0 for the background.

    Attributes:
        levels: type of the stored levels, uint8 or uint16.
        channels: of the map; one-channel maps have no channel axis in memory.
        values: type in memory; that of the levels for labels, which have no scale.
        scale: of the levels; None where each record states its own.
        offset: of the levels, with ``scale``.
    """

    levels: type
    channels: int = 1
    values: type = np.float32
    scale: float | None = None
    offset: float = 0.0

    @property
    def is_scaled(self) -> bool:
        """Whether levels stand for other values than themselves."""
        return self.values is not self.levels

    @property
    def scale_in_record(self) -> bool:
        """Whether each record states its own scale and offset."""
        return self.is_scaled and self.scale is None


class Sheet(NamedTuple):
    """What the pictures of both hands' cues are drawn from.

    Attributes:
        cues: of the whole picture, in its pixels.
        cut: maps as the crops show them, nearest pixel, by the name of the cue.
        T_crop_image: picture to crop pixels, with the left hand's mirroring.
        overlap: whether the hands' boxes intersect.
        size: side of a crop in pixels.
        gated: names of the cues that overlapping hands reduce to what cannot mix
            them up.
    """

    cues: Cues
    cut: dict[str, Array]
    T_crop_image: Float[Array, "*b 2 2 3"]
    overlap: Bool[Array, "*b"]
    size: int
    gated: tuple[str, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class CueKind:
    """One kind of cue.

    Attributes:
        name: of the cue, in records, configs and tables.
        doc: what its stored values mean.
        storage: how a record holds it.
        move: its values after the picture moved; maps keep their pixels, since the
            motion goes into the crops' maps.
        draw: its pictures in both crops, values in [0, 1], three channels.
        gate: whether overlapping hands can reduce it.
        is_default: whether it is made, read and used unless a config says otherwise.
    """

    name: str
    doc: str
    storage: PointStorage | MapStorage
    move: Callable[[Array, Motion], Array]
    draw: Callable[[Sheet], Float[Array, "*b 2 s s 3"]]
    gate: bool = False
    is_default: bool = True

    @property
    def is_map(self) -> bool:
        """Whether it is a map of the picture."""
        return isinstance(self.storage, MapStorage)


def foreground(sheet: Sheet, own: Float[Array, "*b 2 s s"]) -> Bool[Array, "*b 2 s s"]:
    """Pixels of hands in both crops: labelled, or without labels those of a map.

    Args:
        sheet: with the segmentation, where it is known.
        own: a map that is 0 where there is nothing.
    """
    if "segmentation" not in sheet.cut:
        return own > 0
    known = sheet.cues.has("segmentation")[..., None, None, None]
    return (known & (sheet.cut["segmentation"] > 0)) | (~known & (own > 0))


def hand_pixels(cues: Cues, name: str) -> Bool[np.ndarray, "h w"]:
    """Pixels of the hands: those labelled, or without labels those of a map.

    Args:
        cues: of one picture, numpy.
        name: of a map that is 0 where there is nothing.
    """
    if cues.has("segmentation"):
        return np.asarray(cues.values["segmentation"]) > 0
    values = np.asarray(cues.values[name])
    return values != 0 if values.ndim == 2 else (values != 0).any(axis=-1)
