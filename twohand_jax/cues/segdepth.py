"""Segmentation and depth cues from the small network that ships with the package."""

import dataclasses
import functools
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import cv2
import jax
import numpy as np
from jaxtyping import Array, Bool, Float, Shaped, UInt8

from twohand_jax import assets, fields, paths
from twohand_jax.crops.canvas import Window
from twohand_jax.crops.region import (
    RegionConfig,
    boxes_in_window,
    cut_window,
    enlarge_maps,
    network_input,
    paste_window,
    place_window,
)
from twohand_jax.errors import InputError
from twohand_jax.models import apply
from twohand_jax.models.segdepth import SegDepth, SegDepthConfig, SegDepthNetwork
from twohand_jax.types import NO_CUES, Cues
from twohand_jax.weights import native

KIND = "segdepth"  # of experiment
BATCH = 8  # pictures of a call, if there is more than one: two compiled programs in all
FINEST = 1024  # longest side in pixels at which a window's maps are drawn smoothly
CUT = 0.01  # of the hands' pixels, at either end of the depth range
T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class SegDepthCues:
    """The segdepth network as an extractor (``cues.extraction``) of two cues.

    Attributes:
        network: pure functions of the network.
        variables: its weights.
        region: how the region about both hands is cut out.
        version: fingerprint of the weights.
    """

    network: apply.Network
    variables: apply.Variables
    region: RegionConfig
    version: str

    @property
    def name(self) -> str:
        """What makes the cues."""
        return "open_segdepth"

    @property
    def makes(self) -> tuple[str, ...]:
        """The two cues that are maps."""
        return "segmentation", "depth"

    @classmethod
    def load(cls, directory: str | Path | None = None) -> "SegDepthCues":
        """The network of a model directory.

        Args:
            directory: written by training; None for the shipped one.

        Raises:
            InputError: there is no such model, or its files do not fit together.
        """
        source = assets.SEGDEPTH if directory is None else paths.local(directory)
        config = native.load_config(source)
        found = config.get(native.EXPERIMENT, "regressor")
        if found != KIND:
            raise InputError(
                f"{source} holds a model of the experiment {found!r}, but label and "
                f"depth maps need one of {KIND!r}, trained with configs/segdepth.py."
            )
        model = _section(SegDepthConfig, config, "model", source)
        region = _section(RegionConfig, config, "crop", source)
        model.check_sides(region.crop_size)
        network = apply.network(lambda rngs: SegDepthNetwork(model, rngs=rngs))
        return cls(
            network=network,
            variables=native.load(source, apply.shapes(network)),
            region=region,
            version=_fingerprint(source / native.WEIGHTS),
        )

    def __call__(
        self,
        images: Sequence[UInt8[np.ndarray, "h w 3"]],
        boxes: Float[np.ndarray, "n 2 4"],
        valid: Bool[np.ndarray, "n 2"],
    ) -> list[Cues]:
        """Label and depth maps of each picture; none where no hand is known.

        Args:
            images: uint8 RGB, of any sizes.
            boxes: unexpanded hand boxes (right, left), x0, y0, x1, y1 in pixels.
            valid: which hands are there.
        """
        found = [NO_CUES for _ in images]
        wanted = np.flatnonzero(np.any(valid, axis=-1))
        rows = 1 if len(wanted) == 1 else BATCH
        for start in range(0, len(wanted), rows):
            part = wanted[start : start + rows].tolist()
            some = [images[i] for i in part]
            for i, cues in zip(
                part, self._some(some, boxes[part], valid[part], rows), strict=True
            ):
                found[i] = cues
        return found

    def _some(
        self,
        images: Sequence[UInt8[np.ndarray, "h w 3"]],
        boxes: Float[np.ndarray, "n 2 4"],
        valid: Bool[np.ndarray, "n 2"],
        rows: int,
    ) -> list[Cues]:
        """Cues of at most ``rows`` pictures, each with a hand, in one call."""
        size, scale = self.region.crop_size, self.region.crop_scale
        places = zip(boxes, valid, strict=True)
        windows = [place_window(*each, scale=scale) for each in places]
        regions = np.zeros((rows, size, size, 3), np.uint8)
        placed = np.zeros((rows, 2, 4), np.float32)
        known = np.zeros((rows, 2), bool)
        known[: len(images)] = valid
        for row, (image, window) in enumerate(zip(images, windows, strict=True)):
            regions[row] = cut_window(image, window, size=size)
            placed[row] = boxes_in_window(boxes[row], window, size=size)
        maps = jax.device_get(
            _tell(self.network, self.variables, regions, placed, known)
        )
        return [
            _cues(SegDepth(*(part[row] for part in maps)), window, *image.shape[:2])
            for row, (image, window) in enumerate(zip(images, windows, strict=True))
        ]


@functools.partial(jax.jit, static_argnums=0)
def _tell(
    network: apply.Network,
    variables: apply.Variables,
    image: UInt8[Array, "b s s 3"],
    boxes: Float[Array, "b 2 4"],
    valid: Bool[Array, "b 2"],
) -> SegDepth:
    maps, _ = network.apply(variables, network_input(image / 255.0, boxes, valid))
    return maps


def _cues(maps: SegDepth, window: Window, height: int, width: int) -> Cues:
    """The cues of a picture from the maps of its window."""
    drawn = dataclasses.replace(window, side=min(window.side, FINEST))
    logits = enlarge_maps(np.asarray(maps.logits), drawn)
    labels = np.argmax(logits, axis=-1).astype(np.uint8)
    depth = enlarge_maps(np.asarray(maps.depth)[..., None], drawn)[..., 0]
    depth = relative_depth(depth, labels > 0)
    labels, depth = (
        paste_window(_at_full_size(values, window), window, height, width)
        for values in (labels, depth)
    )
    return NO_CUES.put("segmentation", labels).put("depth", depth)


def _at_full_size(
    values: Shaped[np.ndarray, "i i"], window: Window
) -> Shaped[np.ndarray, "s s"]:
    """The values of a window in the picture's pixels; nothing is mixed."""
    size = (window.side, window.side)
    if values.shape == size:
        return values
    return cv2.resize(values, size, interpolation=cv2.INTER_NEAREST_EXACT)


def relative_depth(
    depth: Float[np.ndarray, "h w"], hands: Bool[np.ndarray, "h w"]
) -> Float[np.ndarray, "h w"]:
    """Depth from 0 (near) to 1 (far) over the hands, 0 elsewhere.

    The outermost percent at either end is cut: a few stray pixels would otherwise set
    the range.
    """
    if not hands.any():
        return np.zeros(depth.shape, np.float32)
    low, high = np.quantile(depth[hands], (CUT, 1.0 - CUT))
    unit = np.clip((depth - low) / max(float(high - low), 1e-6), 0.0, 1.0)
    return np.where(hands, unit, 0.0).astype(np.float32)


def _section(cls: type[T], config: Mapping[str, Any], name: str, source: Path) -> T:
    """A section of a model's config as a dataclass."""
    where = f"The section {name!r} of the config.json in {source}"
    values = config.get(name)
    if not isinstance(values, dict):
        raise InputError(f"{where} is missing; train with configs/segdepth.py.")
    return fields.dataclass_of(cls, values, where)


def _fingerprint(path: Path) -> str:
    """Twelve digits that change with the weights."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]
