"""Cues as the features of a record (``schema.FEATURES``)."""

from collections.abc import Mapping

import numpy as np

from twohand_jax.cues.extraction import Provenance
from twohand_jax.data import images
from twohand_jax.types import Cues

ABSENT = Provenance("", "")


def cue_features(cues: Cues, made_by: Mapping[str, Provenance]) -> dict[str, object]:
    """The features of the kinds of cues that were made, and of no other.

    Args:
        cues: of one picture, numpy.
        made_by: what made each kind; a cue whose flag is cleared is written as absent.
    """
    features: dict[str, object] = {}
    for kind, source in made_by.items():
        is_there = bool(getattr(cues, f"has_{kind}"))
        source = source if is_there else ABSENT
        features[f"cues/has_{kind}"] = is_there
        features[f"cues/{kind}_source"] = source.source
        features[f"cues/{kind}_version"] = source.version
        features |= _VALUES[kind](cues)
    return features


def foreground(cues: Cues) -> np.ndarray:
    """``(h, w)`` bool: the hands, or without a segmentation all that has a depth."""
    return cues.segmentation > 0 if cues.has_segmentation else cues.depth > 0


def _keypoints(cues: Cues) -> dict[str, object]:
    return {"cues/keypoints": np.asarray(cues.keypoints, np.float32)}


def _segmentation(cues: Cues) -> dict[str, object]:
    labels = cues.segmentation if cues.has_segmentation else images.EMPTY_UINT8
    return {"cues/segmentation": images.encode_map(labels)}


def _depth(cues: Cues) -> dict[str, object]:
    data, scale, offset = images.encode_map(images.EMPTY_UINT16), 0.0, 0.0
    if cues.has_depth:
        data, scale, offset = images.encode_depth(cues.depth, foreground(cues))
    return {
        "cues/depth": data,
        "cues/depth_scale": np.float32(scale),
        "cues/depth_offset": np.float32(offset),
    }


_VALUES = {"keypoints": _keypoints, "segmentation": _segmentation, "depth": _depth}
